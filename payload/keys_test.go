package payload_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/payload"
)

func TestNewKeys(t *testing.T) {
	t.Parallel()
	keys, err := payload.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := payload.Combine(keys.U, keys.V)
	if err != nil || !k.Equal(keys.K) || k.Len() != 32 {
		t.Errorf("U and V do not make K: %v", err)
	}
	if again, _ := payload.NewKeys(nil); again.K.Equal(keys.K) || again.V.Equal(keys.V) || keys.U.Equal(keys.V) {
		t.Error("keys repeat")
	}
	_, err = payload.NewKeys(strings.NewReader("short"))
	wantKind(t, err, payload.NoRandomness)
}

func TestCombineRefuses(t *testing.T) {
	t.Parallel()
	n := func(n int) payload.Secret { return payload.NewSecret(make([]byte, n)) }
	for _, c := range [][2]payload.Secret{{n(32), n(16)}, {n(0), n(0)}, {n(31), n(31)}, {n(32), n(0)}, {payload.Secret{}, payload.Secret{}}} {
		_, err := payload.Combine(c[0], c[1])
		wantKind(t, err, payload.BadKeyLength)
	}
}

// TestKeyFile: the file of Keylime's own tool is K, V, U; the tenant's
// documentation says K, U, V. Both are read (PROTOCOL.md 7.2).
func TestKeyFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/golden/fixtures/content_keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile("../testdata/golden/fixtures/content_payload.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := payload.ParseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := payload.Open(keys.K, string(sealed)); err != nil {
		t.Errorf("the payload of the same run: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for name, other := range map[string]string{
		"swapped": lines[0] + "\n" + lines[2] + "\n" + lines[1], "Windows": strings.ReplaceAll(string(text), "\n", "\r\n"), "blank lines": string(text) + "\n \n",
	} {
		if got, err := payload.ParseKeyFile([]byte(other)); err != nil || !got.K.Equal(keys.K) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	// Read as K, U, V, and written as K, V, U.
	if err := payload.WriteKeyFile(&out, payload.Keys{K: keys.K, U: keys.V, V: keys.U}); err != nil || out.String() != string(text) {
		t.Errorf("written %q, %v", out.String(), err)
	}
	if err := payload.WriteKeyFile(broken{}, keys); !errors.Is(err, errBroken) {
		t.Errorf("a broken writer: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestParseKeyFileRefuses(t *testing.T) {
	t.Parallel()
	b64 := func(b byte, n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, n)) }
	k, u, v := b64(3, 32), b64(1, 32), b64(2, 32)
	if _, err := payload.ParseKeyFile([]byte(k + "\n" + u + "\n" + v)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	if _, err := payload.ParseKeyFile([]byte(b64(3, 16) + "\n" + b64(1, 16) + "\n" + b64(2, 16))); err != nil {
		t.Fatalf("the good one of 16 bytes: %v", err)
	}
	for name, c := range map[string]struct {
		text string
		kind payload.Kind
	}{
		"nothing":             {"", payload.BadKeyFile},
		"two lines":           {k + "\n" + u, payload.BadKeyFile},
		"four lines":          {k + "\n" + u + "\n" + v + "\n" + v, payload.BadKeyFile},
		"blank line between":  {k + "\n\n" + u + "\n" + v, payload.BadKeyFile},
		"no base64":           {k + "\n" + u + "\n*" + v[1:], payload.BadKeyFile},
		"URL base64":          {k + "\n" + u + "\n" + strings.Repeat("-_", 21) + "8=", payload.BadKeyFile},
		"short K":             {b64(3, 31) + "\n" + u + "\n" + v, payload.BadKeyLength},
		"short shares":        {k + "\n" + b64(1, 16) + "\n" + b64(2, 16), payload.KeysDiffer},
		"shares of two sizes": {k + "\n" + u + "\n" + b64(2, 16), payload.BadKeyLength},
		"another K":           {u + "\n" + u + "\n" + v, payload.KeysDiffer},
		"another U":           {k + "\n" + k + "\n" + v, payload.KeysDiffer},
	} {
		keys, err := payload.ParseKeyFile([]byte(c.text))
		t.Run(name, func(t *testing.T) { wantKind(t, err, c.kind) })
		if keys.K.Len()+keys.U.Len()+keys.V.Len() != 0 {
			t.Errorf("%s: keys beside an error", name)
		}
		for _, line := range strings.Fields(c.text) {
			if err != nil && strings.Contains(err.Error(), line) {
				t.Errorf("%s: the error shows a key: %v", name, err)
			}
		}
	}
}

// FuzzParseKeyFile: what is read is what it says, and writes to itself.
func FuzzParseKeyFile(f *testing.F) {
	text, err := os.ReadFile("../testdata/golden/fixtures/content_keys.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("a\nb\nc\n"))
	f.Add([]byte(fmt.Sprintf("%s\r\n", text)))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := payload.ParseKeyFile(text)
		if err != nil {
			return
		}
		k, err := payload.Combine(keys.U, keys.V)
		if err != nil || !k.Equal(keys.K) {
			t.Fatalf("K is not U and V: %v", err)
		}
		var out bytes.Buffer
		if err := payload.WriteKeyFile(&out, keys); err != nil {
			t.Fatal(err)
		}
		again, err := payload.ParseKeyFile(out.Bytes())
		if err != nil || !again.K.Equal(keys.K) || !again.U.Equal(keys.V) {
			t.Errorf("written and read: %v", err)
		}
	})
}

package payload_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/keylime/keylime-tenant/payload"
)

// TestSecretHides prints a secret in every way there is, alone and inside of
// other values.
func TestSecretHides(t *testing.T) {
	t.Parallel()
	content := []byte("hush, a secret of 32 bytes......")
	s := payload.NewSecret(content)
	type holder struct {
		Secret payload.Secret
		hidden payload.Secret
		list   []payload.Secret
		inside map[string]any
	}
	h := holder{s, s, []payload.Secret{s}, map[string]any{"x": s, "p": &s}}
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%o", "%b", "%t", "%e", "%10v", "%p", "%T"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, []any{s, h}))
	}
	texts = append(texts, s.String(), s.GoString(), fmt.Sprint(s), fmt.Sprintln(h), fmt.Errorf("x: %v", s).Error())
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal, xml.Marshal} {
		text, err := marshal(struct{ S payload.Secret }{s})
		if err != nil && !strings.Contains(err.Error(), "unsupported type") {
			t.Fatal(err)
		}
		if err == nil && !bytes.Contains(text, []byte("[redacted]")) {
			t.Errorf("marshalled %s", text)
		}
		texts = append(texts, string(text))
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "secret", s, "holder", h, "group", slog.GroupValue(slog.Any("s", s)))
	}
	texts = append(texts, log.String())
	forms := []string{"hush", hex.EncodeToString(content[:4]), strings.ToUpper(hex.EncodeToString(content[:4])), "68 75 73 68",
		base64.StdEncoding.EncodeToString(content)[:8], "104 117 115 104", "104,117", "0x68, 0x75", "150 165"}
	for _, text := range texts {
		for _, form := range forms {
			if strings.Contains(text, form) {
				t.Errorf("a secret shows as %s in %s", form, text)
			}
		}
	}
	if got := fmt.Sprintf("%v %s %x", s, s, s); got != "[redacted] [redacted] [redacted]" {
		t.Errorf("printed %s", got)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	content := []byte("abc")
	s := payload.NewSecret(content)
	content[0] = 'x'
	if string(s.Bytes()) != "abc" || s.Len() != 3 {
		t.Error("a secret is no copy")
	}
	var zero payload.Secret
	if zero.Bytes() != nil || zero.Len() != 0 || !zero.Equal(payload.NewSecret(nil)) || zero.Equal(s) {
		t.Error("the zero secret is not empty")
	}
	if !s.Equal(payload.NewSecret([]byte("abc"))) || s.Equal(payload.NewSecret([]byte("abd"))) || s.Equal(payload.NewSecret([]byte("abcd"))) {
		t.Error("secrets compare wrongly")
	}
}

package ek_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// theEK is a recorded EK and the two hashes by which it can be pinned.
func theEK(t testing.TB) (tpm2b []byte, der, text string) {
	t.Helper()
	tpm2b = read(t, "sb-on/ek_tpm2b_public.bin")
	public, err := ek.ParsePublic(tpm2b)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2b, public.KeyHash(), public.Hash()
}

func parsePins(t testing.TB, text string) *ek.Pins {
	t.Helper()
	p, err := ek.ParsePins("ek_pins.txt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKeyHash: the hash is of the DER that OpenSSL writes, the other of its PEM.
func TestKeyHash(t *testing.T) {
	t.Parallel()
	_, der, text := theEK(t)
	file := read(t, "sb-on/ek_pub.pem")
	block, _ := pem.Decode(file)
	if want := sha256Hex(block.Bytes); der != want {
		t.Errorf("KeyHash %s, want %s", der, want)
	}
	if want := sha256Hex(file); text != want {
		t.Errorf("Hash %s, want %s", text, want)
	}
	c, err := ek.ParseCertificate(read(t, "sb-on/ek_cert.der"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"PEM": file, "TPM2B_PUBLIC": read(t, "sb-on/ek_tpm2b_public.bin")} {
		if p, err := ek.ReadPublic(data); err != nil || p.KeyHash() != der || p.Hash() != text {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), read(t, "sb-on/ek_cert.pem"), []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")} {
		if p, err := ek.ReadPublic(bad); err == nil {
			t.Errorf("%.20q: %v", bad, p)
		}
	}
	if p, err := c.Public(); err != nil || p.KeyHash() != der || p.Hash() != text || !c.IsFor(p) {
		t.Errorf("of the certificate: %v", err)
	}
	if hash, err := c.KeyHash(); err != nil || hash != der {
		t.Errorf("of the certificate: %s, %v", hash, err)
	}
}

// TestPinsVerify: each rule of the list, by the check that refuses.
func TestPinsVerify(t *testing.T) {
	t.Parallel()
	tpm2b, der, text := theEK(t)
	other := strings.Repeat("ab", 32)
	for _, test := range []struct {
		name, list, id string
		want           ek.Check // "" for a pin
		says           string
	}{
		{"any agent", der, "a", "", ""},
		{"no agent named", der, "", "", ""},
		{"the agent", der + " a # web", "a", "", ""},
		{"hash of the PEM", "sha256:" + text, "a", "", ""},
		{"capitals and colons", colons(strings.ToUpper(der)), "a", "", ""},
		{"second pin of the agent", other + " a\n" + der + " a", "a", "", ""},
		{"empty", "", "a", ek.CheckPinList, "is empty"},
		{"comments alone", "# x\n\n", "a", ek.CheckPinList, "is empty"},
		{"another EK", other, "a", ek.CheckPin, "which holds 1 pin"},
		{"the EK of another agent", der + " b", "a", ek.CheckPin, "for another agent (b)"},
		{"the EK of an agent, none named", der + " b", "", ek.CheckPin, "no agent is named"},
		{"the id bound to another EK", der + "\n" + other + " a", "a", ek.CheckPinOther, "another TPM uses the id of agent a"},
	} {
		pin, err := parsePins(t, test.list).Verify(tpm2b, test.id)
		if test.want == "" {
			if err != nil || pin.Hash != der && pin.Hash != text {
				t.Errorf("%s: %+v, %v", test.name, pin, err)
			}
			continue
		}
		if checkOf(t, err) != test.want || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "ek_pins.txt") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := parsePins(t, der).Verify([]byte{1}, "a"); checkOf(t, err) != ek.CheckPublic {
		t.Errorf("an EK that cannot be read: %v", err)
	}
}

func colons(digits string) string {
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

// TestParsePinsErrors: one line that is no pin makes the list unusable.
func TestParsePinsErrors(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0f", 32)
	for _, bad := range []string{"abc", hash[:63], hash + "0", hash + " a b", strings.Repeat("zz", 32), "\x1b[31m" + hash} {
		_, err := ek.ParsePins("list", []byte("# x\n"+bad+"\n"))
		if checkOf(t, err) != ek.CheckPinList || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := ek.LoadPins(filepath.Join(t.TempDir(), "none"))
	if checkOf(t, err) != ek.CheckPinList || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestEditPins: what is not a pin stays, also a link; a failed edit changes
// nothing.
func TestEditPins(t *testing.T) {
	t.Parallel()
	_, der, _ := theEK(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ek_pins.txt")
	add := func(pin ek.Pin) (added bool) {
		t.Helper()
		if err := ek.EditPins(path, func(p *ek.Pins) (err error) { added, err = p.Add(pin); return err }); err != nil {
			t.Fatal(err)
		}
		return added
	}
	if !add(ek.Pin{Hash: der, AgentID: "web-1", Note: " rack 7 "}) || add(ek.Pin{Hash: strings.ToUpper(der), AgentID: "web-1"}) || !add(ek.Pin{Hash: der}) {
		t.Error("added twice, or not")
	}
	text := readText(t, path)
	if !strings.HasPrefix(text, "# Endorsement keys") || !strings.HasSuffix(text, "\n"+der+" web-1  # rack 7\n"+der+"\n") {
		t.Errorf("%s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info, err)
	}
	for _, bad := range []ek.Pin{{Hash: "x"}, {Hash: der, AgentID: "a b"}, {Hash: der, AgentID: "a#b"}, {Hash: der, Note: "x\n" + der}} {
		if err := ek.EditPins(path, func(p *ek.Pins) error { _, err := p.Add(bad); return err }); err == nil {
			t.Errorf("added %+v", bad)
		}
	}
	if readText(t, path) != text {
		t.Error("a failed edit has changed the file")
	}
	if err := ek.EditPins(path, func(p *ek.Pins) error {
		gone, err := p.Remove("web-1")
		if err != nil || len(gone) != 1 || gone[0].Note != "rack 7" {
			t.Errorf("%v, %v", gone, err)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if text := readText(t, path); !strings.HasPrefix(text, "# Endorsement keys") || strings.Contains(text, "web-1") || !strings.HasSuffix(text, "\n"+der+"\n") {
		t.Errorf("%s", text)
	}
	real := filepath.Join(dir, "real.txt")
	link := filepath.Join(dir, "link.txt")
	if err := errors.Join(os.Rename(path, real), os.Symlink("real.txt", link)); err != nil {
		t.Fatal(err)
	}
	if err := ek.EditPins(link, func(p *ek.Pins) error { _, err := p.Remove(der[:8]); return err }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 || strings.Contains(readText(t, real), der) {
		t.Errorf("%v, %v", info, err)
	}
}

// TestRemovePin: what is not clear is refused.
func TestRemovePin(t *testing.T) {
	t.Parallel()
	a, b := "aaaaaaaaaa"+strings.Repeat("0", 54), "aaaaaaaaab"+strings.Repeat("0", 54)
	list := a + "\n" + b + " web\n" + a + " web\n"
	for which, want := range map[string]int{"web": 2, a: 2, b: 1, a[:10]: 2, "aaaaaaaa": -1, "aaaaaaa": -1, "nobody": -1, "": -1} {
		p := parsePins(t, list)
		gone, err := p.Remove(which)
		if (err != nil) != (want < 0) || err == nil && (len(gone) != want || len(p.List()) != 3-want) {
			t.Errorf("%q: %v, %v; left %v", which, gone, err, p.List())
		}
	}
}

// TestEditPinsAtOnce: edits at the same time do not lose one another.
func TestEditPinsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pins")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := ek.EditPins(path, func(p *ek.Pins) error { _, err := p.Add(ek.Pin{Hash: fmt.Sprintf("%064x", i)}); return err })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := ek.LoadPins(path)
	if err != nil || len(p.List()) != 8 {
		t.Errorf("%v, %v", p, err)
	}
}

func FuzzParsePins(f *testing.F) {
	f.Add([]byte(strings.Repeat("ab", 32) + " agent # note\n"))
	f.Add([]byte("# x\n\nsha256:" + strings.Repeat("AB:", 31) + "ab\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ek.ParsePins("list", data)
		if (p == nil) == (err == nil) {
			t.Fatal("neither or both of list and error")
		}
		if err != nil {
			return
		}
		for _, pin := range p.List() {
			if hash, err := ek.ParseHash(pin.Hash); err != nil || hash != pin.Hash {
				t.Errorf("%+v", pin)
			}
		}
	})
}

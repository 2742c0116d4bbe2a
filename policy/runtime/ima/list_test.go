package ima

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const evidence = "../../../testdata/evidence"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// boots are the recorded boots.
func boots(t testing.TB) []string {
	t.Helper()
	lists, err := filepath.Glob(evidence + "/*/ima_ascii.txt")
	if err != nil || len(lists) < 7 {
		t.Fatalf("%d recorded lists, %v", len(lists), err)
	}
	for i, l := range lists {
		lists[i] = filepath.Dir(l)
	}
	return lists
}

// pcr10 reads the recorded values of PCR 10 by bank.
func pcr10(t testing.TB, name string) map[string][]byte {
	t.Helper()
	values := map[string][]byte{}
	for line := range strings.Lines(string(read(t, name))) {
		var bank, value string
		var index int
		if n, err := fmt.Sscanf(line, "%s %d %s", &bank, &index, &value); n != 3 {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		if index == PCR {
			raw, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			values[bank] = raw
		}
	}
	return values
}

var banks = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// made is one entry made from the layouts of PROTOCOL.md 11.1, without the code
// under test.
type made struct {
	template, alg   string
	digest          []byte
	path            string
	last            []byte // signature or buffer
	violation, ones bool
}

func field(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (m made) data() []byte {
	if m.template == "ima" {
		return append(append(bytes.Clone(m.digest), m.path...), make([]byte, 256-len(m.path))...)
	}
	data := append(field(append([]byte(m.alg+":\x00"), m.digest...)), field([]byte(m.path+"\x00"))...)
	if m.template == "ima-ng" {
		return data
	}
	return append(data, field(m.last)...)
}

// column is the template hash as the list shows it.
func (m made) column() []byte {
	switch {
	case m.violation:
		return make([]byte, 20)
	case m.ones:
		return bytes.Repeat([]byte{0xff}, 20)
	}
	h := crypto.SHA1.New()
	h.Write(m.data())
	return h.Sum(nil)
}

func (m made) ascii() string {
	digest := m.alg + ":" + hex.EncodeToString(m.digest)
	if m.template == "ima" {
		digest = hex.EncodeToString(m.digest)
	}
	line := fmt.Sprintf("10 %x %s %s %s", m.column(), m.template, digest, m.path)
	if m.template == "ima-sig" || m.template == "ima-buf" {
		line += " " + hex.EncodeToString(m.last)
	}
	return line + "\n"
}

func (m made) binary() []byte {
	b := append([]byte{10, 0, 0, 0}, m.column()...)
	b = append(b, field([]byte(m.template))...)
	if m.template == "ima" {
		return append(append(b, m.digest...), field([]byte(m.path))...)
	}
	return append(b, field(m.data())...)
}

// extend is PCR 10 after the entry.
func (m made) extend(bank crypto.Hash, pcr []byte) []byte {
	h := bank.New()
	h.Write(m.data())
	digest := h.Sum(nil)
	if m.violation {
		digest = bytes.Repeat([]byte{0xff}, bank.Size())
	}
	h = bank.New()
	h.Write(pcr)
	h.Write(digest)
	return h.Sum(nil)
}

// all has every template and every kind of entry.
func all() []made {
	d := bytes.Repeat([]byte{0x5a}, 32)
	sig := append([]byte{3, 2, 4, 1, 2, 3, 4, 0, 5}, "value"...)
	return []made{
		{template: "ima-ng", alg: "sha256", digest: d, path: "boot_aggregate"},
		{template: "ima-ng", alg: "sha512", digest: append(d, d...), path: "/usr/bin/with blank"},
		{template: "ima", alg: "sha1", digest: d[:20], path: "/old template"},
		{template: "ima-sig", alg: "sha256", digest: d, path: "/signed", last: sig},
		{template: "ima-sig", alg: "sha256", digest: d, path: "/unsigned"},
		{template: "ima-buf", alg: "sha256", digest: d, path: ".ima", last: []byte("buffer")},
		{template: "ima-buf", alg: "sha256", digest: d, path: "kernel_version"},
		{template: "ima-ng", alg: "sha256", digest: make([]byte, 32), path: "/open/for/writing", violation: true},
		{template: "ima-ng", alg: "sha256", digest: d, path: "/forged", ones: true},
		{template: "ima-ng", alg: "sha1", digest: d[:20], path: "/ende"},
	}
}

// lists returns the same entries in both forms.
func lists(entries []made) (ascii string, binary []byte) {
	for _, m := range entries {
		ascii += m.ascii()
		binary = append(binary, m.binary()...)
	}
	return ascii, binary
}

// collect reads a list to its end.
func collect(t testing.TB, r Reader) []*Entry {
	t.Helper()
	var entries []*Entry
	for r.Scan() {
		entries = append(entries, r.Entry().Clone())
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

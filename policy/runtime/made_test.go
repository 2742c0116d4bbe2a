package runtime

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy"
)

// line is one entry made for a test.
type line struct {
	template string // "" is ima-ng
	pcr      string // "" is 10
	digest   []byte // of SHA-256 length, "sha256"
	path     string
	last     []byte // signature or buffer
	column   string // "" is right; "zero", "ones", "wrong"
	raw      string // the whole line, with no template data
}

func field(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (l line) data() []byte {
	data := append(field(append([]byte("sha256:\x00"), l.digest...)), field([]byte(l.path+"\x00"))...)
	if l.template == "" {
		return data
	}
	return append(data, field(l.last)...)
}

func sum(h crypto.Hash, parts ...[]byte) []byte {
	w := h.New()
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(nil)
}

func (l line) text(log crypto.Hash) string {
	if l.raw != "" {
		return l.raw + "\n"
	}
	column := sum(log, l.data())
	switch l.column {
	case "zero":
		column = make([]byte, log.Size())
	case "ones":
		column = bytes.Repeat([]byte{0xff}, log.Size())
	case "wrong":
		column[3]++
	}
	pcr, template := "10", "ima-ng"
	if l.pcr != "" {
		pcr = l.pcr
	}
	if l.template != "" {
		template = l.template
	}
	s := fmt.Sprintf("%s %x %s sha256:%x %s", pcr, column, template, l.digest, l.path)
	if l.template != "" {
		s += " " + hex.EncodeToString(l.last)
	}
	return s + "\n"
}

// extend is the value of PCR 10 after lines.
func extend(bank crypto.Hash, pcr []byte, lines ...line) []byte {
	if pcr == nil {
		pcr = make([]byte, bank.Size())
	}
	for _, l := range lines {
		switch {
		case l.raw != "":
		case l.column == "zero":
			pcr = sum(bank, pcr, bytes.Repeat([]byte{0xff}, bank.Size()))
		default:
			pcr = sum(bank, pcr, sum(bank, l.data()))
		}
	}
	return pcr
}

func list(lines ...line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text(crypto.SHA1))
	}
	return b.String()
}

func digest(text string) []byte { return sum(crypto.SHA256, []byte(text)) }

// file is the entry of a file with the content of its path.
func file(path string) line { return line{digest: digest(path), path: path} }

// allow makes a policy that allows the files.
func allow(paths ...string) *Policy {
	p := Empty()
	for _, path := range paths {
		p.Digests.Add(path, hex.EncodeToString(digest(path)))
	}
	return p
}

func evaluator(t testing.TB, p *Policy, o Options) *Evaluator {
	t.Helper()
	e, err := NewEvaluator(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// judge evaluates lines with the PCR that they lead to.
func judge(t testing.TB, e *Evaluator, lines ...line) policy.Verdict {
	t.Helper()
	v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(lines...)), PCR10: extend(crypto.SHA256, nil, lines...), Bank: "sha256"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Accepted != (len(v.Findings) == 0) {
		t.Fatalf("%+v", v)
	}
	return v
}

func checks(v policy.Verdict) string {
	var names []string
	for _, f := range v.Findings {
		names = append(names, f.Check)
	}
	return strings.Join(names, " ")
}

// recordedPCR reads PCR 10 of one bank of a recorded boot.
func recordedPCR(t testing.TB, name, bank string) []byte {
	t.Helper()
	for l := range strings.Lines(string(read(t, name))) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), bank+" 10 "); ok {
			raw, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
	}
	t.Fatalf("%s: no PCR 10 of bank %s", name, bank)
	return nil
}

package ima

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestRecordedReplay: every recorded list, in both forms and at both times, leads
// to the PCR 10 that the TPM had, in every bank. The recorded kernel had no
// SHA-384 when IMA began, so that bank holds padded SHA-1 digests.
func TestRecordedReplay(t *testing.T) {
	t.Parallel()
	for _, boot := range boots(t) {
		for list, pcrs := range map[string]string{"ima_ascii.txt": "pcrs.txt", "ima_ascii_early.txt": "pcrs_early.txt", "ima_binary.bin": "pcrs.txt", "ima_binary_early.bin": "pcrs_early.txt"} {
			want := pcr10(t, filepath.Join(boot, pcrs))
			if len(want) < 3 {
				t.Fatalf("%s: %d banks", boot, len(want))
			}
			for bank, value := range want {
				start := NewReplay
				if bank == "sha384" {
					start = NewPaddedReplay
				}
				replay, err := start(banks[bank], nil)
				if err != nil {
					t.Fatal(err)
				}
				reader, err := NewReader(bytes.NewReader(read(t, filepath.Join(boot, list))))
				if err != nil {
					t.Fatal(err)
				}
				for reader.Scan() {
					replay.Extend(reader.Entry(), 20)
				}
				if reader.Err() != nil || !bytes.Equal(replay.Value(), value) {
					t.Errorf("%s %s %s: %x, want %x (%v)", boot, list, bank, replay.Value(), value, reader.Err())
				}
			}
		}
	}
}

// sameEntry compares what both forms of a list have.
var sameEntry = cmp.Options{cmpopts.IgnoreFields(Entry{}, "Raw"), cmp.AllowUnexported(Entry{}), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b error) bool {
	return (a == nil) == (b == nil)
})}

func TestRecordedBinaryEqualsASCII(t *testing.T) {
	t.Parallel()
	for _, boot := range boots(t) {
		for _, suffix := range []string{"", "_early"} {
			text := collect(t, NewScanner(bytes.NewReader(read(t, filepath.Join(boot, "ima_ascii"+suffix+".txt")))))
			bin := collect(t, NewBinaryScanner(bytes.NewReader(read(t, filepath.Join(boot, "ima_binary"+suffix+".bin")))))
			if diff := cmp.Diff(text, bin, sameEntry); diff != "" || len(text) < 45 {
				t.Errorf("%s%s: %d entries\n%s", boot, suffix, len(text), diff)
			}
		}
	}
}

func TestMadeLists(t *testing.T) {
	t.Parallel()
	entries := all()
	ascii, bin := lists(entries)
	text, raw := collect(t, NewScanner(strings.NewReader(ascii))), collect(t, NewBinaryScanner(bytes.NewReader(bin)))
	if diff := cmp.Diff(text, raw, sameEntry); diff != "" {
		t.Error(diff)
	}
	for bank, alg := range banks {
		replay, err := NewReplay(alg, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, alg.Size())
		for i, e := range text {
			if !e.Known() || e.Line != i+1 || string(e.Path) != entries[i].path || !bytes.Equal(e.Digest, entries[i].digest) || string(e.Alg) != entries[i].alg || e.SigProblem != nil {
				t.Fatalf("entry %d: %+v", i, e)
			}
			if !bytes.Equal(e.AppendTemplateData(nil), entries[i].data()) {
				t.Errorf("entry %d: template data differ", i)
			}
			want = entries[i].extend(alg, want)
			if !replay.Extend(e, 20) || !bytes.Equal(replay.Value(), want) {
				t.Errorf("%s after entry %d: %x, want %x", bank, i, replay.Value(), want)
			}
		}
	}
	if text[7].Violation(20) != ZeroHash || text[8].Violation(20) != OnesHash || text[0].Violation(20) != NoViolation || text[7].Violation(32) != NoViolation {
		t.Error("violations")
	}
	if !text[3].IsSig() || text[3].Sig == nil || text[4].Sig != nil || !text[5].IsBuf() || string(text[5].Buf) != "buffer" {
		t.Errorf("%+v", text[3:6])
	}
}

// TestVectors are lines that Keylime itself parsed (testdata/vectors).
func TestVectors(t *testing.T) {
	t.Parallel()
	var v struct {
		NG struct {
			Lines  []string
			SHA256 string `json:"pcr10_sha256"`
			SHA1   string `json:"pcr10_sha1"`
		} `json:"ima_ng"`
		Sig struct {
			Line   string
			SHA256 string `json:"pcr10_sha256_after"`
		} `json:"ima_sig_line"`
	}
	if err := json.Unmarshal(read(t, "../../../testdata/vectors/vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lines, want string
		bank        crypto.Hash
	}{{strings.Join(v.NG.Lines, "\n"), v.NG.SHA256, crypto.SHA256}, {strings.Join(v.NG.Lines, "\n\n"), v.NG.SHA1, crypto.SHA1}, {v.Sig.Line, v.Sig.SHA256, crypto.SHA256}} {
		replay, err := NewReplay(c.bank, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range collect(t, NewScanner(strings.NewReader(c.lines))) {
			replay.Extend(e, 20)
		}
		if got := hex.EncodeToString(replay.Value()); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestLineProblems(t *testing.T) {
	t.Parallel()
	hash, digest := strings.Repeat("0a", 20), strings.Repeat("11", 32)
	for _, c := range []struct{ name, line, reason string }{
		{"columns", "10 " + hash + " ima-ng", badColumns},
		{"no blanks", "x", badColumns},
		{"hash", "10 zz ima-ng sha256:" + digest + " /x", badHash},
		{"odd hash", "10 abc ima-ng sha256:" + digest + " /x", badHash},
		{"ng fields", "10 " + hash + " ima-ng sha256:" + digest, badTwo},
		{"ima fields", "10 " + hash + " ima " + digest, badTwo},
		{"sig fields", "10 " + hash + " ima-sig sha256:" + digest + " /x", badThree},
		{"sig fields and digest", "10 " + hash + " ima-sig sha256:xx /x", badDigest},
		{"buf fields", "10 " + hash + " ima-buf sha256:" + digest + " /x", badThree},
		{"digest", "10 " + hash + " ima-ng sha256:xx /x", badDigest},
		{"colons", "10 " + hash + " ima-ng a:b:" + digest + " /x", badColons},
		{"no algorithm", "10 " + hash + " ima-ng " + digest + " /x", badAlgorithm},
		{"buffer", "10 " + hash + " ima-buf sha256:" + digest + " n 0x", badBuffer},
		{"long name", "10 " + hash + " ima " + digest[:40] + " /" + strings.Repeat("x", 255), badLongName},
	} {
		entries := collect(t, NewScanner(strings.NewReader("\n"+c.line+"\n")))
		var e *ParseError
		if len(entries) != 1 || !errors.As(entries[0].Problem, &e) || e.Reason != c.reason || e.Line != 2 || entries[0].Known() {
			t.Errorf("%s: %+v", c.name, entries)
			continue
		}
		if got := entries[0].Trimmed(); got != (c.name == "sig fields") {
			t.Errorf("%s: trimmed %v", c.name, got)
		}
		if data := entries[0].AppendTemplateData([]byte("kept")); string(data) != "kept" {
			t.Errorf("%s: template data of no entry", c.name)
		}
	}
}

// TestLeniency is what Keylime takes though no kernel writes it.
func TestLeniency(t *testing.T) {
	t.Parallel()
	hash, sha1 := strings.Repeat("0A", 20), strings.Repeat("ab", 20)
	for line, want := range map[string]string{
		"10 " + hash + " ima-ng " + sha1 + " /x":              "sha1",
		"10 " + hash + " ima-ng " + sha1[:32] + " /x":         "md5",
		"10 " + hash + " ima-ng any:" + sha1 + " /x y ":       "any",
		"10 " + hash + " ima-ng :" + sha1 + " ":               "",
		"10 0A 0B\t0c ima-ng":                                 "?",
		"10 " + hash + " ima " + sha1[:32] + " /x":            "md5",
		"eleven " + hash + " ima-sig sha1:" + sha1 + " /x zz": "sha1",
	} {
		e := collect(t, NewScanner(strings.NewReader(line)))[0]
		if want == "?" {
			if e.Problem == nil {
				t.Errorf("%q taken", line)
			}
			continue
		}
		if !e.Known() || string(e.Alg) != want {
			t.Errorf("%q: %+v", line, e)
		}
	}
}

func TestSignatureProblems(t *testing.T) {
	t.Parallel()
	prefix := "10 " + strings.Repeat("0a", 20) + " ima-sig sha256:" + strings.Repeat("11", 32) + " /x "
	for sig, want := range map[string]error{"": nil, "zz": errSigHex, "03": errSigShort, "0302040102030400": errSigShort, "030204010203040002aa": errSigLength, "030204010203040001aa": nil} {
		e := collect(t, NewScanner(strings.NewReader(prefix+sig)))[0]
		if !errors.Is(e.SigProblem, want) || want != nil && e.Sig != nil || !e.Known() || len(sig) == 20 && want == nil && e.Sig == nil {
			t.Errorf("%q: %v, %x", sig, e.SigProblem, e.Sig)
		}
	}
}

func TestUnsupportedTemplates(t *testing.T) {
	t.Parallel()
	digest, hash := strings.Repeat("11", 32), strings.Repeat("0a", 20)
	sig := "030204010203040001aa"
	for _, c := range []struct{ template, data, hint, typ, path, sig string }{
		{"ima-ngv2", "verity:sha256:" + digest + " /x y", "ima_template=ima-ng", "verity", "/x y", ""},
		{"ima-sigv2", "ima:sha256:" + digest + " /x " + sig, "ima_template=ima-sig", "ima", "/x", sig},
		{"ima-modsig", "sha256:" + digest + " /x " + sig + " sha256:" + digest + " 00", "ima-modsig", "", "/x", sig},
		{"evm-sig", "sha256:" + digest + " /x " + sig + " a b", "evm-sig", "", "/x", sig},
		{"my-own", "anything", "", "", "", ""},
	} {
		e := collect(t, NewScanner(strings.NewReader("10 "+hash+" "+c.template+" "+c.data)))[0]
		var u *UnsupportedError
		if !errors.As(e.Problem, &u) || u.Template != c.template || !strings.Contains(u.Error(), c.hint) || e.Known() ||
			string(e.DigestType) != c.typ || string(e.Path) != c.path || hex.EncodeToString(e.Sig) != c.sig {
			t.Errorf("%s: %+v %v", c.template, e, e.Problem)
		}
	}
	raw := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	for _, c := range []struct {
		template, typ, path string
		fields              [][]byte
		sig                 []byte
	}{
		{"ima-ngv2", "verity", "/x y", [][]byte{append([]byte("verity:sha256:\x00"), raw(digest)...), []byte("/x y\x00")}, nil},
		{"ima-sigv2", "ima", "/x", [][]byte{append([]byte("ima:sha256:\x00"), raw(digest)...), []byte("/x\x00"), raw(sig)}, raw(sig)},
		{"evm-sig", "", "/x", [][]byte{append([]byte("sha256:\x00"), raw(digest)...), []byte("/x\x00"), raw(sig), []byte("x")}, raw(sig)},
	} {
		var data []byte
		for _, f := range c.fields {
			data = append(data, field(f)...)
		}
		list := append(append(append([]byte{10, 0, 0, 0}, raw(hash)...), field([]byte(c.template))...), field(data)...)
		e := collect(t, NewBinaryScanner(bytes.NewReader(list)))[0]
		var u *UnsupportedError
		if !errors.As(e.Problem, &u) || string(e.Path) != c.path || string(e.DigestType) != c.typ || !bytes.Equal(e.Sig, c.sig) || hex.EncodeToString(e.Digest) != digest || string(e.Alg) != "sha256" {
			t.Errorf("binary %s: %+v", c.template, e)
		}
	}
}

// TestBinaryProblems: a spoiled binary list ends with an error that names the
// entry and its offset.
func TestBinaryProblems(t *testing.T) {
	t.Parallel()
	first := all()[0].binary()
	next := func(change func(m []byte) []byte) []byte {
		return append(bytes.Clone(first), change(all()[3].binary())...)
	}
	for _, c := range []struct {
		name string
		list []byte
		want error
	}{
		{"cut header", next(func(m []byte) []byte { return m[:10] }), io.ErrUnexpectedEOF},
		{"cut name", next(func(m []byte) []byte { return m[:30] }), io.ErrUnexpectedEOF},
		{"cut data", next(func(m []byte) []byte { return m[:len(m)-1] }), io.ErrUnexpectedEOF},
		{"no name", next(func(m []byte) []byte { m[24] = 0; return m }), errNameLength},
		{"long name", next(func(m []byte) []byte { m[25] = 1; return m }), errNameLength},
		{"huge data", next(func(m []byte) []byte { m[38] = 0xff; return m }), ErrTooLong},
		{"long field", next(func(m []byte) []byte { m[40] = 0xff; return m }), errFields},
		{"digest form", next(func(m []byte) []byte { m[bytes.IndexByte(m, ':')+1] = 'x'; return m }), errDigest},
		{"name form", next(func(m []byte) []byte { m[bytes.Index(m, []byte("/signed"))] = 0; return m }), errName},
		{"ima cut", all()[2].binary()[:40], io.ErrUnexpectedEOF},
	} {
		s := NewBinaryScanner(bytes.NewReader(c.list))
		n := 0
		for s.Scan() {
			n++
		}
		var e *FormatError
		if !errors.Is(s.Err(), c.want) || !errors.As(s.Err(), &e) || e.Line != n+1 || n == 1 && e.Offset != int64(len(first)) || s.Scan() {
			t.Errorf("%s: %v after %d entries", c.name, s.Err(), n)
		}
	}
	long := all()[2]
	long.path = "/" + strings.Repeat("x", 300)
	list := append(append([]byte{10, 0, 0, 0}, make([]byte, 20)...), field([]byte("ima"))...)
	list = append(append(list, long.digest...), field([]byte(long.path))...)
	if e := collect(t, NewBinaryScanner(bytes.NewReader(list)))[0]; e.Known() {
		t.Errorf("%+v", e)
	}
}

// TestScannerReads: the entries do not depend on how the bytes arrive, and a
// continuation keeps its line numbers.
func TestScannerReads(t *testing.T) {
	t.Parallel()
	ascii, bin := lists(all())
	want := collect(t, NewScanner(strings.NewReader(ascii)))
	for name, r := range map[string]io.Reader{
		"bytes":  iotest.OneByteReader(strings.NewReader(ascii)),
		"halves": iotest.HalfReader(strings.NewReader(ascii)),
		"early":  iotest.DataErrReader(strings.NewReader(ascii)),
		"no end": strings.NewReader(strings.TrimSuffix(ascii, "\n")),
	} {
		if diff := cmp.Diff(want, collect(t, NewScanner(r)), sameEntry); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(want, collect(t, NewBinaryScanner(iotest.OneByteReader(bytes.NewReader(bin)))), sameEntry); diff != "" {
		t.Error(diff)
	}
	s := NewScanner(strings.NewReader("x"))
	s.Scan()
	s.Reset(strings.NewReader("\n\n"+ascii), 100)
	if !s.Scan() || s.Entry().Line != 103 {
		t.Errorf("line %d", s.Entry().Line)
	}
	broken := errors.New("broken")
	s = NewScanner(io.MultiReader(strings.NewReader(ascii), iotest.ErrReader(broken)))
	for s.Scan() {
	}
	var e *FormatError
	if !errors.Is(s.Err(), broken) || !errors.As(s.Err(), &e) || e.Line != len(want)+1 {
		t.Errorf("%v", s.Err())
	}
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if r, err := NewReader(strings.NewReader("")); err != nil || r.Scan() || r.Err() != nil {
		t.Errorf("empty list: %v", err)
	}
}

// endless is a reader of one line without end.
type endless struct{ n int }

func (r *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	r.n += len(p)
	return len(p), nil
}

func TestScannerBoundsMemory(t *testing.T) {
	t.Parallel()
	r := &endless{}
	s := NewScanner(r)
	if s.Scan() || !errors.Is(s.Err(), ErrTooLong) || r.n > 3*MaxEntry {
		t.Errorf("%v after %d bytes", s.Err(), r.n)
	}
}

func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	if _, err := NewReplay(crypto.SHA256, make([]byte, 20)); err == nil {
		t.Error("a value of another length")
	}
	if _, err := NewHasher(crypto.BLAKE2b_256); err == nil {
		t.Error("an algorithm that is not there")
	}
	if _, err := NewPaddedReplay(crypto.SHA256, make([]byte, 20)); err == nil {
		t.Error("a value of another length")
	}
	for _, err := range []error{&FormatError{Line: 3, Offset: -1, Err: io.EOF}, &FormatError{Line: 3, Offset: 7, Err: io.EOF}, &ParseError{Line: 2, Reason: "x"}, &UnsupportedError{Line: 1, Template: "t"}} {
		if text := fmt.Sprint(err); !strings.Contains(text, "entry 3") && !strings.Contains(text, "line") {
			t.Error(text)
		}
	}
}

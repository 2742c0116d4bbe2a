package runtime

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/pyre"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

const evidence = "../../testdata/evidence/"

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

// TestRecorded judges the recorded boots by the policy that Keylime made of
// one: the files are the same, only the dropped script is not allowed.
func TestRecorded(t *testing.T) {
	t.Parallel()
	p := goodPolicy(t)
	dirs, err := filepath.Glob(evidence + "*/ima_ascii.txt")
	if err != nil || len(dirs) < 7 {
		t.Fatal(dirs, err)
	}
	for _, name := range dirs {
		boot := filepath.Base(filepath.Dir(name))
		for _, form := range []string{"ima_ascii.txt", "ima_binary.bin"} {
			for _, bank := range []string{"sha1", "sha256", "sha384"} {
				e := evaluator(t, p, Options{})
				ev := Evidence{List: bytes.NewReader(read(t, evidence+boot+"/"+form)), Binary: form == "ima_binary.bin", PCR10: recordedPCR(t, evidence+boot+"/pcrs.txt", bank), Bank: bank,
					BootAggregates: bootAggregate10(t, name)}
				v, err := e.Evaluate(context.Background(), &State{}, ev)
				if err != nil {
					t.Fatal(err)
				}
				want := ""
				if boot == "sb-on-ima-violation" {
					want = CheckNotInPolicy
				}
				got := checks(v)
				if bank == "sha384" { // the recorded kernel pads SHA-1 digests there
					last := v.Findings[len(v.Findings)-1]
					if last.Check != CheckPCRMismatch || !strings.Contains(last.Message, "padded SHA-1") {
						t.Errorf("%s %s: %+v", boot, bank, last)
					}
					got = strings.TrimSpace(strings.TrimSuffix(got, CheckPCRMismatch))
				}
				if got != want {
					t.Errorf("%s %s %s: %s\n%+v", boot, form, bank, got, v.Findings)
				}
			}
		}
	}
}

// bootAggregate10 is the digest of the first line of a list, which stands for
// what a boot log would allow.
func bootAggregate10(t testing.TB, name string) []string {
	t.Helper()
	first, _, _ := strings.Cut(string(read(t, name)), "\n")
	return []string{strings.TrimPrefix(strings.Fields(first)[3], "sha256:")}
}

// TestChecks spoils one thing of a good list at a time.
func TestChecks(t *testing.T) {
	t.Parallel()
	a, b := file("/a"), file("/b")
	changed := line{digest: digest("other"), path: "/b"}
	spoil := func(l line, change func(*line)) line {
		change(&l)
		return l
	}
	for _, c := range []struct {
		name    string
		lines   []line
		options Options
		want    string
		event   string
	}{
		{"good", []line{a, b}, Options{}, "", ""},
		{"not in policy", []line{a, file("/c"), b}, Options{}, CheckNotInPolicy, "ima.validation.ima-ng.not_in_allowlist"},
		{"digest", []line{a, changed}, Options{}, CheckDigest, "ima.validation.ima-ng.runtime_policy_hash"},
		{"excluded", []line{a, file("/tmp/x")}, Options{}, "", ""},
		{"excluded though in the policy with another digest", []line{spoil(changed, func(l *line) { l.path = "/tmp/y" })}, Options{}, "", ""},
		{"PCR column", []line{a, spoil(b, func(l *line) { l.pcr = "11" })}, Options{}, CheckPCR, "ima.validation.ima_pcr"},
		{"template hash", []line{a, spoil(b, func(l *line) { l.column = "wrong" })}, Options{}, CheckTemplateHash, "ima.validation.ima_hash"},
		{"violation", []line{a, spoil(b, func(l *line) { l.column = "zero" })}, Options{}, CheckViolation, "ima.validation.tomtou"},
		{"violation ignored", []line{a, spoil(file("/c"), func(l *line) { l.column = "zero" })}, Options{IgnoreToMToU: true}, "", ""},
		{"forged violation", []line{a, spoil(file("/c"), func(l *line) { l.column = "ones" })}, Options{IgnoreToMToU: true}, CheckTemplateHash, "ima.validation.ima_hash"},
		{"forged violation, as upstream", []line{a, spoil(file("/c"), func(l *line) { l.column = "ones" })}, Options{IgnoreToMToU: true, Compat: true}, "", ""},
		{"forged violation, as upstream, refused", []line{a, spoil(file("/c"), func(l *line) { l.column = "ones" })}, Options{Compat: true}, CheckViolation, "ima.validation.tomtou"},
		{"no entry", []line{a, {raw: "10 xx"}, b}, Options{}, CheckEntry, "ima.parser.entry"},
		{"template", []line{a, {raw: "10 " + strings.Repeat("0a", 20) + " ima-ngv2 ima:sha256:00 /x"}, b}, Options{}, CheckTemplate, "ima.parser.entry"},
		{"blank lines", []line{a, {raw: "\n"}, b}, Options{}, "", ""},
		{"everything, in order", []line{spoil(file("/c"), func(l *line) { l.pcr = "9" }), {raw: "x"}, changed}, Options{},
			CheckPCR + " " + CheckNotInPolicy + " " + CheckEntry + " " + CheckDigest, "ima.validation.ima_pcr"},
	} {
		p := allow("/a", "/b", "/tmp/y")
		p.Excludes = []string{`/tmp/.*`}
		v := judge(t, evaluator(t, p, c.options), c.lines...)
		if got := checks(v); got != c.want {
			t.Errorf("%s: %q\n%+v", c.name, got, v.Findings)
			continue
		}
		if c.want == "" {
			continue
		}
		f := v.Findings[0]
		if f.EventID != c.event || f.Message == "" || strings.HasSuffix(f.Message, ".") || f.Event == nil || *f.Event < 1 || *f.Event > len(c.lines) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

func TestFindingWords(t *testing.T) {
	t.Parallel()
	v := judge(t, evaluator(t, allow("/a", "/b"), Options{}), file("/a"), line{digest: digest("x"), path: "/b"}, file("/\x1b[31m\xffc"))
	if len(v.Findings) != 2 {
		t.Fatalf("%+v", v)
	}
	f := v.Findings[0]
	if f.Where != "/b" || *f.Event != 2 || len(f.Expected) != 1 || f.Expected[0] != hex.EncodeToString(digest("/b")) || f.Found[0] != hex.EncodeToString(digest("x")) ||
		f.Message != `file "/b" has a digest that the policy does not allow` || f.Remedy == "" {
		t.Errorf("%+v", f)
	}
	if f = v.Findings[1]; strings.ContainsRune(f.Message, '\x1b') || !strings.Contains(f.Message, `"digests"`) || f.Where != "/\x1b[31m\ufffdc" {
		t.Errorf("%+v", f)
	}
}

func TestPCRMismatch(t *testing.T) {
	t.Parallel()
	e := evaluator(t, allow("/a", "/b"), Options{})
	whole := extend(crypto.SHA256, nil, file("/a"), file("/b"))
	for _, c := range []struct {
		name, list string
		want       bool
		word       string
	}{
		{"good", list(file("/a"), file("/b")), true, ""},
		{"cut", list(file("/a")), false, "changed, cut"},
		{"empty", "", false, "changed, cut"},
		{"order", list(file("/b"), file("/a")), false, "changed, cut"},
		{"repeated", list(file("/a"), file("/a"), file("/b")), false, "changed, cut"},
		{"more than the quote has", list(file("/a"), file("/b"), file("/a")), true, ""},
		{"template", list(file("/a"), line{raw: "10 " + strings.Repeat("0a", 20) + " evm-sig x"}), false, `template "evm-sig" cannot be replayed`},
	} {
		v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(c.list), PCR10: whole, Bank: "sha256"})
		if err != nil || v.Accepted != c.want {
			t.Errorf("%s: %+v, %v", c.name, v, err)
			continue
		}
		if c.want {
			continue
		}
		if f := v.Findings[len(v.Findings)-1]; f.Check != CheckPCRMismatch || f.EventID != "ima.pcr_mismatch" || !strings.Contains(f.Message, c.word) || *f.PCR != 10 {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	for bank, alg := range hashes {
		v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(file("/a"))), PCR10: extend(alg, nil, file("/a")), Bank: bank})
		if err != nil || !v.Accepted {
			t.Errorf("%s: %+v, %v", bank, v, err)
		}
	}
	if v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(file("/a")))}); err != nil || !v.Accepted {
		t.Errorf("without a quote: %+v, %v", v, err)
	}
}

// TestLogHash: the column of the list may be of another hash.
func TestLogHash(t *testing.T) {
	t.Parallel()
	p := allow("/a")
	p.IMA.LogHashAlg = "sha256"
	e := evaluator(t, p, Options{})
	l := file("/a")
	for bank, alg := range hashes {
		v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(l.text(crypto.SHA256)), PCR10: extend(alg, nil, l), Bank: bank})
		if err != nil || !v.Accepted {
			t.Errorf("%s: %+v, %v", bank, v, err)
		}
	}
	v, err := e.Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(l.text(crypto.SHA1)), PCR10: extend(crypto.SHA256, nil, l), Bank: "sha256"})
	if err != nil || checks(v) != CheckTemplateHash || !strings.Contains(v.Findings[0].Remedy, "log_hash_alg") {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestState walks the states of PROTOCOL.md 11.4.
func TestState(t *testing.T) {
	t.Parallel()
	a, b, c, d := file("/a"), file("/b"), file("/c"), file("/d")
	e := evaluator(t, allow("/a", "/b", "/c", "/d"), Options{})
	st := &State{}
	step := func(name string, want string, next int, pcr []byte, text string) {
		t.Helper()
		v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(text), PCR10: pcr, Bank: "sha256"})
		if err != nil || checks(v) != want || st.NextEntry != next {
			t.Fatalf("%s: %q, next entry %d, %v", name, checks(v), st.NextEntry, err)
		}
	}
	after := func(lines ...line) []byte { return extend(crypto.SHA256, nil, lines...) }
	step("two of three", "", 2, after(a, b), list(a, b, c))
	step("caught up", "", 3, after(a, b, c), list(c))
	step("quote behind the list", "", 3, after(a, b, c), list(d))
	st.progress = &progress{3, 3}
	step("unchanged, empty list", "", 3, after(a, b, c), "")
	step("blank lines count", "", 5, after(a, b, c, d), "\n"+list(d))
	step("behind by two", "", 5, after(a, b, c, d), list(a, b))
	step("still behind", CheckQuoteProgress, 0, after(a, b, c, d), list(a, b, c))
	step("reset: from the start", "", 2, after(a, b), list(a, b))
	step("line numbers go on", CheckNotInPolicy, 0, after(a, b, c, file("/x")), list(c, file("/x")))
	step("all again", "", 4, after(a, b, c, d), list(a, b, c, d))
	step("mismatch", CheckPCRMismatch, 0, after(a, b, c, d, a), list(b))
	if st.running != nil || st.learned.names != nil || st.progress != nil {
		t.Errorf("%+v", st)
	}
	// The quote may be behind by what was there, if it makes up for it.
	step("one of three", "", 1, after(a), list(a, b, c))
	step("lag made up", "", 3, after(a, b, c), list(b, c, d))
	// Line numbers of findings count from the beginning of the list.
	v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(file("/x"))), PCR10: after(a, b, c, file("/x")), Bank: "sha256"})
	if err != nil || *v.Findings[0].Event != 4 {
		t.Errorf("%+v, %v", v, err)
	}
	// Another bank cannot continue.
	step("again", "", 1, after(a), list(a))
	v, err = e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(b)), PCR10: extend(crypto.SHA1, nil, a, b), Bank: "sha1"})
	if err != nil || checks(v) != CheckPCRMismatch || !strings.Contains(v.Findings[0].Message, "another PCR bank") || st.NextEntry != 0 {
		t.Errorf("%+v, %v, %+v", v, err, st)
	}
}

// TestErrorsKeepState: without an answer the state is as before.
func TestErrorsKeepState(t *testing.T) {
	t.Parallel()
	p := allow("/a")
	p.Excludes = []string{`/slow/(?=a)(?P<x>.+)+(?P=x)\d`}
	e := evaluator(t, p, Options{})
	st := &State{}
	pcr := extend(crypto.SHA256, nil, file("/a"))
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(file("/a"))), PCR10: pcr, Bank: "sha256"}); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	before := *st
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	var late *pyre.TimeoutError
	for _, c := range []struct {
		name string
		ctx  context.Context
		ev   Evidence
		want func(error) bool
	}{
		{"context", canceled, Evidence{List: strings.NewReader(list(file("/a"))), PCR10: pcr, Bank: "sha256"}, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"reader", context.Background(), Evidence{List: iotest.ErrReader(broken), PCR10: pcr, Bank: "sha256"}, func(err error) bool { return errors.Is(err, broken) }},
		{"binary list cut", context.Background(), Evidence{List: strings.NewReader("\x0a\x00\x00\x00"), Binary: true, PCR10: pcr, Bank: "sha256"}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"bank", context.Background(), Evidence{List: strings.NewReader(""), PCR10: pcr, Bank: "md5"}, func(err error) bool { return strings.Contains(err.Error(), "no PCR bank") }},
		{"PCR length", context.Background(), Evidence{List: strings.NewReader(""), PCR10: pcr, Bank: "sha1"}, func(err error) bool { return strings.Contains(err.Error(), "has 20 bytes, not 32") }},
		{"slow exclude", context.Background(), Evidence{List: strings.NewReader(list(file("/slow/" + strings.Repeat("a", 40)))), PCR10: pcr, Bank: "sha256"}, func(err error) bool { return errors.As(err, &late) }},
	} {
		v, err := e.Evaluate(c.ctx, st, c.ev)
		if err == nil || v.Accepted || !c.want(err) || st.NextEntry != before.NextEntry || !bytes.Equal(st.running, before.running) {
			t.Errorf("%s: %+v, %v", c.name, v, err)
		}
	}
}

func TestMaxFindings(t *testing.T) {
	t.Parallel()
	var lines []line
	for i := range 10 {
		lines = append(lines, file(fmt.Sprint("/x", i)))
	}
	v := judge(t, evaluator(t, Empty(), Options{MaxFindings: 3}), lines...)
	if len(v.Findings) != 3 || len(v.Warnings) != 1 || v.Warnings[0] != "7 more findings are not listed" {
		t.Errorf("%d findings, %q", len(v.Findings), v.Warnings)
	}
	// What concerns the whole list is always there.
	v, err := evaluator(t, Empty(), Options{MaxFindings: 3}).Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(lines...)), PCR10: make([]byte, 32), Bank: "sha256"})
	if err != nil || !v.Accepted && len(v.Findings) != 3 {
		t.Errorf("%+v, %v", v, err) // zeros are the value before the first entry
	}
	v, err = evaluator(t, Empty(), Options{MaxFindings: 3}).Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(lines...)), PCR10: bytes.Repeat([]byte{1}, 32), Bank: "sha256"})
	if err != nil || len(v.Findings) != 4 || v.Findings[3].Check != CheckPCRMismatch {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestBootAggregates(t *testing.T) {
	t.Parallel()
	boot := line{digest: digest("boot"), path: "boot_aggregate"}
	for _, c := range []struct {
		name    string
		p       *Policy
		allowed []string
		want    string
	}{
		{"neither", Empty(), nil, CheckNotInPolicy},
		{"log", Empty(), []string{"zz", hex.EncodeToString(digest("boot"))}, ""},
		{"log with another", Empty(), []string{hex.EncodeToString(digest("x"))}, CheckDigest},
		{"policy with another, log right", allow("boot_aggregate"), []string{hex.EncodeToString(digest("boot"))}, ""},
		{"both with another", allow("boot_aggregate"), []string{hex.EncodeToString(digest("x"))}, CheckDigest},
	} {
		v, err := evaluator(t, c.p, Options{}).Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(list(boot)), PCR10: extend(crypto.SHA256, nil, boot), Bank: "sha256", BootAggregates: c.allowed})
		if err != nil || checks(v) != c.want {
			t.Errorf("%s: %+v, %v", c.name, v, err)
		}
		if c.name == "both with another" && len(v.Findings[0].Expected) != 2 {
			t.Errorf("%+v", v.Findings[0])
		}
	}
}

// sign makes a file signature with its header.
func sign(t testing.TB, key crypto.Signer, digest []byte) []byte {
	t.Helper()
	id, err := ima.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig := binary.BigEndian.AppendUint32([]byte{3, 2, 4}, id)
	return append(binary.BigEndian.AppendUint16(sig, uint16(len(value))), value...)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var ring Keyring
	if err := errors.Join(ring.AddKey(r.Public(), 0), ring.AddKey(ec.Public(), 0)); err != nil {
		t.Fatal(err)
	}
	p := allow("/listed")
	p.VerificationKeys = ring.String()
	signed := func(path string, key crypto.Signer) line {
		return line{template: "ima-sig", digest: digest(path), path: path, last: sign(t, key, digest(path))}
	}
	wrong := signed("/wrong", r)
	wrong.last[len(wrong.last)-1]++
	other := signed("/other", r)
	other.digest = digest("changed")
	broken := signed("/broken", r)
	broken.last = broken.last[:len(broken.last)-1]
	for _, c := range []struct {
		name string
		l    line
		want string
	}{
		{"RSA", signed("/rsa", r), ""},
		{"EC", signed("/ec", ec), ""},
		{"listed, unsigned", line{template: "ima-sig", digest: digest("/listed"), path: "/listed"}, ""},
		{"unsigned", line{template: "ima-sig", digest: digest("/x"), path: "/x"}, CheckNotInPolicy},
		{"wrong value", wrong, CheckNotInPolicy},
		{"another digest", other, CheckNotInPolicy},
		{"listed with another digest, signed", signed("/listed", r), ""},
	} {
		v := judge(t, evaluator(t, p, Options{}), c.l)
		if checks(v) != c.want {
			t.Errorf("%s: %+v", c.name, v.Findings)
		}
		if c.name == "wrong value" && !strings.Contains(v.Findings[0].Message, "the signature does not count: signature was not made by its key") {
			t.Errorf("%s", v.Findings[0].Message)
		}
	}
	// A signature that cannot be read is taken as none, so its entry is another.
	if v := judge(t, evaluator(t, p, Options{}), broken); checks(v) != CheckTemplateHash+" "+CheckPCRMismatch {
		t.Errorf("%+v", v.Findings)
	}
	// The keyring of a request replaces that of the policy.
	if v := judge(t, evaluator(t, p, Options{Keyring: &Keyring{}}), signed("/rsa", r)); checks(v) != CheckNotInPolicy {
		t.Errorf("%+v", v.Findings)
	}
	// The recorded line of Keylime, with the recorded keyring.
	var vectors struct {
		Ring struct{ String string } `json:"ima_keyring"`
		Sig  struct {
			Line string
			PCR  string `json:"pcr10_sha256_after"`
		} `json:"ima_sig_line"`
	}
	if err := json.Unmarshal(read(t, "../../testdata/vectors/vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeyring(vectors.Ring.String)
	if err != nil {
		t.Fatal(err)
	}
	pcr, _ := hex.DecodeString(vectors.Sig.PCR)
	v, err := evaluator(t, Empty(), Options{Keyring: keys}).Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(vectors.Sig.Line), PCR10: pcr, Bank: "sha256"})
	if err != nil || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestBuffers: keys that the policy allows are learned and sign later entries.
func TestBuffers(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := x509.MarshalPKIXPublicKey(edKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	buf := func(name string, content []byte) line {
		d := sha256.Sum256(content)
		return line{template: "ima-buf", digest: d[:], path: name, last: content}
	}
	signed := line{template: "ima-sig", digest: digest("/s"), path: "/s", last: sign(t, key, digest("/s"))}
	p := Empty()
	p.Keyrings.Add(".ima", hex.EncodeToString(sum(crypto.SHA256, der)))
	p.Keyrings.Add(".other", hex.EncodeToString(digest("x")))
	p.IMABuf.Add("kernel_version", hex.EncodeToString(digest("6.1")))
	p.Excludes = []string{"dm_.*"}
	ignore := p.Clone()
	ignore.IMA.IgnoredKeyrings = []string{".evm"}
	all := p.Clone()
	all.IMA.IgnoredKeyrings = []string{"*"}
	for _, c := range []struct {
		name  string
		p     *Policy
		lines []line
		want  string
	}{
		{"key allowed and learned", p, []line{buf(".ima", der), signed}, ""},
		{"signed before the key is there", p, []line{signed, buf(".ima", der)}, CheckNotInPolicy},
		{"key not in policy", p, []line{buf(".evm", der), signed}, CheckKeyNotIn + " " + CheckNotInPolicy},
		{"key with another digest", p, []line{buf(".other", der)}, CheckKeyDigest},
		{"keyring ignored, not learned", ignore, []line{buf(".evm", der), signed}, CheckNotInPolicy},
		{"all ignored", all, []line{buf(".ima", der), signed}, CheckNotInPolicy},
		{"key of a type", p, []line{buf(".ima", ed)}, CheckKeyType},
		{"buffer", p, []line{buf("kernel_version", []byte("6.1"))}, ""},
		{"buffer with another digest", p, []line{buf("kernel_version", []byte("6.2"))}, CheckBufferDigest},
		{"buffer not in policy", p, []line{buf("boot_params", nil)}, CheckBufferNotIn},
		{"buffer excluded", p, []line{buf("dm_table_load", []byte("x"))}, ""},
	} {
		v := judge(t, evaluator(t, c.p, Options{}), c.lines...)
		if checks(v) != c.want {
			t.Errorf("%s: %+v", c.name, v.Findings)
		}
	}
	// Learned keys stay in the state, and go with it.
	e, st := evaluator(t, p, Options{}), &State{}
	pcr := extend(crypto.SHA256, nil, buf(".ima", der))
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(buf(".ima", der))), PCR10: pcr, Bank: "sha256"}); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(signed)), PCR10: extend(crypto.SHA256, pcr, signed), Bank: "sha256"}); err != nil || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	st.learned = keyrings{}
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(signed)), PCR10: extend(crypto.SHA256, st.running, signed), Bank: "sha256"}); err != nil || checks(v) != CheckNotInPolicy {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestNewEvaluatorRefuses(t *testing.T) {
	t.Parallel()
	bad := func(change func(*Policy)) *Policy {
		p := allow("/a")
		change(p)
		return p
	}
	var exclude *ExcludeError
	if _, err := NewEvaluator(bad(func(p *Policy) { p.Excludes = []string{"a", "("} }), Options{}); !errors.As(err, &exclude) || exclude.Pattern != "(" {
		t.Errorf("%v", err)
	}
	// Only joined it is no pattern.
	if _, err := NewEvaluator(bad(func(p *Policy) { p.Excludes = []string{"(?i)a"} }), Options{}); !errors.As(err, &exclude) {
		t.Errorf("%v", err)
	}
	var schema *SchemaError
	if _, err := NewEvaluator(bad(func(p *Policy) { p.IMA.LogHashAlg = "md5" }), Options{}); !errors.As(err, &schema) {
		t.Errorf("%v", err)
	}
	if _, err := NewEvaluator(bad(func(p *Policy) { p.VerificationKeys = "{}" }), Options{}); !errors.As(err, &schema) {
		t.Errorf("%v", err)
	}
	// As upstream: dropped, and said.
	e := evaluator(t, bad(func(p *Policy) { p.Excludes = []string{"("} }), Options{Compat: true})
	if v := judge(t, e, file("/x")); checks(v) != CheckNotInPolicy || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "no path is excluded") {
		t.Errorf("%+v", v)
	}
	// What joining changes is applied as a verifier applies it, and said.
	e = evaluator(t, bad(func(p *Policy) { p.Excludes = []string{"(/x)", `(/y)\1`} }), Options{})
	if v := judge(t, e, file("/x")); !v.Accepted || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "would mean another group") {
		t.Errorf("%+v", v)
	}
	e = evaluator(t, bad(func(p *Policy) { p.VerificationKeys = `{"pubkeys": ["AAAA"], "keyids": [0]}` }), Options{})
	if v := judge(t, e, file("/a")); !v.Accepted || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "left out") {
		t.Errorf("%+v", v)
	}
}

// FuzzEvaluate judges any bytes: no panic, findings bounded, and a refusal
// whenever the value of the PCR is not reached.
func FuzzEvaluate(f *testing.F) {
	f.Add([]byte(list(file("/a"), file("/c"))), []byte{}, false)
	f.Add(read(f, evidence+"sb-on/ima_ascii.txt")[:1500], recordedPCR(f, evidence+"sb-on/pcrs.txt", "sha256"), false)
	f.Add(read(f, evidence+"sb-on/ima_binary.bin")[:1500], []byte{1}, true)
	p := allow("/a")
	p.Excludes = []string{"/tmp/.*"}
	e := evaluator(f, p, Options{MaxFindings: 5})
	f.Fuzz(func(t *testing.T, data, pcr []byte, binaryForm bool) {
		st := &State{}
		value := append(bytes.Clone(pcr[:min(len(pcr), 31)]), make([]byte, 32)...)[:32]
		value[31] = 1
		v, err := e.Evaluate(context.Background(), st, Evidence{List: bytes.NewReader(data), Binary: binaryForm, PCR10: value, Bank: "sha256"})
		if err != nil {
			return
		}
		if v.Accepted || len(v.Findings) == 0 || len(v.Findings) > 6 || st.NextEntry != 0 {
			t.Fatalf("%+v", v)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	})
}

package runtime

import (
	"bytes"
	"context"
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

	"github.com/keylime/keylime-tenant/policy/pyre"
)

const evidence = "../../testdata/evidence/"

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

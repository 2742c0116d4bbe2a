package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

func hexOf(c string) string { return strings.Repeat(c, 64) }

func TestDiff(t *testing.T) {
	t.Parallel()
	old, now := goodPolicy(t), goodPolicy(t)
	if d := Diff(old, now); d != nil {
		t.Fatalf("%+v", d)
	}
	ring, err := KeyringFromFiles(fixtures + "ec.pub")
	if err != nil {
		t.Fatal(err)
	}
	now.Digests.Set("/init", []string{hexOf("a"), hexOf("b"), hexOf("a")})
	now.Digests.Add("/new", hexOf("c"))
	now.AddExcludes([]string{"/x"})
	now.Keyrings.Add(".ima", hexOf("d"))
	old.IMABuf.Add("kernel_version", hexOf("e"))
	now.IMA.IgnoredKeyrings = []string{"*"}
	now.IMA.LogHashAlg = "sha256"
	now.Release = "2"
	if err := now.AddKeys(ring); err != nil {
		t.Fatal(err)
	}
	id := keyNames(now.VerificationKeys)
	want := []Change{
		{Section: SectionDigests, Name: "/init", Added: []string{hexOf("a"), hexOf("b")}, Removed: old.Digests.Get("/init")},
		{Section: SectionDigests, Name: "/new", Added: []string{hexOf("c")}},
		{Section: SectionExcludes, Added: []string{"/x"}},
		{Section: SectionKeyrings, Name: ".ima", Added: []string{hexOf("d")}},
		{Section: SectionBuffers, Name: "kernel_version", Removed: []string{hexOf("e")}},
		{Section: SectionIgnored, Added: []string{"*"}},
		{Section: SectionLogHash, Added: []string{"sha256"}, Removed: []string{"sha1"}},
		{Section: SectionKeys, Added: id},
		{Section: SectionRelease, Added: []string{"2"}, Removed: []string{"0"}},
	}
	if d := cmp.Diff(want, Diff(old, now)); d != "" || len(id) != 1 || !strings.Contains(id[0], "EC P-256") {
		t.Error(d, id)
	}
	// The other way round everything is removed.
	for i, c := range Diff(now, old) {
		if w := want[i]; c.Section == SectionDigests && c.Name == "/init" && !slices.Equal(c.Removed, w.Added) {
			t.Errorf("%+v", c)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := goodPolicy(t), allow("/init", "/b")
	b.AddExcludes([]string{"/x", "/y"})
	a.AddExcludes([]string{"/x"})
	b.IMA.IgnoredKeyrings = []string{".evm"}
	b.Keyrings.Add(".ima", hexOf("d"))
	ring, err := KeyringFromFiles(fixtures+"ec.pub", fixtures+"rsa.pub", fixtures+"ec2.key")
	if err != nil {
		t.Fatal(err)
	}
	b.VerificationKeys = ring.String()
	before := string(a.Marshal())
	m, err := Merge(a, b, Empty())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Digests.Get("/init")) != 2 || !m.Digests.Has("/b") || m.Digests.Len() != a.Digests.Len()+1 || len(m.Excludes) != len(a.Excludes)+1 ||
		len(m.IMA.IgnoredKeyrings) != 1 || !m.Keyrings.Has(".ima") || m.VerificationKeys != ring.String() || m.Meta.Timestamp != a.Meta.Timestamp {
		t.Errorf("%s", m.Marshal())
	}
	if string(a.Marshal()) != before {
		t.Error("merging changed an input")
	}
	if m, err := Merge(); err != nil || string(m.Marshal()) != emptyText {
		t.Errorf("%v", err)
	}
	var refused *MergeError
	other := Empty()
	other.IMA.LogHashAlg = "sha256"
	if _, err := Merge(a, b, other); !errors.As(err, &refused) || refused.Index != 2 {
		t.Errorf("%v", err)
	}
	other = Empty()
	other.VerificationKeys = "x"
	if _, err := Merge(a, other); !errors.As(err, &refused) || refused.Index != 1 || refused.Err == nil {
		t.Errorf("%v", err)
	}
	// Each alone is good, together a name is there twice.
	x, y := Empty(), Empty()
	x.Excludes, y.Excludes = []string{"(?P<n>a)"}, []string{"(?P<n>b)"}
	var exclude *ExcludeError
	if _, err := Merge(x, y); !errors.As(err, &exclude) || exclude.Pattern != "(?P<n>b)" {
		t.Errorf("%v", err)
	}
}

// TestAccept: what an evaluation refused is accepted by the next.
func TestAccept(t *testing.T) {
	t.Parallel()
	p := allow("/a", "/b")
	lines := []line{file("/a"), {digest: digest("new"), path: "/b"}, file("/c"), {template: "ima-buf", digest: digest("x"), path: "kernel_version", last: []byte("x")}}
	v := judge(t, evaluator(t, p, Options{}), lines...)
	if n := p.Accept(v.Findings); n != 3 || len(v.Findings) != 3 {
		t.Fatalf("%d of %+v", n, v.Findings)
	}
	if v := judge(t, evaluator(t, p, Options{}), lines...); !v.Accepted {
		t.Errorf("%+v", v)
	}
	if n := p.Accept([]policy.Finding{{Check: CheckPCRMismatch, Found: []string{hexOf("a")}}, {Check: CheckDigest, Where: "/b", Found: []string{"zz"}}, {Check: CheckDigest, Where: strings.Repeat("x", maxName+3), Found: []string{hexOf("a")}}}); n != 0 {
		t.Errorf("%d", n)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	ring, err := KeyringFromFiles(fixtures + "ec.pub")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Policy)
		want   string
		grave  bool
	}{
		{"good", func(*Policy) {}, "", false},
		{"empty", func(p *Policy) { *p = *Empty() }, RuleEmpty, true},
		{"keys alone", func(p *Policy) { *p = *Empty(); p.VerificationKeys = ring.String() }, "", false},
		{"bad exclude", func(p *Policy) { p.Excludes = []string{"("} }, RuleBadExclude, true},
		{"changed exclude", func(p *Policy) { p.Excludes = []string{`/(a)\1`} }, RuleBadExclude, true},
		{"everything", func(p *Policy) { p.Excludes = []string{"/.*"} }, RuleWideExclude + " " + RuleExcludedDigest, true},
		{"programs", func(p *Policy) { p.Excludes = []string{"/usr/.*"} }, RuleSystemExclude, false},
		{"no beginning", func(p *Policy) { p.Excludes = []string{"tmp/.*"} }, RuleDeadExclude, false},
		{"boot aggregate", func(p *Policy) { p.Excludes = []string{"boot_aggregate"} }, "", false},
		{"letter that may be absent", func(p *Policy) { p.Excludes = []string{"a?/tmp/.*"} }, "", false},
		{"twice", func(p *Policy) { p.Excludes = []string{"/tmp/.*", "/tmp/.*"} }, RuleDuplicate, false},
		{"slow", func(p *Policy) {
			p.Excludes = []string{`/(?=.)(?P<x>.+)+(?P=x)(?P<y>.+)+(?P=y)(?P<z>.+)+(?P=z)(?P<w>.+)+(?P=w)\d`}
		}, RuleSlowExclude, true},
		{"excluded digest", func(p *Policy) { p.Excludes = []string{"/a"} }, RuleExcludedDigest, false},
		{"digest length", func(p *Policy) { p.Digests.Set("/a", []string{strings.Repeat("a", 50)}) }, RuleDigestLength, false},
		{"digest and newline", func(p *Policy) { p.Digests.Set("/a", []string{hexOf("a") + "\n"}) }, RuleDigestLength, false},
		{"digest twice", func(p *Policy) { p.Digests.Set("/a", []string{hexOf("a"), hexOf("a")}) }, RuleDuplicate, false},
		{"blank", func(p *Policy) { p.Digests.Add("/a b", hexOf("a")) }, RuleBlankPath, false},
		{"relative", func(p *Policy) { p.Digests.Add("a", hexOf("a")) }, RuleRelativePath, false},
		{"never measured", func(p *Policy) { p.Digests.Add("/proc/cpuinfo", hexOf("a")) }, RuleNeverMeasured, false},
		{"no boot aggregate", func(p *Policy) { *p = *allow("/a") }, RuleNoBootAggregate, false},
		{"all keyrings", func(p *Policy) { p.IMA.IgnoredKeyrings = []string{"*"} }, RuleIgnoredKeyrings, false},
		{"log hash", func(p *Policy) { p.IMA.LogHashAlg = "sha256" }, RuleLogHash, false},
		{"keys", func(p *Policy) { p.VerificationKeys = `{"pubkeys": ["AA=="], "keyids": [1]}` }, RuleKeys, true},
		{"no keyring", func(p *Policy) { p.VerificationKeys = `x` }, RuleKeys, true},
		{"version", func(p *Policy) { p.Meta.Version = 2 }, RuleVersion, false},
	} {
		p := allow("/a", "boot_aggregate")
		c.change(p)
		var rules []string
		grave := false
		for _, n := range p.Lint() {
			rules = append(rules, n.Rule)
			grave = grave || n.Grave
			if n.Message == "" || strings.HasSuffix(n.Message, ".") {
				t.Errorf("%s: %+v", c.name, n)
			}
		}
		if got := strings.Join(rules, " "); got != c.want || grave != c.grave {
			t.Errorf("%s: %q, grave %v", c.name, got, grave)
		}
	}
	if notes := goodPolicy(t).Lint(); len(notes) != 0 {
		t.Errorf("%+v", notes)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	p := goodPolicy(t)
	p.AddExcludes([]string{"/tmp/.*"})
	p.Keyrings.Add(".ima", hexOf("a"))
	p.IMABuf.Set("kernel_version", []string{hexOf("a"), hexOf("b")})
	p.IMA.IgnoredKeyrings = []string{"*", ".evm"}
	ring, err := KeyringFromFiles(fixtures + "rsa.pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AddKeys(ring); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(p.Words(), "\n")
	for _, want := range []string{"made by a tool", "(52 sha256)", "Allows boot_aggregate 3dc37", "match of /tmp/.*", "1 key to be added to keyring .ima", "2 contents of buffer kernel_version",
		"keyrings of any name", "keyrings of .evm", "(RSA 2048)", "SHA1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	s := p.Summarize()
	if s.Files != p.Digests.Len()-1 || s.Algorithms["sha256"] != s.FileDigests || len(s.Keys) != 1 || s.Buffers["kernel_version"] != 2 || s.LogHashAlg != "sha1" {
		t.Errorf("%+v", s)
	}
	if text := strings.Join(Empty().Words(), "\n"); !strings.Contains(text, "Allows 0 files with 0 digests\n") || !strings.Contains(text, "Excludes no path") || !strings.Contains(text, "no boot_aggregate") {
		t.Error(text)
	}
	if algorithm("abc") != "3 digits" {
		t.Error(algorithm("abc"))
	}
}

func TestParseKeyring(t *testing.T) {
	t.Parallel()
	ring, err := KeyringFromFiles(fixtures+"ec.pub", fixtures+"ec.key", fixtures+"rsa.pub")
	if err != nil || ring.Len() != 2 {
		t.Fatal(ring, err)
	}
	text := ring.String()
	again, err := ParseKeyring(text)
	if err != nil || again.String() != text {
		t.Errorf("%v", err)
	}
	if again, err = ParseKeyring(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`); err != nil || again.String() != text {
		t.Errorf("written as a string: %v", err)
	}
	// Without ids they are computed, also for 0.
	keys := text[strings.Index(text, "[") : strings.Index(text, "]")+1]
	for _, ids := range []string{"", "0", "0, 0, 5"} {
		if again, err = ParseKeyring(`{"keyids": [` + ids + `], "pubkeys": ` + keys + `, "meta": {"version": 1}}`); err != nil || again.String() != text {
			t.Errorf("ids %q: %v", ids, err)
		}
	}
	if none, err := ParseKeyring(""); err != nil || none.Len() != 0 {
		t.Errorf("%v", err)
	}
	var syntax *SyntaxError
	var schema *SchemaError
	var key *ima.KeyError
	for text, target := range map[string]any{
		"{":                                   &syntax,
		`"x"`:                                 &syntax,
		`[]`:                                  &schema,
		`{"keyids": []}`:                      &schema,
		`{"keyids": [], "pubkeys": ["%"]}`:    &key,
		`{"keyids": [], "pubkeys": ["AA=="]}`: &key,
		`{"keyids": [-1], "pubkeys": ` + keys + `}`:         &key,
		`{"keyids": [4294967296], "pubkeys": ` + keys + `}`: &key,
	} {
		if k, err := ParseKeyring(text); k != nil || !errors.As(err, target) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeyringFromFiles(filepath.Join(dir, "x")); !errors.As(err, &key) || !strings.HasSuffix(key.Name, "x") {
		t.Errorf("%v", err)
	}
	if _, err := KeyringFromFiles(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

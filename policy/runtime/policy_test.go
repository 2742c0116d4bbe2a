package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const fixtures = "../../testdata/golden/fixtures/"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func goodPolicy(t testing.TB) *Policy {
	t.Helper()
	p, err := ParsePolicy(read(t, fixtures+"rp-good.json"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const emptyText = `{"meta": {"version": 1, "generator": 1}, "release": 0, "digests": {}, "excludes": [], "keyrings": {}, ` +
	`"ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`

func TestEmpty(t *testing.T) {
	t.Parallel()
	if got := string(Empty().Marshal()); got != emptyText {
		t.Errorf("%s\nwant %s", got, emptyText)
	}
}

// TestRoundTrip: what upstream wrote comes out byte for byte, unknown members,
// order and spelling of other producers as value.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	text := bytes.TrimSpace(read(t, fixtures+"rp-good.json"))
	if got := goodPolicy(t).Marshal(); !bytes.Equal(got, text) {
		t.Errorf("%.300s\nwant\n%.300s", got, text)
	}
	odd := `{"x": [1e3, -0, true, null, {"é\u20ac\ud83d\ude00": "\u007f\u0001\/"}], "release": 0, "digests": {"/a\"\\": ["` + strings.Repeat("a", 40) + `"], "/b": ["` +
		strings.Repeat("b", 128) + `\n"]},` + "\n\t" + `"excludes":["é"],"keyrings": {}, "ima": {"dm_policy": null, "y": {}, "log_hash_alg": "sha512",  "ignored_keyrings": ["*"]}, "ima-buf": {},
		"meta": {"generator": 0, "version": 7, "z": ""}, "verification-keys": "{\"keyids\": [], \"pubkeys\": []}"}`
	want := `{"x": [1e3, -0, true, null, {"\u00e9\u20ac\ud83d\ude00": "\u007f\u0001/"}], "release": 0, "digests": {"/a\"\\": ["` + strings.Repeat("a", 40) + `"], "/b": ["` +
		strings.Repeat("b", 128) + `\n"]}, "excludes": ["\u00e9"], "keyrings": {}, "ima": {"dm_policy": null, "y": {}, "log_hash_alg": "sha512", "ignored_keyrings": ["*"]}, "ima-buf": {}, ` +
		`"meta": {"generator": 0, "version": 7, "z": ""}, "verification-keys": "{\"keyids\": [], \"pubkeys\": []}"}`
	want = strings.Replace(want, `\u007f`, "\x7f", 1)
	p, err := ParsePolicy([]byte(odd))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(p.Marshal()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// Repeated members: the first place, the last value.
	twice := strings.Replace(emptyText, `"release": 0`, `"release": "no", "release": 5`, 1)
	if p, err = ParsePolicy([]byte(twice)); err != nil || !bytes.Contains(p.Marshal(), []byte(`}, "release": 5, "digests"`)) {
		t.Errorf("%s, %v", p.Marshal(), err)
	}
	p.Stamp(GeneratorLegacy, time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC))
	if !bytes.HasPrefix(p.Marshal(), []byte(`{"meta": {"version": 1, "generator": 3, "timestamp": "2026-01-02 03:04:05.000006"}, `)) {
		t.Errorf("%s", p.Marshal())
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	p := goodPolicy(t)
	before := string(p.Marshal())
	c := p.Clone()
	c.Digests.Add("/new", strings.Repeat("0", 64))
	c.Digests.Add("boot_aggregate", strings.Repeat("0", 64))
	c.AddExcludes([]string{"/x"})
	c.IMA.IgnoredKeyrings = append(c.IMA.IgnoredKeyrings, "*")
	if string(p.Marshal()) != before || string(c.Marshal()) == before {
		t.Error("copy and original are not independent")
	}
}

// TestSchema spoils the policy at one place each; messages are those of
// upstream's validate_runtime_policy.
func TestSchema(t *testing.T) {
	t.Parallel()
	digests := func(name, value string) [2]string { return [2]string{`"` + name + `": {}`, `"` + name + `": ` + value} }
	for _, c := range []struct {
		change [2]string
		want   string
	}{
		{[2]string{`"meta": {"version": 1, "generator": 1}, `, ``}, "'meta' is a required property"},
		{[2]string{`, "verification-keys": ""`, ``}, "'verification-keys' is a required property"},
		{[2]string{`{"version": 1, "generator": 1}`, `{"generator": 1}`}, "'version' is a required property"},
		{[2]string{`{"version": 1, "generator": 1}`, `[]`}, "[] is not of type 'object'"},
		{[2]string{`"version": 1`, `"version": true`}, "True is not of type 'integer'"},
		{[2]string{`"version": 1`, `"version": -1`}, "-1 is less than the minimum of 0"},
		{[2]string{`"version": 1`, `"version": 1.5`}, "1.5 is not of type 'integer'"},
		{[2]string{`"generator": 1`, `"generator": 4`}, "4 is greater than the maximum of 3"},
		{[2]string{`"generator": 1`, `"generator": 1, "timestamp": 1e20`}, "1e+20 is not of type 'string'"},
		{[2]string{`"release": 0`, `"release": "0"`}, "'0' is not of type 'integer'"},
		{[2]string{`"excludes": []`, `"excludes": [null, {"a": [1.0]}]`}, "{'a': [1.0]} is not of type 'string'"},
		{[2]string{`"excludes": []`, `"excludes": "x"`}, "'x' is not of type 'array'"},
		{[2]string{`"log_hash_alg": "sha1"`, `"log_hash_alg": "md5"`}, "'md5' is not one of ['sha1', 'sha256', 'sha384', 'sha512']"},
		{[2]string{`"log_hash_alg": "sha1"`, `"log_hash_alg": 1`}, "1 is not of type 'string'"},
		{[2]string{`"log_hash_alg": "sha1", `, ``}, "'log_hash_alg' is a required property"},
		{[2]string{`"dm_policy": null`, `"dm_policy": {}`}, "{} is not of type 'null'"},
		{[2]string{`"ignored_keyrings": []`, `"ignored_keyrings": [3]`}, "3 is not of type 'string'"},
		{[2]string{`"ima": {`, `"imb": {`}, "'ima' is a required property"},
		{digests("digests", `[]`), "[] is not of type 'object'"},
		{digests("keyrings", `{"k": []}`), "[] should be non-empty"},
		{digests("keyrings", `{"k": "x"}`), "'x' is not of type 'array'"},
		{digests("ima-buf", `{"k": [5]}`), "5 is not of type 'string'"},
		{digests("digests", `{"/a": ["ABCDEF"]}`), "'ABCDEF' does not match '^[0-9a-f]{40,128}$'"},
		{digests("digests", `{"/a": ["é'"], "/b": ["x"]}`), "'x' does not match '^[0-9a-f]{40,128}$'"},
		{digests("digests", `{"/a": ["é'", 1]}`), "1 is not of type 'string'"},
		{digests("digests", `{"/a": ["é'"]}`), `"é'" does not match '^[0-9a-f]{40,128}$'`},
		{[2]string{`"verification-keys": ""`, `"verification-keys": null`}, "None is not of type 'string'"},
		{[2]string{`"verification-keys": ""`, `"verification-keys": "x"`}, "Expecting value: line 1 column 1 (char 0)"},
		{[2]string{`"verification-keys": ""`, `"verification-keys": "{\"keyids\": []}"`}, "'pubkeys' is a required property"},
		{[2]string{`"verification-keys": ""`, `"verification-keys": "{\"keyids\": [\"1\"], \"pubkeys\": []}"`}, "'1' is not of type 'integer'"},
		{[2]string{`"verification-keys": ""`, `"verification-keys": "{\"keyids\": [], \"pubkeys\": [], \"meta\": {\"version\": 0}}"`}, "0 is less than the minimum of 1"},
	} {
		text := strings.Replace(emptyText, c.change[0], c.change[1], 1)
		if text == emptyText {
			t.Fatalf("%q changes nothing", c.change)
		}
		p, err := ParsePolicy([]byte(text))
		var e *SchemaError
		if p != nil || !errors.As(err, &e) || e.Message != c.want {
			t.Errorf("%q: %v, want %s", c.change[1], err, c.want)
		}
	}
	for _, text := range []string{"[1, 2]", `"x"`, "{}"} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s taken", text)
		}
	}
	if _, err := ParsePolicy([]byte(strings.Replace(emptyText, `"version": 1`, `"version": 1.0`, 1))); err != nil {
		t.Errorf("a float without fraction is an integer to upstream: %v", err)
	}
	var e *SchemaError
	if _, err := ParsePolicy(read(t, fixtures+"rp-schema-bad.json")); !errors.As(err, &e) || e.Message != "'meta' is a required property" {
		t.Errorf("%v", err)
	}
}

// TestSyntax: messages are those of Python's json.loads.
func TestSyntax(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "Expecting value: line 1 column 1 (char 0)",
		"{not json":                       "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
		"{\n\"a\" 1}":                     "Expecting ':' delimiter: line 2 column 5 (char 6)",
		`{"a": 1 "b"}`:                    "Expecting ',' delimiter: line 1 column 9 (char 8)",
		`{"a": 1,}`:                       "Expecting property name enclosed in double quotes: line 1 column 9 (char 8)",
		`[1,]`:                            "Expecting value: line 1 column 4 (char 3)",
		`[1 2]`:                           "Expecting ',' delimiter: line 1 column 4 (char 3)",
		`["a`:                             "Unterminated string starting at: line 1 column 2 (char 1)",
		"[\"a\nb\"]":                      "Invalid control character at: line 1 column 4 (char 3)",
		`["\x"]`:                          `Invalid \escape: line 1 column 3 (char 2)`,
		`["\u12"]`:                        `Invalid \uXXXX escape: line 1 column 4 (char 3)`,
		`{"é": 1} x`:                      "Extra data: line 1 column 10 (char 9)",
		`-`:                               "Expecting value: line 1 column 1 (char 0)",
		`01`:                              "Extra data: line 1 column 2 (char 1)",
		`1.`:                              "Extra data: line 1 column 2 (char 1)",
		`NaN`:                             "Expecting value: line 1 column 1 (char 0)", // Python takes it, JSON does not
		"\xff":                            "text is not UTF-8",
		"\ufeff{}":                        "Unexpected UTF-8 BOM (decode using utf-8-sig)",
		strings.Repeat("[", maxNesting+1): "value is nested too deeply: line 1 column 501 (char 500)",
	} {
		_, err := ParsePolicy([]byte(text))
		var e *SyntaxError
		if !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func TestConvertLegacy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 1, 2, 3, 4000, time.UTC)
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 40)
	p, warnings, err := ConvertLegacy([]byte("# comment\n\n"+a+"  /usr/bin/my file\r\n"+strings.ToUpper(b)+"\t/x\n"+b+" /x\n"+a+" %keyring:.ima\nalone\n"), []byte("# c\n/tmp/.*\n"), now)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"meta": {"version": 1, "generator": 3, "timestamp": "2026-11-25 01:02:03.000004"}, "release": 0, "digests": {"/usr/bin/my file": ["` + a + `"], "/x": ["` + b + `"]}, ` +
		`"excludes": ["/tmp/.*"], "keyrings": {".ima": ["` + a + `"]}, ` + emptyText[strings.Index(emptyText, `"ima":`):]
	if got := string(p.Marshal()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(warnings) != 4 {
		t.Errorf("%q", warnings)
	}
	p, warnings, err = ConvertLegacy([]byte(`{"meta": {"version": 0}, "release": 3, "hashes": {"/x": ["`+a+`"]}, "excludes": [], "odd": 1, "keyrings": {"k": ["`+b+`"]}}`), nil, now)
	if err != nil || len(warnings) != 1 || p.Digests.Len() != 1 || p.Keyrings.Len() != 1 || p.Release != "3" || p.Meta.Generator != GeneratorLegacy || p.Meta.Version != 1 {
		t.Errorf("%s, %v, %v", p.Marshal(), warnings, err)
	}
	fixture, _, err := ConvertLegacy(read(t, fixtures+"allowlist.txt"), read(t, fixtures+"exclude.txt"), now)
	if err != nil || fixture.Digests.Len() < 40 || len(fixture.Excludes) != 2 {
		t.Errorf("%v", err)
	}
	if again, err := ParsePolicy(fixture.Marshal()); err != nil || again.Digests.Len() != fixture.Digests.Len() {
		t.Errorf("%v", err)
	}
}

func TestConvertLegacyRefuses(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("a", 64) + " /x\n"
	for _, c := range []struct{ name, allowlist, excludes, want string }{
		{"policy", string(read(t, fixtures+"rp-good.json")), "", ErrIsPolicy.Error()},
		{"no hashes", `{"x": 1}`, "", `no "hashes"`},
		{"list", `[]`, "", "no object"},
		{"bad digest", good + "zz /x\n", "", "line 2:"},
		{"bad hashes", `{"hashes": {"/x": "y"}}`, "", "'y' is not of type 'array'"},
		{"not text", "\xff", "", "not UTF-8"},
		{"bad excludes", good, "ok\n\n(\n", "(line 3): Invalid regex: missing ), unterminated subpattern"},
	} {
		p, _, err := ConvertLegacy([]byte(c.allowlist), []byte(c.excludes), time.Time{})
		if p != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	if p, changed, _, err := Convert(read(t, fixtures+"rp-good.json"), now); err != nil || changed || p.Meta.Generator != GeneratorLegacy {
		t.Errorf("%v %v", changed, err)
	}
	for name, text := range map[string]string{
		"version 0":       strings.Replace(emptyText, `"version": 1`, `"version": 0`, 1),
		"without ima-buf": strings.Replace(emptyText, `"ima-buf": {}, `, ``, 1),
	} {
		p, changed, _, err := Convert([]byte(text), now)
		if err != nil || !changed || p.Meta.Version != 1 || p.Meta.Generator != GeneratorCompatible {
			t.Errorf("%s: %v %v", name, changed, err)
		}
	}
	if p, changed, _, err := Convert(read(t, fixtures+"allowlist.txt"), now); err != nil || !changed || p.Meta.Generator != GeneratorLegacy {
		t.Errorf("%v %v", changed, err)
	}
	var legacy *LegacyError
	if _, _, _, err := Convert([]byte(`{"meta": {}}`), now); !errors.As(err, &legacy) {
		t.Errorf("%v", err)
	}
	var schema *SchemaError
	if _, _, _, err := Convert([]byte(strings.Replace(emptyText, `"digests": {}`, `"digests": 3`, 1)), now); !errors.As(err, &schema) {
		t.Errorf("%v", err)
	}
}

func TestParseExcludes(t *testing.T) {
	t.Parallel()
	patterns, warnings, err := ParseExcludes([]byte("\ufeff /tmp/.* \r\n#x\n\n(?P<a>b)(?P=a)\n"))
	if err != nil || strings.Join(patterns, "|") != "/tmp/.*|(?P<a>b)(?P=a)" || len(warnings) != 1 || !strings.Contains(warnings[0], "comments") {
		t.Errorf("%q %q %v", patterns, warnings, err)
	}
	if patterns, warnings, err := ParseExcludes(nil); patterns != nil || warnings != nil || err != nil {
		t.Errorf("%q %q %v", patterns, warnings, err)
	}
	for text, line := range map[string]int{"a\n[unclosed\n": 2, "(a)\n\n(b)\\1": 3, "(?i)x": 1} {
		_, _, err := ParseExcludes([]byte(text))
		var e *ExcludeError
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := ParseExcludes([]byte{0xff}); err == nil {
		t.Error("taken")
	}
	p := Empty()
	if n := p.AddExcludes([]string{"a", "b", "a"}); n != 2 || len(p.Excludes) != 2 {
		t.Errorf("%d %q", n, p.Excludes)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, name := range []string{"rp-good.json", "rp-bad.json", "rp-schema-bad.json", "rp-malformed.json", "allowlist.txt", "mb-list.json"} {
		data := read(f, fixtures+name)
		f.Add(data[:min(len(data), 2000)])
	}
	f.Add([]byte(emptyText))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			var syntax *SyntaxError
			if errors.As(err, &syntax) && json.Valid(data) && strings.Contains(syntax.Reason, "xpecting") {
				t.Fatalf("%v, but it is JSON", err)
			}
			_, _, _, _ = Convert(data, time.Unix(0, 0))
			return
		}
		if !json.Valid(data) {
			t.Fatal("no JSON, and taken")
		}
		text := p.Marshal()
		again, err := ParsePolicy(text)
		if err != nil || !bytes.Equal(again.Marshal(), text) {
			t.Fatalf("%v\n%s", err, text)
		}
		_ = p.Lint()
		_ = p.Words()
		if diff := Diff(p, again); len(diff) != 0 {
			t.Fatalf("%v", diff)
		}
	})
}

// TestManyKeys: a policy with very many keys that nobody knows is read in the
// time that its size takes; it was the square of their number, and a megabyte took minutes.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"odd": 1, "odd": {"a": [2]}`)
	for i := range 300_000 {
		fmt.Fprintf(&b, `, "k%d": %d`, i, i)
	}
	rest := string((&Policy{IMA: IMA{LogHashAlg: "sha1"}}).Marshal())
	p, err := ParsePolicy([]byte(b.String() + ", " + rest[1:]))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.members); n != 300_001+len(knownTop) {
		t.Errorf("%d keys", n)
	}
	if odd := p.members[0]; odd.key != "odd" || string(odd.raw) != `{"a": [2]}` {
		t.Errorf("%s: %s", odd.key, odd.raw)
	}
}

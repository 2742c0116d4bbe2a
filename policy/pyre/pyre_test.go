package pyre

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCompileErrors holds messages and positions against CPython 3.11.7; the
// wanted texts are str(exception) there.
func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, want string }{
		{`abc\`, `bad escape (end of pattern) at position 3`},
		{"a\n(b\nc", `missing ), unterminated subpattern at position 2 (line 2, column 1)`},
		{"a\nb\n\\q", `bad escape \q at position 4 (line 3, column 1)`},
		{`(?P<>x)`, `missing group name at position 4`},
		{`(?P<ab`, `missing >, unterminated name at position 4`},
		{`(?P`, `unexpected end of pattern at position 3`},
		{`(?Px)`, `unknown extension ?Px at position 1`},
		{`(?`, `unexpected end of pattern at position 2`},
		{`(?<`, `unexpected end of pattern at position 3`},
		{`(?P=x)`, `unknown group name 'x' at position 4`},
		{`(?P=it's)`, `bad character in group name "it's" at position 4`},
		{`(?P<x>(?P=x))`, `cannot refer to an open group at position 10`},
		{`(?#abc`, `missing ), unterminated comment at position 0`},
		{`(?(x)a)`, `unknown group name 'x' at position 3`},
		{`(?(0)a)`, `bad group number at position 3`},
		{`(?(-1)a)`, `bad character in group name '-1' at position 3`},
		{`(?(7)a|b)`, `invalid group reference 7 at position 3`},
		{`(?(1073741823)a)`, `invalid group reference 1073741823 at position 3`},
		{`(a)(?(1)a|b|c)`, `conditional backref with more than two branches at position 11`},
		{`(?iL:a)`, `bad inline flags: cannot use 'L' flag with a str pattern at position 4`},
		{`(?au:x)`, `bad inline flags: flags 'a', 'u' and 'L' are incompatible at position 4`},
		{`(?a)(?u)x`, `ASCII and UNICODE flags are incompatible`},
		{`(?t:x)`, `bad inline flags: cannot turn on global flag at position 3`},
		{`(?i-t:x)`, `bad inline flags: cannot turn off global flag at position 5`},
		{`(?i-i:x)`, `bad inline flags: flag turned on and off at position 5`},
		{`(?i-a:x)`, `bad inline flags: cannot turn off flags 'a', 'u' and 'L' at position 5`},
		{`(?i`, `missing -, : or ) at position 3`},
		{`(?iz)`, `unknown flag at position 3`},
		{`(?i.)`, `missing -, : or ) at position 3`},
		{`(?-`, `missing flag at position 3`},
		{`(?-:`, `missing flag at position 3`},
		{`(?-q`, `unknown flag at position 3`},
		{`(?-i`, `missing : at position 4`},
		{`(?-i)`, `missing : at position 4`},
		{`(?-iq`, `unknown flag at position 4`},
		{`(?t)a+`, `internal: unsupported template operator MAX_REPEAT`},
		{`a{4294967295}`, `the repetition number is too large`},
		{`a{1,4294967295}`, `the repetition number is too large`},
		{`a{3,2}`, `min repeat greater than max repeat at position 2`},
		{`^*`, `nothing to repeat at position 1`},
		{`\b+`, `nothing to repeat at position 2`},
		{`a|*`, `nothing to repeat at position 2`},
		{`a+{2}`, `multiple repeat at position 2`},
		{`[a`, `unterminated character set at position 0`},
		{`[a-`, `unterminated character set at position 0`},
		{`[\x4-z]`, `incomplete escape \x4 at position 1`},
		{`\u12`, `incomplete escape \u12 at position 0`},
		{`\U00110000`, `bad escape \U00110000 at position 0`},
		{`[\8]`, `bad escape \8 at position 1`},
		{`[\777]`, `octal escape value \777 outside of range 0-0o377 at position 1`},
		{`\N`, `missing { at position 2`},
		{`\N{`, `missing character name at position 3`},
		{`\N{no such}`, `undefined character name 'no such' at position 0`},
		{`(?<=(a)\1)b`, `cannot refer to group defined in the same lookbehind subpattern at position 9`},
		{`(?<=(?(1)a|b))`, `cannot refer to an open group at position 9`},
		{`(?<=a|bc)d`, `look-behind requires fixed-width pattern`},
		{`(?<=a{4294967294}a{9})b`, `looks too much behind`},
		{`é(`, `missing ), unterminated subpattern at position 1`},
		{"\xff", `pattern is not valid UTF-8`},
		{strings.Repeat("(", 1000), `groups are nested too deeply`},
	} {
		re, err := Compile(c.pattern)
		if re != nil || err == nil || err.Error() != c.want {
			t.Errorf("Compile(%.40q) = %v, %v; want %s", c.pattern, re, err, c.want)
		}
		var e *Error
		if !errors.As(err, &e) || e.Pattern != c.pattern || !strings.HasPrefix(c.want, e.Msg) {
			t.Errorf("Compile(%.40q): %#v", c.pattern, err)
		}
	}
}

// TestMatch has what the vectors do not: prefixes, alternatives split between
// the engines, subjects beyond ASCII. The answers are CPython's.
func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, subject string
		match, full      bool
	}{
		{`/tmp/.*`, "/tmp/", true, true},
		{`/tmp/.*`, "/tmp", false, false},
		{`(/tmp/.*)|(/var/log/[a-z]*)`, "/var/log/9", true, false},
		{`(/usr/(?!bin).*)|(/opt)`, "/usr/bin/x", false, false},
		{`(/usr/(?!bin).*)|(/opt)`, "/usr/lib/x", true, true},
		{`(a)|b\1|c`, "b", false, false},
		{`(a)|b(?(1)x|y)`, "by", true, true},
		{`x$`, "x\n", true, false},
		{`x$\n`, "x\n", true, true},
		{`x\Z`, "x\n", false, false},
		{`\w+`, "\u0661\u00e9", true, true},
		{`(?a)\w+`, "\u00e9", false, false},
		{`\bé\b`, "é", true, true},
		{`\B`, "", false, false},
		{`\Ba`, "a", false, false},
		{`a\Bb`, "ab", true, true},
		{`(?i)straße`, "STRAẞE", true, true},
		{`(?i)[k-s]`, "\u212a", true, true},
		{`(?i)\U00010400`, "\U00010428", true, true},
		{`(?:(?:b)++){2}`, "bbb", false, false},
		{`(?:(?:x)*+){,2}.`, "x", true, true},
		{`(?i)(a)\1`, "aA", true, true},
		{`a{1001}`, strings.Repeat("a", 1001), true, true},
		{`(?:a{1000}){1000}`, strings.Repeat("a", 1000), false, false},
		{`[^\x00-\U0010ffff]`, "a", false, false},
		{`\ud800?a`, "a", true, true},
		{`a{4294967294}?|b`, "b", true, true},
		{`(?x) a \  b # comment`, "a b", true, true},
		{`\N{COLON}\N{latin small letter sharp s}`, ":ß", true, true},
		{`(?(١)a|b)(c)`, "bc", true, true}, // an Arabic-Indic one
		{`(?s).(?-s:.)`, "\n\n", false, false},
	} {
		re, err := Compile(c.pattern)
		if err != nil {
			t.Errorf("Compile(%q): %v", c.pattern, err)
			continue
		}
		if got, err := re.Match(c.subject); err != nil || got != c.match {
			t.Errorf("Match(%q, %q) = %v, %v", c.pattern, c.subject, got, err)
		}
		if got, err := re.FullMatch(c.subject); err != nil || got != c.full {
			t.Errorf("FullMatch(%q, %q) = %v, %v", c.pattern, c.subject, got, err)
		}
		if re.String() != c.pattern {
			t.Errorf("String() = %q", re.String())
		}
	}
}

// TestTimeout: a match that takes too long is an error, not "no match".
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{`(a|aa)+\1[bc]`, `(.+)+\1\d`} {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		re.match.limit = time.Millisecond
		found, err := re.Match(strings.Repeat("a", 60))
		var late *TimeoutError
		if found || !errors.As(err, &late) || late.Limit != time.Millisecond || late.Pattern != pattern {
			t.Errorf("%s: %v, %v", pattern, found, err)
		}
	}
	// What Go's regexp takes needs no limit.
	re, err := Compile(`(a*)*b`)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := re.Match(strings.Repeat("a", 10000)); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

// TestOpenCondition: CPython accepts the pattern, but its answers depend on
// what was tried before; ours is an error.
func TestOpenCondition(t *testing.T) {
	t.Parallel()
	re, err := Compile(`(.|[a-c](?(1)\W|$))`)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := re.Match("a"); found || err == nil || !strings.Contains(err.Error(), "whether that group took part") {
		t.Errorf("%v, %v", found, err)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	re, err := Join([]string{`/tmp/.*`, `(?i:/VAR)/x$`, `(?P<q>a)-(?P=q)`})
	if err != nil {
		t.Fatal(err)
	}
	if want := `(/tmp/.*)|((?i:/VAR)/x$)|((?P<q>a)-(?P=q))`; re.String() != want {
		t.Errorf("joined to %s", re)
	}
	for s, want := range map[string]bool{"/tmp/a": true, "/var/x": true, "/var/xy": false, "a-a": true, "a-b": false, "x/tmp/": false} {
		if got, err := re.Match(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	none, err := Join(nil)
	if found, errMatch := none.Match(""); err != nil || errMatch != nil || found || none.String() != "" {
		t.Errorf("no patterns: %v %v %v", err, errMatch, found)
	}
	if full, err := none.FullMatch(""); full || err != nil {
		t.Errorf("no patterns: %v %v", full, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		patterns []string
		index    int
		want     string
	}{
		{"bad pattern", []string{"a", "("}, 1, "missing ), unterminated subpattern"},
		{"only joined a pattern", []string{"x)(y"}, 0, "unbalanced parenthesis"},
		{"back-reference", []string{"(a)", `(b)\1`}, 1, `back-reference \1 would mean another group`},
		{"condition", []string{`(a)?(?(1)b|c)`}, 0, "condition (?(1)...) would mean another group"},
		{"global flags", []string{"a", "(?i)b"}, 1, "global flags not at the start of the expression"},
		{"name twice", []string{"(?P<a>x)", "y", "(?P<a>z)"}, 2, "redefinition of group name 'a'"},
		{"trailing backslash", []string{`a\`}, 0, "bad escape (end of pattern)"},
		{"comment", []string{`(?#a`}, 0, "unterminated comment"},
	} {
		re, err := Join(c.patterns)
		var e *JoinError
		if re != nil || !errors.As(err, &e) || e.Index != c.index || e.Pattern != c.patterns[c.index] || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", c.name, re, err)
		}
	}
	// A verifier takes these all the same, with the meaning that they have joined.
	re, err := CompileJoined([]string{"(a)", `(b)\1`})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := re.Match("bb"); found || err != nil {
		t.Errorf("%v, %v: group 1 is the first pattern", found, err)
	}
	if _, err := CompileJoined([]string{"("}); err == nil || err.Error() != "missing ), unterminated subpattern at position 0" {
		t.Errorf("%v", err)
	}
	if re, err := CompileJoined(nil); re != nil || err != nil {
		t.Errorf("%v, %v", re, err)
	}
}

// TestEscape is what re.escape of CPython 3.11 makes of ASCII.
func TestEscape(t *testing.T) {
	t.Parallel()
	in := "\x00\t\n !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~é"
	want := "\x00\\\t\\\n\\ !\"\\#\\$%\\&'\\(\\)\\*\\+,\\-\\./09:;<=>\\?@AZ\\[\\\\\\]\\^_`az\\{\\|\\}\\~é"
	if got := Escape(in); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	re, err := Compile(Escape(in))
	if err != nil {
		t.Fatal(err)
	}
	if full, err := re.FullMatch(in); !full || err != nil {
		t.Errorf("%v, %v", full, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	re, err := Compile(`(/usr/(?!bin).*)|(\w+)`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, s := range []string{"/usr/lib", "é", "a"} {
				if found, err := re.Match(s); !found || err != nil {
					t.Errorf("%q: %v, %v", s, found, err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzCompile looks for panics and, as far as there are two ways to an answer,
// for differences between them: Go's regexp and regexp2, prefixes and engines,
// ASCII and wide engines, a whole match and one at the start.
func FuzzCompile(f *testing.F) {
	v := readVectors(f)
	for i, c := range v.Res {
		f.Add(c.P, v.Strs[i%len(v.Strs)])
	}
	golden, err := os.ReadFile("../../testdata/golden/fixtures/exclude.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(golden), "/var/log/x")
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		if len(pattern) > 60 || len(subject) > 30 {
			return
		}
		re, err := Compile(pattern)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Msg == "" || e.Pos > len(pattern) {
				t.Fatalf("%#v", err)
			}
			return
		}
		re.match.limit, re.full.limit = 20*time.Millisecond, 20*time.Millisecond
		match, errMatch := re.Match(subject)
		full, errFull := re.FullMatch(subject)
		if errMatch != nil || errFull != nil {
			return
		}
		if full && !match {
			t.Fatalf("%q on %q: matches as a whole but not at the start", pattern, subject)
		}
		all, whole := flatten(re.root, nil), full
		for _, full := range []bool{false, true} {
			want := match
			if full {
				want = re.full.alternatives != nil && whole
			}
			for _, ascii := range []bool{false, isASCII(subject)} {
				if _, exact := emit(all, dialectGo, ascii, full); exact {
					compare(t, all, ascii, full, subject, want)
				}
			}
		}
	})
}

// compare runs alternatives in regexp2, whatever engine they would get.
func compare(t *testing.T, all []*node, ascii, full bool, subject string, want bool) {
	e := &engine{}
	if err := e.buildBack(all, ascii, full, 20*time.Millisecond); err != nil {
		return
	}
	if got, err := e.back.MatchString(subject); err == nil && got != want {
		text, _ := emit(all, dialectRegexp2, ascii, full)
		t.Fatalf("%s on %q: %v, the other engine says %v", text, subject, got, want)
	}
}

package measuredboot

import (
	"strings"
	"testing"
)

// readTexts are texts in EV_IPL events and what Keylime 7.14.3 with tpm2-tools
// 5.4 had for them.
var readTexts = []struct{ data, want string }{
	{"plain\x00", "plain"},
	{"plain", "plain"},
	{"two NULs\x00\x00", "two NULs\x00"},
	{"a\\040b\x00", "a\\\x0040b"},
	{"a\\x2db\x00", "a\\x2db"},
	{"\\EFI\\fedora\x00", "\\EFI\\\fedora"},
	{"a\\\\b\x00", "a\\\\\b"},
	{"it's\x00", "it's"},
	{"it\\'s\x00", "it\\'s"},
	{"\"quoted\"\x00", "\"quoted\""},
	{"\"quoted\"", "\"quoted\""},
	{"\"", "\""},
	{"say \"x\" now\x00", "say \"x\" now"},
	{"one\ntwo\x00", "one\"\n\"two"},
	{"one\n", "one"},
	{"one\n\ntwo\n\x00", "one\"\n\"\"\n\"two\"\n\""},
	{"\n", ""},
	{"\x00", ""},
	{"a\x00b\x00", "a\x00b"},
	{"tab\there\x00", "tab\there"},
	{"\\t\x00", "\\\t"},
	{"\a\b\t\v\f\r\x1b\x00", "\a\b\t\v\f\r\x1b"},
	{"  blanks  \x00", "  blanks  "},
	{"\\0", "\\"},
	{"ends in backslash\\\x00", "ends in backslash\\"},
	{"ends in backslash\\", "ends in backslash\\"},
	{"é ü\x00", "é ü"},
	{"# no comment\x00", "# no comment"},
	{"a: b\x00", "a: b"},
	{"\\\\0\x00", "\\\\\x00"},
	{"\"a\nb\"", "\"a\"\n\"b\""},
	{"'\x00", "'"},
	{"\\e\\a\x00", "\\\x1b\\\a"},
}

func TestReadText(t *testing.T) {
	t.Parallel()
	for _, c := range readTexts {
		if got := readText([]byte(c.data)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.data, got, c.want)
		}
	}
	if !unsteady([]byte(`a\040b`)) || unsteady([]byte(`a\x2db`)) || unsteady([]byte("it's \x00")) {
		t.Error("unsteady")
	}
}

// TestYAMLNumber: digits that PyYAML takes for an integer.
func TestYAMLNumber(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"": true, "0": true, "00": true, "0017": true, "0018": false, "12": true, "1e5": false, "0b10": true, "0b": false, "0b12": false, "ab": false, "1234567890": true} {
		if got := yamlNumber(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestQuotable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"": true, "Basic data partition": true, `a\nb`: true, `a\`: false, `\q`: false, `a"b`: false, "a\x01": false,
		`\x41`: true, `\x4`: false, `\xzz`: false, `\u00e9`: true, `\u00e`: false, `\U0001F600x`: true,
	} {
		if got := quotable(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// TestEscape compares with re.escape of CPython 3.11 on ASCII.
func TestEscape(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for c := byte(1); c < 127; c++ {
		all.WriteByte(c)
	}
	text := all.String() + "é"
	want := "\x01\x02\x03\x04\x05\x06\x07\x08\\\t\\\n\\\x0b\\\x0c\\\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f" +
		"\\ !\"\\#\\$%\\&'\\(\\)\\*\\+,\\-\\./0123456789:;<=>\\?@ABCDEFGHIJKLMNOPQRSTUVWXYZ\\[\\\\\\]\\^_`abcdefghijklmnopqrstuvwxyz\\{\\|\\}\\~é"
	if got := Escape(text); got != want {
		t.Errorf("got %q", got)
	}
	if back, ok := Literal(want); !ok || back != text {
		t.Errorf("%q, %v", back, ok)
	}
	for pattern, literal := range map[string]bool{"": true, "a b": true, `a\.b`: true, "a.b": false, `a\d`: false, `a\`: false, "a|b": false, "^a": false, "a$": false, "a{2}": false, "]": false, "~&-#": true} {
		if _, got := Literal(pattern); got != literal {
			t.Errorf("%q: literal %v", pattern, got)
		}
	}
}

// TestMatcher: the pattern stands behind the prefix and must match all.
func TestMatcher(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, event string
		want           bool
	}{
		{"a", "kernel_cmdline: a", true},
		{"a", "kernel_cmdline: ab", false},
		{"a", "xkernel_cmdline: a", false},
		{"a.*", "kernel_cmdline: ab", true},
		{"a.*", "kernel_cmdline: a\n", false},
		{"a|b", "kernel_cmdline: a", true},
		{"a|b", "b", true}, // so does the verifier
		{"a$", "kernel_cmdline: a", true},
	} {
		m, err := newMatcher(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.match(c.event); err != nil || got != c.want {
			t.Errorf("%q on %q: %v, %v", c.pattern, c.event, got, err)
		}
	}
	for _, bad := range []string{"(", "(?i)a", "a**", `\q`} {
		if _, err := newMatcher(bad); err == nil {
			t.Errorf("%q compiles", bad)
		}
	}
}

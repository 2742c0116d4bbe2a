package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBool(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		from OriginKind
		want bool
		ok   bool
	}{
		{"True", OriginFile, true, true}, {"yes", OriginFile, true, true}, {"ON", OriginFile, true, true}, {"1", OriginFile, true, true},
		{"false", OriginFile, false, true}, {"No", OriginFile, false, true}, {"off", OriginFile, false, true}, {"0", OriginFile, false, true},
		{"Ture", OriginFile, false, false}, {"", OriginFile, false, false}, {`"True"`, OriginFile, false, false}, {"2", OriginFile, false, false},
		{`"True"`, OriginEnv, true, true}, {" off ", OriginEnv, false, true}, {"", OriginEnv, false, false}, {"Ture", OriginEnv, false, false},
	} {
		got, err := parseBool(test.text, test.from)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("parseBool(%q, %d) = %v, %v", test.text, test.from, got, err)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"5": 5, " 5 ": 5, "-1": -1, "+7": 7, "1_000": 1000, "007": 7} {
		if got, err := parseInt(text); err != nil || got != want {
			t.Errorf("parseInt(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0x10", `"5"`, "1__0", "_1", "1_", "5.0", "--5", "+", "99999999999999999999", "1 0"} {
		if got, err := parseInt(text); err == nil {
			t.Errorf("parseInt(%q) = %d", text, got)
		}
	}
	for text, want := range map[string]float64{"60": 60, "1e3": 1000, " 0.5 ": .5, ".5": .5, "5.": 5, "1_0.5": 10.5, "-2": -2} {
		if got, err := parseFloat(text); err != nil || got != want {
			t.Errorf("parseFloat(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "inf", "nan", "1e999", "0x1p4", "1__0", "_1", "1_", "1_.5", `"2"`, "60s"} {
		if got, err := parseFloat(text); err == nil {
			t.Errorf("parseFloat(%q) = %v", text, got)
		}
	}
	for text, want := range map[string]int{"8881": 8881, `"8881"`: 8881, " 1 ": 1, "65535": 65535} {
		if got, err := parsePort(text); err != nil || got != want {
			t.Errorf("parsePort(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "65536", "-1", "+80", "abc", "80a", "8 0"} {
		if got, err := parsePort(text); err == nil {
			t.Errorf("parsePort(%q) = %d", text, got)
		}
	}
}

func TestParseList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`[]`:                                 {},
		`[ ]`:                                {},
		`['a']`:                              {"a"},
		`['a', "b",]`:                        {"a", "b"},
		"[\n'a', # first\n 'b'\n]":           {"a", "b"},
		`[' a ', 'b	']`:                      {"a", "b"},
		`['a' "b" 'c', 'd']`:                 {"abc", "d"},
		`['''a'b''', """c"d"""]`:             {"a'b", `c"d`},
		`[r'\n', u'x', R"\'"]`:               {`\n`, "x", `\'`},
		`['\x41\u00e9\101\U0001F600\q\\\'']`: {"AéA😀\\q\\'"},
		`['\
a']`: {"a"},
	} {
		got, err := ParseList(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("ParseList(%q): %v\n%s", text, err, diff)
		}
	}
	for _, text := range []string{
		``, `all`, `a,b`, `'a'`, `('a', 'b')`, `{'a'}`, `[true]`, `[1]`, `['a' 1]`, `['a'`, `['a`, `['a]`, `['a'] + ['b']`, `['a'];`,
		`[b'a']`, `[f'a']`, `[,]`, `['a',,]`, `['\x4']`, `['\ud800']`, `['\U00110000']`, `['\N{BULLET}']`, `[None]`, `[['a']]`, "['a\n']", `[ur'a']`, `['a\`,
	} {
		if got, err := ParseList(text); err == nil {
			t.Errorf("ParseList(%q) = %q", text, got)
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{`['sha512', 'sha384', 'sha256']`, `["a", "b"]`, `[r'\'', '''x''' "y",]`, "[\n'\\x41' # c\n]", `[`, `['\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseList(text)
		if err != nil && list != nil {
			t.Error("a list beside an error")
		}
		if len(list) > len(text) {
			t.Error("more items than letters")
		}
	})
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known, _ := names(tenantOptions())
	for name, want := range map[string]string{
		"verifer_ip": "did you mean verifier_ip?", "verifier-port": "did you mean verifier_port?", "ek_chek": "did you mean ek_check?",
		"tls_dri": "did you mean tls_dir?", "something": "", "": "", "a": "",
	} {
		if got := suggest(name, known); got != want {
			t.Errorf("suggest(%q) = %q, want %q", name, got, want)
		}
	}
}

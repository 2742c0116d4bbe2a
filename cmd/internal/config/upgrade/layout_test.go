package upgrade

import (
	"strings"
	"testing"
)

func TestTOMLValue(t *testing.T) {
	t.Parallel()
	b := builtin(t)
	for _, c := range []struct {
		value  string
		quoted bool
		want   string
	}{
		{"127.0.0.1", true, `"127.0.0.1"`},
		{"", true, `""`},
		{`C:\temp`, true, `"C:\temp"`}, // an escape, as between the quotes it came from
		{`C:\data`, true, `"C:\\data"`},
		{`a"b`, true, `"a\"b"`},
		{`a\"b`, true, `"a\"b"`},
		{`1.2.3.4" # here`, true, `"1.2.3.4" # here"`},
		{"a\nb", true, `"a\nb"`},
		{"a\x01b", true, `"a\u0001b"`},
		{"['it', \"x\"]", true, `"['it', \"x\"]"`},
		{"9002", false, "9002"},
		{"9002 # here", false, "9002 # here"},
		{"-1", false, "-1"},
		{"1_000", false, "1_000"},
		{"0777", false, `"0777"`},
		{"0x1F", false, "0x1F"},
		{"1.5e3", false, "1.5e3"},
		{"true", false, "true"},
		{"True", false, "true"},
		{"", false, `""`},
		{"abc", false, `"abc"`},
		{"'x'", false, "'x'"},
		{"[1, ['a',\n\"b\",],]", false, "[1, ['a',\n    \"b\",],]"},
		{"[1", false, `"[1"`},
		{"[1 2]", false, `"[1 2]"`},
		{"1 2", false, `"1 2"`},
		{strings.Repeat("[", 60) + strings.Repeat("]", 60), false, `"` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `"`},
	} {
		if got := tomlValue(b.scalar, c.value, c.quoted); got != c.want {
			t.Errorf("%q, quoted %v: got %s, want %s", c.value, c.quoted, got, c.want)
		}
	}
}

// TestLayoutValues: values of several lines read back, quotes stand where
// Keylime has them, and comments without options are gone.
func TestLayoutValues(t *testing.T) {
	t.Parallel()
	r := &Request{Catalog: builtin(t), Components: []string{"verifier"}, Input: parse(t, "[verifier]\nversion = 2.6\nip = 10.0.0.1\nseverity_policy = [1,\n  2,\n\n  3]\n[revocations]\n")}
	res, _ := run(t, r)
	files, err := r.Files(res)
	if err != nil {
		t.Fatal(err)
	}
	text := string(files[0].Content)
	for _, want := range []string{"\nip = \"10.0.0.1\"\n", "\nseverity_policy = [1,\n    2,\n    \n    3]\n", "\n# port = 8881\n", "\n# transparency_log_sign_algo = sha256\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	get(t, parse(t, text), "verifier.severity_policy", "[1,\n2,\n\n3]")
	form, err := r.Catalog.Form("2.0", "verifier")
	if err != nil {
		t.Fatal(err)
	}
	old, err := form.Render(res.Config)
	if err != nil || strings.Contains(string(old), "Push model") || strings.Contains(string(old), "\n\n\n") || !strings.Contains(string(old), "Durable attestation") {
		t.Errorf("%v\n%s", err, old)
	}
	if _, err := form.Render(NewDocument()); err == nil || !strings.Contains(err.Error(), "no section [verifier]") {
		t.Errorf("%v", err)
	}
	for _, c := range [][2]string{{"2.7", "agent"}, {"x", "agent"}, {"2.6", "nobody"}} {
		if _, err := r.Catalog.Form(c[0], c[1]); err == nil {
			t.Errorf("%q: a form", c)
		}
	}
}

func TestReadLayoutAndFacts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"file a\nx", "file a\n[a]\na b c", "file a\n[a]\na 2"} {
		if _, err := readLayout(text); err == nil {
			t.Errorf("%q is a layout", text)
		}
	}
	for _, text := range []string{"[a]", "full", "full x", "full 2.0\nx = 1", "full 2.0\n[a]\nx"} {
		if _, err := readFacts(text); err == nil {
			t.Errorf("%q are facts", text)
		}
	}
	m, err := readFacts("update 2.1\n[a]\n- x\n+ y = 1\nold > b.new = 2\n+ z =\n")
	if err != nil {
		t.Fatal(err)
	}
	s := m[0].Sections[0]
	if m[0].Full || len(s.Remove) != 1 || len(s.Add) != 2 || s.Add[1] != (Default{"z", ""}) || s.Replace[0] != (Move{"old", Key{"b", "new"}, "2"}) || len(s.Words) != 3 {
		t.Errorf("%+v", s)
	}
}

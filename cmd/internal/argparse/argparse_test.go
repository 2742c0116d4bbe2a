package argparse

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// thing is the parser of testdata/record.py.
func thing() *Parser {
	return &Parser{Prog: "create_thing", Description: "Make a thing -- or well-formed ones--from the log.", Epilog: "See also --nothing.",
		Options: []Option{
			{Dest: "eventlog_file", Help: "the log"},
			{Dest: "extra", NArgs: Optional},
			{Dest: "rest", NArgs: Any, Metavar: "R"},
			{Names: []string{"-i", "--without-secureboot", "--insecure"}, Dest: "ins", NArgs: None,
				Help: "a flag with a very-long-hyphenated-word-that-goes-on-and-on-and-on-and-on-and-on-and-on-for-ever"},
			{Names: []string{"-a", "--algo"}, Dest: "algo", Choices: []string{"sha1", "sha'2"}, Help: "choose"},
			{Names: []string{"-m"}, Dest: "m", NArgs: Optional, Const: "C", Help: "maybe"},
			{Names: []string{"-l", "--list"}, Dest: "l", NArgs: AtLeastOne},
			{Names: []string{"-k"}, Dest: "k", NArgs: Any, Help: "k"},
			{Names: []string{"--req"}, Dest: "req", Required: true, Metavar: "QQ"},
			{Names: []string{"-xy"}, Dest: "xy", NArgs: None},
			{Names: []string{"-b"}, Dest: "b", NArgs: None},
			{Names: []string{"--append"}, Dest: "append", Append: true},
		}}
}

type recording struct {
	Help  string
	Calls []struct {
		Argv []string
		Want json.RawMessage
	}
	Wraps []struct {
		Text  string
		Width int
		Want  []string
	}
}

func recorded(t testing.TB) recording {
	t.Helper()
	data, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(data, &r); err != nil || len(r.Calls) == 0 || len(r.Wraps) == 0 {
		t.Fatal("nothing recorded", err)
	}
	return r
}

// TestRecorded compares with what CPython did (testdata/record.py).
func TestRecorded(t *testing.T) {
	t.Parallel()
	r := recorded(t)
	if diff := cmp.Diff(r.Help, thing().Help()); diff != "" {
		t.Errorf("help: %s", diff)
	}
	for _, call := range r.Calls {
		values, err := thing().Parse(call.Argv)
		var got any = map[string][]string{}
		var usage *UsageError
		var help *Help
		switch {
		case errors.As(err, &usage):
			got = usage.Error() + "\n"
		case errors.As(err, &help):
			got = "help"
		default:
			for dest := range values.given {
				if all := values.All(dest); len(all) > 0 {
					got.(map[string][]string)[dest] = all
				}
			}
		}
		var want any
		if text := ""; json.Unmarshal(call.Want, &text) == nil {
			want = text
		} else {
			given := map[string][]string{}
			if err := json.Unmarshal(call.Want, &given); err != nil {
				t.Fatal(err)
			}
			want = given
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", call.Argv, diff)
		}
	}
	for _, w := range r.Wraps {
		if got := wrap(w.Text, w.Width); !slices.Equal(got, w.Want) {
			t.Errorf("wrap(%q, %d)\ngot  %q\nwant %q", w.Text, w.Width, got, w.Want)
		}
	}
}

// TestOwn: an option of ours is found by its whole name, is not shown, and makes
// no abbreviation ambiguous.
func TestOwn(t *testing.T) {
	t.Parallel()
	p := &Parser{Prog: "p", Options: []Option{
		{Names: []string{"--other"}, Dest: "other"},
		{Names: []string{"-o", "--output"}, Dest: "output", Own: true},
	}}
	if strings.Contains(p.Help(), "output") {
		t.Error("shown in the help")
	}
	for word, want := range map[string]string{"--output=x": "output", "-ox": "output", "-o=x": "output", "--o=x": "other", "--ot=x": "other"} {
		values, err := p.Parse([]string{word})
		if got, given := values.Get(want); err != nil || !given || got != "x" {
			t.Errorf("%s: %q %v %v", word, got, given, err)
		}
	}
	if _, err := p.Parse([]string{"--outp=x"}); err == nil {
		t.Error("an abbreviation of our own option is taken")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	p := &Parser{Prog: "p", Options: []Option{{Names: []string{"-n", "--number"}, Dest: "n", Check: func(v string) string {
		if strings.Trim(v, "0123456789") != "" {
			return "invalid int value: '" + v + "'"
		}
		return ""
	}}}}
	if _, err := p.Parse([]string{"-n", "7"}); err != nil {
		t.Error(err)
	}
	_, err := p.Parse([]string{"-nx"})
	if want := "usage: p [-h] [-n N]\np: error: argument -n/--number: invalid int value: 'x'"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestLongName: a program name that leaves no room stands on its own line.
func TestLongName(t *testing.T) {
	t.Parallel()
	p := &Parser{Prog: "a_program_with_a_name_that_is_far_too_long", Columns: 50, Options: []Option{
		{Names: []string{"--first"}, Dest: "first"}, {Names: []string{"--second"}, Dest: "second"}, {Dest: "file", NArgs: AtLeastOne}}}
	want := "usage: a_program_with_a_name_that_is_far_too_long\n       [-h] [--first FIRST] [--second SECOND]\n       file [file ...]\n"
	if got := p.Usage(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, call := range recorded(f).Calls {
		f.Add(strings.Join(call.Argv, "\n"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\n")
		values, err := thing().Parse(words)
		var usage *UsageError
		var help *Help
		if err != nil && !errors.As(err, &usage) && !errors.As(err, &help) {
			t.Fatalf("an error of another type: %v", err)
		}
		count := 0
		for _, all := range values.given {
			count += len(all)
		}
		if count > 2*len(words) {
			t.Errorf("%d values from %d words", count, len(words))
		}
	})
}

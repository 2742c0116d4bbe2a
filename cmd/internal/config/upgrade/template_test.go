package upgrade

import (
	"errors"
	"strings"
	"testing"
)

// document makes a configuration of lines such as "section.option=value".
func document(lines ...string) *Document {
	d := NewDocument()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		section, option, _ := strings.Cut(name, ".")
		d.put(section, entry{name: option, value: value, from: Key{section, option}})
	}
	return d
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	d := document("agent.ip=10.0.0.1", "agent.keys=a", "x_1.a b=spaced", "agent.brace={{ agent.ip }}")
	for _, c := range []struct{ name, text, want string }{
		{"no place", "plain }} { text % #\n", "plain }} { text % #\n"},
		{"member", "ip = \"{{ agent.ip }}\"\n\n", "ip = \"10.0.0.1\"\n\n"},
		{"no blanks", "{{agent.ip}}{{agent.ip}}", "10.0.0.110.0.0.1\n"},
		{"blanks and lines", "{{\n agent . ip \t}}", "10.0.0.1\n"},
		{"item", `{{ agent['ip'] }} {{ agent["keys"] }} {{ x_1['a b'] }}`, "10.0.0.1 a spaced\n"},
		{"get", `{{ agent.get('keys') }} {{ agent.get( "ip" ) }}`, "a 10.0.0.1\n"},
		{"upper case", "{{ agent.IP }}", "10.0.0.1\n"},
		{"missing", "<{{ agent.port }}><{{ agent['port'] }}><{{ agent.get('port') }}>", "<><><None>\n"},
		{"bare", "<{{ agent_ip }}><{{ agent }}>", "<><<Section: agent>>\n"},
		{"values are not templates", "{{ agent.brace }}", "{{ agent.ip }}\n"},
		{"line ends", "a\r\nb\rc\r\n", "a\nb\nc\n"},
		{"only the last line end", "a\n\n\n", "a\n\n\n"},
		{"empty", "", "\n"},
	} {
		tpl, err := ParseTemplate("t.j2", c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := tpl.Render(d)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// TestTemplateRefused: nothing is executed, and the place is named.
func TestTemplateRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		line       int
		cause      string
	}{
		{"statement", "a\nb {% if x %}", 2, "{%"},
		{"comment", "\n\n{# no #}", 3, "{#"},
		{"open", "{{ agent.ip }", 1, "without }}"},
		{"filter", "{{ agent.ip | upper }}", 1, "not executed"},
		{"call", "{{ agent.ip() }}", 1, "not executed"},
		{"chain", "{{ agent.ip.x }}", 1, "not executed"},
		{"private", "{{ agent.__class__ }}", 1, "not executed"},
		{"method", "{{ agent.items }}", 1, "means a method"},
		{"get of two", "{{ agent.get('a', 'b') }}", 1, "not executed"},
		{"text", "{{ 'a' }}", 1, "not executed"},
		{"number", "{{ 1 }}", 1, "not executed"},
		{"empty", "{{ }}", 1, "not executed"},
		{"word of the language", "{{ true }}", 1, "not executed"},
		{"global", "{{ range }}", 1, "not executed"},
		{"space control", "{{- agent.ip -}}", 1, "not executed"},
		{"sum", "{{ agent.ip + agent.port }}", 1, "not executed"},
		{"escape", `{{ agent['a\x41'] }}`, 1, "not executed"},
		{"open item", "{{ agent['a }}", 1, "not executed"},
		{"not UTF-8", "\xff", 1, "UTF-8"},
		{"second place", "{{ a.b }}\n{{ a.b }}\n{{ a.b | x }}", 3, "not executed"},
	} {
		_, err := ParseTemplate("t.j2", c.text)
		var e *TemplateError
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Error(), c.cause) {
			t.Errorf("%s: %v, want line %d and %q", c.name, err, c.line, c.cause)
		}
	}
	tpl, err := ParseTemplate("t.j2", "\n{{ nobody.ip }}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tpl.Render(document("agent.ip=1")); err == nil || got != nil || err.Error() != "t.j2:2: the configuration has no section [nobody]" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, seed := range []string{"{{ agent.ip }}", "{{ agent.get('ip') }}\n", "{{ a['b'] }}{% x %}", "{", "{{", "{{{ a.b }}}", "}} {# {{ agent }}"} {
		f.Add(seed)
	}
	d := document("agent.ip=1", "a.b=2")
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := ParseTemplate("t.j2", text)
		if err != nil {
			if tpl != nil {
				t.Error("a template beside an error")
			}
			return
		}
		for _, k := range tpl.Keys() {
			if k.Section == "" {
				t.Errorf("%q: a key without a section", text)
			}
		}
		if got, err := tpl.Render(d); err == nil && !strings.HasSuffix(string(got), "\n") {
			t.Errorf("%q: %q has no line end", text, got)
		}
	})
}

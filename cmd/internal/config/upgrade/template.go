package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Template is a file of the directory of templates: text with places where
// values go. Of the template language it knows the four forms that name a value,
//
//	{{ section.option }}  {{ section['option'] }}  {{ section.get('option') }}  {{ name }}
//
// and refuses everything else, so that nothing of a template is ever executed.
type Template struct {
	path   string
	pieces []piece
}

// piece is text, and behind it a value unless form is formNone.
type piece struct {
	text string
	form form
	key  Key
	line int
}

type form int

const (
	formNone form = iota
	// formMember is section.option or section['option']: what is missing is "".
	formMember
	// formGet is section.get('option'): what is missing prints as None.
	formGet
	// formBare is a name alone: no section, so it is "".
	formBare
)

// TemplateError is a template that is not understood, or that wants a section
// that the configuration does not have.
type TemplateError struct {
	Path  string
	Line  int
	Cause string
}

func (e *TemplateError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Cause) }

// ParseTemplate reads a template. Errors: [*TemplateError].
func ParseTemplate(path, text string) (*Template, error) {
	if !utf8.ValidString(text) {
		return nil, &TemplateError{path, 1, "the file is not UTF-8"}
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	text = strings.TrimSuffix(text, "\n") // of the line ends at the end the last does not count
	t := &Template{path: path}
	line := 1
	for {
		at := strings.Index(text, "{")
		for at >= 0 && (at+1 == len(text) || !strings.ContainsRune("{%#", rune(text[at+1]))) {
			next := strings.Index(text[at+1:], "{")
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		if at < 0 {
			t.pieces = append(t.pieces, piece{text: text})
			return t, nil
		}
		line += strings.Count(text[:at], "\n")
		if text[at+1] != '{' {
			return nil, &TemplateError{path, line, fmt.Sprintf("%s is a construct that is not executed here; only values, {{ section.option }}, are put in", text[at:at+2])}
		}
		end := strings.Index(text[at:], "}}")
		if end < 0 {
			return nil, &TemplateError{path, line, "{{ without }}"}
		}
		p := piece{text: text[:at], line: line}
		if cause := p.expression(text[at+2 : at+end]); cause != "" {
			return nil, &TemplateError{path, line, cause}
		}
		t.pieces = append(t.pieces, p)
		line += strings.Count(text[at:at+end], "\n")
		text = text[at+end+2:]
	}
}

// reserved are the names that mean something of their own in templates.
func reserved() []string {
	return []string{"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "self", "super", "varargs", "kwargs",
		"range", "dict", "lipsum", "cycler", "joiner", "namespace"}
}

// methods are the names that, behind a section and a dot, mean something of
// Python's instead of an option.
func methods() []string {
	return []string{"get", "getint", "getfloat", "getboolean", "name", "parser", "keys", "items", "values", "pop", "popitem", "clear", "update", "setdefault"}
}

// expression reads what stands between braces, and says what is wrong with it.
func (p *piece) expression(text string) (cause string) {
	trimmed := strings.TrimSpace(text)
	bad := fmt.Sprintf("{{%s}} is not executed here; wanted is {{ section.option }}, {{ section['option'] }} or {{ section.get('option') }}", short(text))
	name := identifier(trimmed)
	rest := strings.TrimSpace(trimmed[len(name):])
	if name == "" || slices.Contains(reserved(), name) {
		return bad
	}
	switch {
	case rest == "":
		p.form, p.key = formBare, Key{Option: name}
		return ""
	case strings.HasPrefix(rest, "["):
		option, after, ok := quoted(strings.TrimSpace(rest[1:]))
		if !ok || strings.TrimSpace(after) != "]" {
			return bad
		}
		p.form, p.key = formMember, Key{name, strings.ToLower(option)}
		return ""
	case !strings.HasPrefix(rest, "."):
		return bad
	}
	rest = strings.TrimSpace(rest[1:])
	option := identifier(rest)
	after := strings.TrimSpace(rest[len(option):])
	if option == "get" && strings.HasPrefix(after, "(") {
		option, end, ok := quoted(strings.TrimSpace(after[1:]))
		if !ok || strings.TrimSpace(end) != ")" {
			return bad
		}
		p.form, p.key = formGet, Key{name, strings.ToLower(option)}
		return ""
	}
	switch {
	case option == "" || after != "" || option[0] == '_':
		return bad
	case slices.Contains(methods(), option):
		return fmt.Sprintf("{{%s}}: %s means a method there; an option of this name is {{ %s.get('%s') }}", short(text), option, name, option)
	}
	p.form, p.key = formMember, Key{name, strings.ToLower(option)}
	return ""
}

// short is as much of a template as a message repeats.
func short(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}

// identifier is the name at the beginning of a text.
func identifier(text string) string {
	for i, r := range text {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9' {
			continue
		}
		return text[:i]
	}
	return text
}

// quoted is the text in quotes at the beginning, without escapes.
func quoted(text string) (inner, after string, ok bool) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		return "", "", false
	}
	inner, after, ok = strings.Cut(text[1:], text[:1])
	return inner, after, ok && !strings.ContainsAny(inner, "\\\n")
}

// Keys are the options whose values the template puts in. A name without a
// section has none.
func (t *Template) Keys() []Key {
	var keys []Key
	for _, p := range t.pieces {
		if p.form == formMember || p.form == formGet {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// Render puts the values in. Errors: [*TemplateError], where a section is
// missing.
func (t *Template) Render(d *Document) ([]byte, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text)
		if p.form == formBare && d.has(p.key.Option) {
			b.WriteString("<Section: " + p.key.Option + ">")
		}
		if p.form == formBare || p.form == formNone {
			continue
		}
		if !d.has(p.key.Section) {
			return nil, &TemplateError{t.path, p.line, "the configuration has no section [" + p.key.Section + "]"}
		}
		value, found := d.Get(p.key.Section, p.key.Option)
		if !found && p.form == formGet {
			value = "None"
		}
		b.WriteString(value)
	}
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// lost are names without a section that nobody has: what should have stood in
// their place is not written.
func (t *Template) lost(d *Document) []piece {
	var lost []piece
	for _, p := range t.pieces {
		if p.form == formBare && !d.has(p.key.Option) {
			lost = append(lost, p)
		}
	}
	return lost
}

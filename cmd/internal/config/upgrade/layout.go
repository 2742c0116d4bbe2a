package upgrade

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed layout.txt
var layoutText string

// layoutLine is a line of a file in our layout: a section, a comment, an option
// or nothing.
type layoutLine struct {
	file, section string
	// text is the comment of its own line, or that of the option.
	text, option  string
	quoted        bool
	since, before Version
}

// readLayout reads layout.txt.
func readLayout(text string) ([]layoutLine, error) {
	var lines []layoutLine
	file, section := "", ""
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, isFile := strings.CutPrefix(line, "file ")
		switch {
		case isFile:
			file, section = name, ""
			continue
		case file == "":
			continue
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			lines = append(lines, layoutLine{file: file, section: section})
			continue
		case line == "":
			lines = append(lines, layoutLine{file: file})
			continue
		case line[0] == '#':
			lines = append(lines, layoutLine{file: file, text: line})
			continue
		}
		l, err := readOption(line)
		if err != nil || section == "" {
			return nil, fmt.Errorf("line %d: %q is no option of a section", n+1, line)
		}
		l.file, l.section = file, section
		lines = append(lines, l)
	}
	return lines, nil
}

func readOption(line string) (layoutLine, error) {
	head, about, _ := strings.Cut(line, " : ")
	l := layoutLine{text: about}
	head, l.quoted = strings.CutPrefix(head, `" `)
	words := strings.Fields(head)
	if len(words) == 0 || len(words) > 2 {
		return l, fmt.Errorf("%d words", len(words))
	}
	l.option = words[0]
	if len(words) == 2 {
		number, before := strings.CutPrefix(words[1], "<")
		v, ok := ParseVersion(number)
		switch {
		case !ok:
			return l, fmt.Errorf("%q is no version", words[1])
		case before:
			l.before = v
		default:
			l.since = v
		}
	}
	return l, nil
}

// Form is the layout of a component's file for a version.
func (b *Builtin) Form(version, component string) (Form, error) {
	v, ok := ParseVersion(version)
	if !ok || !b.Has(version) {
		return nil, fmt.Errorf("version %q is not known", version)
	}
	l := &layout{component: component, scalar: b.scalar, defaults: b.defaults(v)}
	for _, line := range b.layouts {
		if line.file == component && v.Compare(line.since) >= 0 && (line.before == Version{} || v.Compare(line.before) < 0) {
			l.lines = append(l.lines, line)
		}
	}
	if len(l.lines) == 0 {
		return nil, fmt.Errorf("there is no component %s", component)
	}
	l.tidy()
	return l, nil
}

// layout is the file of one component for one version.
type layout struct {
	component string
	lines     []layoutLine
	scalar    *regexp.Regexp
	// defaults are those of this version.
	defaults map[Key]string
}

// tidy drops groups, which empty lines end, of which no option is left.
func (l *layout) tidy() {
	var kept, group []layoutLine
	useful := false
	for _, line := range append(l.lines, layoutLine{}) {
		if line.option != "" || line.section != "" {
			useful = true
		}
		group = append(group, line)
		if line.text != "" || line.option != "" || line.section != "" {
			continue
		}
		if useful {
			kept = append(kept, group...)
		}
		group, useful = nil, false
	}
	l.lines = kept
}

// Keys are the options of the file.
func (l *layout) Keys() []Key {
	var keys []Key
	for _, line := range l.lines {
		if line.option != "" {
			keys = append(keys, Key{line.section, line.option})
		}
	}
	return keys
}

// Render writes the file. An option that the configuration lacks stands there as
// a comment with its default, so that its program does what it did before.
func (l *layout) Render(d *Document) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Configuration of Keylime: %s.conf\n\n", l.component)
	for _, line := range l.lines {
		switch {
		case line.option != "":
			value, found := d.Get(line.section, line.option)
			if line.text != "" {
				b.WriteString("# " + line.text + "\n")
			}
			if !found {
				value = l.defaults[Key{line.section, line.option}]
				b.WriteString("# ")
			}
			b.WriteString(line.option + " = " + l.value(line, value) + "\n")
		case line.section != "":
			if !d.has(line.section) {
				return nil, fmt.Errorf("the configuration has no section [%s]", line.section)
			}
			b.WriteString("[" + line.section + "]\n")
		default:
			b.WriteString(line.text + "\n")
		}
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n"), nil
}

// value writes a value so that it reads back: in the agent's file as TOML, in
// the others with the following lines indented.
func (l *layout) value(line layoutLine, value string) string {
	if l.component == "agent" {
		return tomlValue(l.scalar, value, line.quoted)
	}
	value = strings.ReplaceAll(value, "\n", "\n    ")
	if line.quoted {
		return `"` + value + `"`
	}
	return value
}

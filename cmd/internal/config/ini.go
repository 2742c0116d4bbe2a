package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// INI is one file as Python's RawConfigParser reads it (PROTOCOL.md 14.2).
type INI struct {
	// Sections are those of the file in its order, without [DEFAULT].
	Sections []Section
	// Defaults is [DEFAULT], whose options every section inherits.
	Defaults Section
}

// Section is one section of a file.
type Section struct {
	Name    string
	Line    int
	Options []INIOption
}

// INIOption is one option: its name in lower case, the value with continuation
// lines joined by newlines, and the line where it begins, counted from 1.
type INIOption struct {
	Name, Value string
	Line        int
}

// defaultSection is the section whose options all others inherit.
const defaultSection = "DEFAULT"

// Get is the value of an option in a section, [DEFAULT] included.
func (f *INI) Get(section, option string) (string, bool) {
	for i := range f.Sections {
		if f.Sections[i].Name != section {
			continue
		}
		for _, s := range []*Section{&f.Sections[i], &f.Defaults} {
			for _, o := range s.Options {
				if o.Name == option {
					return o.Value, true
				}
			}
		}
	}
	return "", false
}

// Section is the section of a name, nil if the file has none.
func (f *INI) Section(name string) *Section {
	for i := range f.Sections {
		if f.Sections[i].Name == name {
			return &f.Sections[i]
		}
	}
	return nil
}

// ParseINI reads a file as RawConfigParser of Python 3.11 does with its default
// settings; name is used in errors only, which are [*Error] of the kinds
// [KindEncoding], [KindNoSection], [KindDuplicateSection],
// [KindDuplicateOption] and [KindSyntax]. They never repeat a line, since it
// may hold a password.
func ParseINI(name string, data []byte) (*INI, error) {
	p := iniParser{name: name, file: &INI{Defaults: Section{Name: defaultSection}}, seen: map[[2]string]bool{}}
	for n, line := range pyLines(string(data)) {
		if !utf8.ValidString(line) {
			return nil, p.fail(KindEncoding, n+1, "the line is not valid UTF-8")
		}
		if err := p.line(n+1, line); err != nil {
			return nil, err
		}
	}
	p.end()
	if p.syntax != nil {
		return nil, p.syntax
	}
	return p.file, nil
}

// iniParser holds the state between lines of a file.
type iniParser struct {
	name string
	file *INI
	// seen are the sections (with an empty option) and options of this file.
	seen map[[2]string]bool
	// section is nil before the first header; lines are those of the open
	// option, nil if no option is open; indent is that of its first line.
	section *Section
	lines   []string
	indent  int
	// syntax is the first line that is no option: RawConfigParser goes on to the
	// end of the file, since a duplicate is reported first.
	syntax *Error
}

func (p *iniParser) fail(kind Kind, line int, cause string) *Error {
	return &Error{Kind: kind, Origin: Origin{Kind: OriginFile, Name: p.name, Line: line}, Cause: cause}
}

// line takes one line, without its end.
func (p *iniParser) line(n int, line string) error {
	value := strings.TrimFunc(line, isPySpace)
	if strings.HasPrefix(value, "#") || strings.HasPrefix(value, ";") {
		return nil
	}
	if value == "" {
		if p.lines != nil {
			p.lines = append(p.lines, "")
		}
		return nil
	}
	indent := 0
	for _, r := range line {
		if !isPySpace(r) {
			break
		}
		indent++
	}
	if p.lines != nil && indent > p.indent {
		p.lines = append(p.lines, value)
		return nil
	}
	p.indent = indent
	if header, ok := sectionHeader(value); ok {
		return p.open(n, header)
	}
	if p.section == nil {
		e := p.fail(KindNoSection, n, "there is text before the first [section]")
		e.Hint = "begin the file with [tenant], without a byte order mark"
		return e
	}
	return p.option(n, value)
}

// sectionHeader is the name in "[name]", up to the last bracket; what follows
// that is ignored.
func sectionHeader(value string) (string, bool) {
	end := strings.LastIndexByte(value, ']')
	if value[0] != '[' || end < 2 {
		return "", false
	}
	return value[1:end], true
}

func (p *iniParser) open(n int, header string) error {
	p.end()
	if header == defaultSection {
		p.section = &p.file.Defaults
		return nil
	}
	if p.seen[[2]string{header}] {
		return p.fail(KindDuplicateSection, n, fmt.Sprintf("the section [%s] stands in this file twice", header))
	}
	p.seen[[2]string{header}] = true
	p.file.Sections = append(p.file.Sections, Section{Name: header, Line: n})
	p.section = &p.file.Sections[len(p.file.Sections)-1]
	return nil
}

func (p *iniParser) option(n int, value string) error {
	cut := strings.IndexAny(value, "=:")
	if cut <= 0 && p.syntax == nil {
		p.syntax = p.fail(KindSyntax, n, "the line is neither [section] nor option = value")
		p.syntax.Hint = "continuation lines must be indented deeper than their option"
	}
	if cut < 0 {
		return nil
	}
	p.end()
	name := strings.ToLower(strings.TrimRightFunc(value[:cut], isPySpace))
	key := [2]string{p.section.Name, "=" + name}
	if p.seen[key] {
		e := p.fail(KindDuplicateOption, n, fmt.Sprintf("the option stands in [%s] of this file twice", p.section.Name))
		e.Section, e.Option = p.section.Name, name
		e.Hint = "keep one of the two lines"
		return e
	}
	p.seen[key] = true
	if name == "" {
		return nil
	}
	p.section.Options = append(p.section.Options, INIOption{Name: name, Line: n})
	p.lines = []string{strings.TrimFunc(value[cut+1:], isPySpace)}
	return nil
}

// end closes the option that is open.
func (p *iniParser) end() {
	if p.lines != nil {
		p.section.Options[len(p.section.Options)-1].Value = strings.TrimRightFunc(strings.Join(p.lines, "\n"), isPySpace)
	}
	p.lines = nil
}

// pyLines splits at the line ends that Python's text files know: \n, \r, \r\n.
func pyLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// isPySpace says what Python's str.strip takes away: Unicode's white space and
// the four information separators.
func isPySpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

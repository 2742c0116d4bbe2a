package upgrade

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed facts.txt
var factsText string

// readFacts reads the mappings that the program brings along.
func readFacts(text string) ([]*Mapping, error) {
	r := factsReader{}
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return r.mappings, nil
}

type factsReader struct {
	mappings []*Mapping
	section  *SectionMap
	// origin is where values of the section stood before.
	origin string
}

func (r *factsReader) last() *Mapping { return r.mappings[len(r.mappings)-1] }

func (r *factsReader) line(line string) error {
	words := strings.Fields(line)
	switch {
	case words[0] == "full" || words[0] == "update":
		return r.version(words)
	case len(r.mappings) == 0:
		return fmt.Errorf("%q stands before the first version", line)
	case words[0] == "under" && len(words) > 2:
		for _, name := range words[2:] {
			r.last().Parents[name] = strings.TrimSuffix(words[1], ":")
		}
		return nil
	case line[0] == '[':
		return r.open(words)
	case r.section == nil:
		return fmt.Errorf("%q stands in no section", line)
	}
	if name, found := strings.CutPrefix(line, "- "); found {
		r.section.Remove = append(r.section.Remove, name)
		r.word("remove")
		return nil
	}
	head, value, found := strings.Cut(line, " =")
	if !found {
		return fmt.Errorf("%q has no default", line)
	}
	r.option(head, strings.TrimPrefix(value, " "))
	return nil
}

func (r *factsReader) version(words []string) error {
	m := &Mapping{Full: words[0] == "full"}
	if m.Full {
		m.Parents = map[string]string{}
	}
	var ok bool
	if len(words) < 2 {
		return fmt.Errorf("%s has no version", words[0])
	}
	m.Version = words[1]
	if m.number, ok = ParseVersion(m.Version); !ok {
		return fmt.Errorf("%q is no version", m.Version)
	}
	if len(words) == 4 && words[2] == "after" && len(r.mappings) > 0 && r.last().Version == words[3] {
		m.after(r.last())
	}
	r.mappings, r.section = append(r.mappings, m), nil
	return nil
}

// after lists the options of another version, each under the name it has there.
func (m *Mapping) after(old *Mapping) {
	for name, parent := range old.Parents {
		m.Parents[name] = parent
	}
	for _, s := range old.Sections {
		next := SectionMap{Name: s.Name}
		for _, o := range s.Options {
			o.From = Key{s.Name, o.Name}
			if o.Name == "version" {
				o.Default = m.Version
			}
			next.Options = append(next.Options, o)
		}
		m.Sections = append(m.Sections, next)
	}
}

func (r *factsReader) open(words []string) error {
	name := strings.Trim(words[0], "[]")
	r.origin = name
	if len(words) == 3 && words[1] == "<" {
		r.origin = words[2]
	}
	if r.section = r.last().section(name); r.section == nil {
		r.last().Sections = append(r.last().Sections, SectionMap{Name: name})
		r.section = &r.last().Sections[len(r.last().Sections)-1]
	}
	return nil
}

// word notes an operation.
func (r *factsReader) word(word string) {
	for _, known := range r.section.Words {
		if known == word {
			return
		}
	}
	r.section.Words = append(r.section.Words, word)
}

func (r *factsReader) option(head, value string) {
	s := r.section
	if r.last().Full {
		name, from, _ := strings.Cut(head, " < ")
		o := Origin{Name: name, From: Key{r.origin, name}, Default: value}
		if from != "" {
			o.From.Option = from
			if section, option, found := strings.Cut(from, "."); found {
				o.From = Key{section, option}
			}
		}
		s.Options = append(s.Options, o)
		return
	}
	if name, found := strings.CutPrefix(head, "+ "); found {
		s.Add = append(s.Add, Default{name, value})
		r.word("add")
		return
	}
	old, to, _ := strings.Cut(head, " > ")
	section, option, _ := strings.Cut(to, ".")
	s.Replace = append(s.Replace, Move{old, Key{section, option}, value})
	r.word("replace")
}

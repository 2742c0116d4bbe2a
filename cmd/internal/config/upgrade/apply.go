package upgrade

import (
	"fmt"
	"slices"
)

// Level is how much a message matters.
type Level int

// The levels.
const (
	Debug Level = iota
	Info
	Warning
)

// logger gets what happens on the way.
type logger func(level Level, text string)

func (l logger) say(level Level, format string, args ...any) {
	if l != nil {
		l(level, fmt.Sprintf(format, args...))
	}
}

// versionOf is the version of a section: its own or that of its parent. known is
// false if there is none.
func versionOf(d *Document, parents map[string]string, name string) (v Version, known bool, err error) {
	holder := name
	if parent, found := parents[name]; found {
		holder = parent
	}
	text, found := d.Get(holder, "version")
	if !found {
		return unversioned, false, nil
	}
	v, ok := ParseVersion(text)
	if !ok {
		return v, true, fmt.Errorf("the version of [%s] is %q, and should be MAJOR.MINOR", holder, text)
	}
	return v, true, nil
}

// full applies a full mapping: each section is made anew of the options listed,
// unless it has this version already. Sections that the mapping does not list
// are gone.
func (m *Mapping) full(old *Document, defaultsOnly bool, target *Version, log logger) (*Document, error) {
	next := NewDocument()
	for _, s := range m.Sections {
		v := unversioned
		if old.has(s.Name) {
			if m.Parents == nil {
				return nil, fmt.Errorf(`the mapping of version %s is full and has no "subcomponents"`, m.Version)
			}
			var known bool
			var err error
			if v, known, err = versionOf(old, m.Parents, s.Name); err != nil {
				return nil, err
			}
			if !known {
				log.say(Debug, "[%s] has no version, so it counts as %s", s.Name, unversioned)
			}
		}
		if v.Compare(m.number) >= 0 || target != nil && v.Compare(*target) >= 0 {
			next.assign(s.Name, old.entries(s.Name))
			continue
		}
		if err := next.add(s.Name); err != nil {
			return nil, err
		}
		for _, o := range s.Options {
			e, found := old.lookup(o.From.Section, o.From.Option)
			if !found || defaultsOnly {
				e = entry{value: o.Default}
				log.say(Debug, "[%s] %s takes the default", s.Name, o.Name)
			}
			e.name = o.Name
			next.put(s.Name, e)
		}
		next.change(s.Name, "version", m.Version)
	}
	return next, nil
}

// update applies the operations of a mapping to a copy.
func (m *Mapping) update(old *Document, defaultsOnly bool, target *Version, log logger) (*Document, error) {
	next := NewDocument()
	for _, name := range old.names() {
		next.assign(name, old.entries(name))
		if s := m.section(name); s != nil {
			v, known, err := versionOf(old, m.Parents, name)
			if err != nil {
				return nil, err
			}
			if !known {
				return nil, fmt.Errorf("[%s] has no version, so an update to %s cannot be applied to it", name, m.Version)
			}
			if v.Compare(m.number) >= 0 || target != nil && v.Compare(*target) >= 0 {
				continue
			}
			if err := s.apply(next, defaultsOnly, log); err != nil {
				return nil, err
			}
		}
		next.change(name, "version", m.Version)
	}
	for i := range m.Sections {
		s := &m.Sections[i]
		if old.has(s.Name) {
			continue
		}
		if !slices.Contains(s.Words, "add") {
			log.say(Warning, `Missing "add" operation in new section "[%s]"`, s.Name)
		}
		for _, word := range s.Words {
			if word != "add" {
				log.say(Warning, `Bogus "%s" operation in new section "[%s]"`, word, s.Name)
			}
		}
		if err := next.add(s.Name); err != nil {
			return nil, err
		}
		log.say(Info, `Added new section "[%s]"`, s.Name)
		if err := s.apply(next, defaultsOnly, log); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// apply changes one section in place, and those that replacements go to.
func (s *SectionMap) apply(d *Document, defaultsOnly bool, log logger) error {
	for _, o := range s.Add {
		if _, found := d.lookup(s.Name, o.Name); !found {
			d.Set(s.Name, o.Name, o.Value)
			log.say(Debug, "[%s] %s is new", s.Name, o.Name)
		}
	}
	for _, name := range s.Remove {
		if _, found := d.lookup(s.Name, name); !found {
			continue
		}
		if _, err := d.take(s.Name, name); err != nil {
			return err
		}
		log.say(Debug, "[%s] %s is removed", s.Name, name)
	}
	for _, move := range s.Replace {
		// An old option whose default is taken stays where it is, as upstream.
		e := entry{value: move.Default}
		if _, found := d.lookup(s.Name, move.Old); found && !defaultsOnly {
			var err error
			if e, err = d.take(s.Name, move.Old); err != nil {
				return err
			}
		}
		if !d.has(move.New.Section) {
			if err := d.add(move.New.Section); err != nil {
				return err
			}
			log.say(Info, "Added new section [%s]", move.New.Section)
		}
		e.name = move.New.Option
		d.put(move.New.Section, e)
		log.say(Debug, "[%s] %s replaces [%s] %s", move.New.Section, move.New.Option, s.Name, move.Old)
	}
	return nil
}

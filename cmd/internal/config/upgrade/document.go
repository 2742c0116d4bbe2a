package upgrade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// defaults is the section whose options all others inherit.
const defaults = "DEFAULT"

// Key names an option.
type Key struct{ Section, Option string }

// String is section.option, as messages call it.
func (k Key) String() string { return k.Section + "." + k.Option }

// entry is an option with its value, and where in the input the value stood;
// the zero Key means nowhere: it is a default.
type entry struct {
	name, value string
	from        Key
}

type section struct {
	name    string
	entries []entry
}

func (s *section) find(name string) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return e.name == name })
}

func (s *section) set(e entry) {
	if i := s.find(e.name); i >= 0 {
		s.entries[i] = e
		return
	}
	s.entries = append(s.entries, e)
}

// Document is a configuration as Python's RawConfigParser holds it: sections
// and options in order, and [DEFAULT], whose options every section inherits. The
// order counts: an upgrade copies section by section.
type Document struct {
	defaults section
	sections []*section
}

// NewDocument is an empty configuration.
func NewDocument() *Document { return &Document{defaults: section{name: defaults}} }

// Read adds what a file says: its values replace those that are there.
func (d *Document) Read(f *config.INI) {
	merge := func(s *section, options []config.INIOption) {
		for _, o := range options {
			s.set(entry{name: o.Name, value: o.Value, from: Key{s.name, o.Name}})
		}
	}
	merge(&d.defaults, f.Defaults.Options)
	for _, s := range f.Sections {
		merge(d.section(s.Name, true), s.Options)
	}
}

// section finds a section, or appends it.
func (d *Document) section(name string, create bool) *section {
	if name == defaults {
		return &d.defaults
	}
	for _, s := range d.sections {
		if s.name == name {
			return s
		}
	}
	if !create {
		return nil
	}
	s := &section{name: name}
	d.sections = append(d.sections, s)
	return s
}

// has says whether there is a section; [DEFAULT] always is.
func (d *Document) has(name string) bool { return d.section(name, false) != nil }

// names are [DEFAULT] and the sections, in order.
func (d *Document) names() []string {
	names := []string{defaults}
	for _, s := range d.sections {
		names = append(names, s.name)
	}
	return names
}

// entries are the options of a section, behind them those it inherits.
func (d *Document) entries(name string) []entry {
	s := d.section(name, false)
	if s == nil {
		return nil
	}
	all := slices.Clone(s.entries)
	if name == defaults {
		return all
	}
	for _, e := range d.defaults.entries {
		if s.find(e.name) < 0 {
			all = append(all, e)
		}
	}
	return all
}

// lookup finds an option, in [DEFAULT] too.
func (d *Document) lookup(name, option string) (entry, bool) {
	s := d.section(name, false)
	if s == nil {
		return entry{}, false
	}
	option = strings.ToLower(option)
	if i := s.find(option); i >= 0 {
		return s.entries[i], true
	}
	if i := d.defaults.find(option); i >= 0 {
		return d.defaults.entries[i], true
	}
	return entry{}, false
}

// Get is the value of an option, inherited ones included.
func (d *Document) Get(name, option string) (string, bool) {
	e, found := d.lookup(name, option)
	return e.value, found
}

// put sets an option of a section that is there.
func (d *Document) put(name string, e entry) {
	e.name = strings.ToLower(e.name)
	d.section(name, true).set(e)
}

// Set gives an option a value of its own, which comes from no input.
func (d *Document) Set(name, option, value string) { d.put(name, entry{name: option, value: value}) }

// change replaces a value and keeps where it came from.
func (d *Document) change(name, option, value string) {
	e, _ := d.lookup(name, option)
	d.put(name, entry{name: option, value: value, from: e.from})
}

// assign makes a section of options, in place of those it has.
func (d *Document) assign(name string, entries []entry) {
	s := d.section(name, true)
	s.entries = slices.Clone(entries)
}

// add makes a section that must not be there.
func (d *Document) add(name string) error {
	if d.has(name) {
		return fmt.Errorf("the section [%s] is there already", name)
	}
	d.section(name, true)
	return nil
}

// take removes an option and returns it. An inherited option cannot be taken.
func (d *Document) take(name, option string) (entry, error) {
	s := d.section(name, false)
	i := s.find(strings.ToLower(option))
	if i < 0 {
		return entry{}, fmt.Errorf("the option %s of [%s] stands in [%s] and cannot be removed there", option, name, defaults)
	}
	e := s.entries[i]
	s.entries = slices.Delete(s.entries, i, i+1)
	return e, nil
}

// stripAll takes blanks and quotes from the ends of all values. What a section
// inherits becomes its own on the way.
func (d *Document) stripAll() {
	for _, name := range d.names() {
		for _, e := range d.entries(name) {
			e.value = strip(e.value)
			d.section(name, false).set(e)
		}
	}
}

// equal says whether two configurations have the same values; order and what is
// inherited do not count.
func (d *Document) equal(o *Document) bool {
	if len(d.sections) != len(o.sections) {
		return false
	}
	for _, name := range d.names() {
		mine, theirs := d.entries(name), o.entries(name)
		if !o.has(name) || len(mine) != len(theirs) {
			return false
		}
		for _, e := range mine {
			if i := slices.IndexFunc(theirs, func(t entry) bool { return t.name == e.name }); i < 0 || theirs[i].value != e.value {
				return false
			}
		}
	}
	return true
}

// clone copies a configuration.
func (d *Document) clone() *Document {
	c := NewDocument()
	c.defaults.entries = slices.Clone(d.defaults.entries)
	for _, s := range d.sections {
		c.sections = append(c.sections, &section{s.name, slices.Clone(s.entries)})
	}
	return c
}

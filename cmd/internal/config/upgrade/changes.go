package upgrade

import (
	"fmt"
	"slices"
)

// The kinds of changes.
const (
	// ChangeVersion is the number of the version itself.
	ChangeVersion = "version"
	// ChangeAdded is an option that is new in a version, and ChangeDefault one
	// that was not set; both take their defaults.
	ChangeAdded   = "added"
	ChangeDefault = "default"
	// ChangeRenamed is an option that was called otherwise.
	ChangeRenamed = "renamed"
	// ChangeRewritten is a value that is other than before.
	ChangeRewritten = "rewritten"
	// ChangeRemoved is an option that the version no longer has.
	ChangeRemoved = "removed"
	// ChangeUnknown is an option that no version has: it is lost.
	ChangeUnknown = "unknown"
)

// Change is what happens to one option. Values are fit to be shown: see [Shown].
type Change struct {
	Kind      string `json:"kind"`
	Component string `json:"component"`
	Section   string `json:"section"`
	Option    string `json:"option"`
	// From is the value before and To the one after, null where there is none.
	From *string `json:"from"`
	To   *string `json:"to"`
	// Origin is where a renamed option stood before, section.option.
	Origin string `json:"origin,omitempty"`
	Why    string `json:"why"`
	// usual: the value is a default, which nobody will miss.
	usual bool
}

// Lost says whether a value that somebody has chosen is in none of the new
// files.
func (c Change) Lost() bool {
	return !c.usual && (c.Kind == ChangeRemoved || c.Kind == ChangeUnknown)
}

// Changes compares the input with the files made of it: first what is in the
// files, in their order, then what is lost.
func (r *Request) Changes(res *Result, files []File, h *History) []Change {
	changes := []Change{}
	used := map[Key]bool{}
	for _, f := range files {
		for _, k := range f.Keys {
			e, found := res.Config.lookup(k.Section, k.Option)
			used[e.from] = true
			if c, changed := compare(res.Input, f, k, e, h); changed && found {
				changes = append(changes, c)
			}
		}
	}
	for _, name := range r.Input.names() {
		for _, e := range r.Input.section(name, false).entries {
			k := Key{name, e.name}
			if used[k] || e.name == "version" {
				continue
			}
			owner, known := h.owners[name]
			if known && !slices.Contains(r.Components, owner) || !known && len(r.Components) < len(Components()) {
				continue
			}
			changes = append(changes, h.lost(k, owner, e.value, files))
		}
	}
	return changes
}

// compare says what happened to one option of a file.
func compare(input *Document, f File, k Key, e entry, h *History) (c Change, changed bool) {
	to := Shown(k.Option, e.value)
	c = Change{Component: f.Component, Section: k.Section, Option: k.Option, To: &to}
	old, was := input.lookup(e.from.Section, e.from.Option)
	if was && e.from != (Key{}) {
		from := Shown(e.from.Option, old.value)
		c.From = &from
	}
	switch moved := e.from != k && !(e.from.Section == defaults && e.from.Option == k.Option); {
	case k == Key{f.Component, "version"}:
		if had, found := input.Get(k.Section, k.Option); found {
			c.From = &had
			if strip(had) == f.Version {
				return c, false
			}
		}
		c.Kind, c.Why = ChangeVersion, "the version of the file"
	case e.from == Key{}:
		c.Kind, c.Why = h.whyAdded(input, k, f)
		c.From = nil
	case moved:
		c.Kind, c.Origin, c.Why = ChangeRenamed, e.from.String(), "was "+e.from.String()
		if old.value != e.value {
			c.Why += ", and its value is rewritten"
		}
	case old.value != e.value:
		c.Kind, c.Why = ChangeRewritten, "the form of the value has changed"
	default:
		return c, false
	}
	return c, true
}

func (h *History) whyAdded(input *Document, k Key, f File) (kind, why string) {
	since, known := h.since[k]
	have := unversioned
	if text, found := input.Get(f.Component, "version"); found {
		have, _ = ParseVersion(text)
	}
	if known && have.Compare(since) < 0 && have != unversioned {
		return ChangeAdded, "new in version " + since.String()
	}
	return ChangeDefault, "was not set: the default"
}

// lost says why an option is in no file.
func (h *History) lost(k Key, owner, value string, files []File) Change {
	from := Shown(k.Option, value)
	c := Change{usual: h.Usual(k, value), Kind: ChangeUnknown, Component: owner, Section: k.Section, Option: k.Option, From: &from, Why: "no version has this option"}
	version := ""
	for _, f := range files {
		if f.Component == owner {
			version = f.Version
		}
	}
	_, known := h.since[k]
	name, renamed := h.names[k]
	switch {
	case known:
		c.Kind, c.Why = ChangeRemoved, fmt.Sprintf("version %s has it no more", version)
		if version == "" {
			c.Why = "the file has it no more"
		}
	case renamed:
		c.Kind, c.Why = ChangeRemoved, "is called "+name.String()+" now, which has a value already"
	case owner == "":
		c.Why = "no version has this section"
	}
	return c
}

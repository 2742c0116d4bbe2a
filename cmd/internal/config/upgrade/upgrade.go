// Package upgrade brings a configuration of Keylime to another version, as
// keylime_upgrade_config does (keylime/cmd/convert_config.py of 7.14.3; the
// intent is in docs/developers/config_update.rst).
//
// A configuration is read with the rules of Python's RawConfigParser. Quotes
// around values do not count, so the agent's file, which is TOML, is read in the
// same way. From version to version a mapping says which options are new, gone,
// or called otherwise; version 2.0 also rewrites some values. What comes out is
// one file for each component.
//
// Nothing of a directory of templates is executed: of its templates the places
// for values are filled in, and its adjust.py is not run.
package upgrade

import (
	"fmt"
	"slices"
)

// Components are the components that have a file.
func Components() []string {
	return []string{"agent", "verifier", "tenant", "registrar", "ca", "logging"}
}

// Request is what to upgrade and how.
type Request struct {
	// Input is the configuration as read. It is not changed.
	Input *Document
	// Components are those whose files are made.
	Components []string
	Catalog    Catalog
	// Target is the version to stop at; nil is the newest.
	Target *Version
	// Mapping, if not nil, is the only one to apply.
	Mapping *Mapping
	// Defaults takes the default of each option instead of its value.
	Defaults bool
	// Log gets what happens on the way; may be nil. It is told of no value.
	Log func(level Level, text string)
}

// File is the new file of a component.
type File struct {
	Component string
	// Version is that of the component, as it is written.
	Version string
	Content []byte
	// Keys are the options it holds; Lost are places of the template that name
	// no option, so that nothing is written there.
	Keys []Key
	Lost []string
	// Unset are the options of which the configuration has no value.
	Unset []Key
	// Doubts are values that will not be read as they were meant.
	Doubts []Doubt
}

// Result is an upgraded configuration.
type Result struct {
	// Input is the configuration before, without quotes around values.
	Input *Document
	// Config is the configuration after.
	Config *Document
	// Changed is false if nothing is other than before.
	Changed bool
}

// Run upgrades a configuration. Errors: [*MappingError], [*TargetError], and
// those that say which section has no usable version.
func (r *Request) Run() (*Result, error) {
	input := r.Input.clone()
	input.stripAll()
	res := &Result{Input: input.clone()}
	var err error
	if r.Mapping != nil {
		res.Config, err = r.step(input, r.Mapping)
	} else {
		res.Config, err = r.walk(input)
	}
	if err != nil {
		return nil, err
	}
	res.Changed = !res.Config.equal(res.Input)
	return res, nil
}

// Files makes the files of an upgraded configuration, all of them or none.
// Errors: [*TemplateError], and those that say which version is not known.
func (r *Request) Files(res *Result) ([]File, error) {
	var files []File
	for _, component := range r.Components {
		f, err := r.file(component, res.Config)
		if err != nil {
			return nil, err
		}
		files = append(files, *f)
	}
	return files, nil
}

// TargetError is a version that the catalogue does not have.
type TargetError struct {
	Version, Catalog string
	Known            []Version
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("version %s is not in %s", e.Version, e.Catalog)
}

// walk applies the mappings of the versions in turn.
func (r *Request) walk(d *Document) (*Document, error) {
	versions := r.Catalog.Versions()
	if len(versions) == 0 {
		return nil, fmt.Errorf("there is no version in %s", r.Catalog.Name())
	}
	if r.Target != nil && !slices.Contains(versions, *r.Target) {
		return nil, &TargetError{r.Target.String(), r.Catalog.Name(), versions}
	}
	for _, v := range versions {
		if r.Target != nil && v.Compare(*r.Target) > 0 {
			break
		}
		m, err := r.Catalog.Mapping(v)
		if err != nil {
			return nil, err
		}
		if d, err = r.step(d, m); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// step applies one mapping, if a component needs it.
func (r *Request) step(d *Document, m *Mapping) (*Document, error) {
	log := logger(r.Log)
	if !slices.ContainsFunc(r.Components, func(c string) bool { return needs(d, c, m.number) }) {
		log.say(Info, "Skipping version %s", m.Version)
		return d, nil
	}
	if !r.Catalog.Has(m.Version) {
		return nil, fmt.Errorf("version %s, to which the mapping leads, is not in %s", m.Version, r.Catalog.Name())
	}
	log.say(Debug, "applying the mapping of version %s", m.Version)
	apply := m.update
	if m.Full {
		apply = m.full
	}
	target := r.Target
	if r.Mapping != nil {
		target = nil
	}
	next, err := apply(d, r.Defaults, target, log)
	if err != nil {
		return nil, fmt.Errorf("upgrading to version %s: %w", m.Version, err)
	}
	next.stripAll()
	r.adjust(next, m, log)
	return next, nil
}

func (r *Request) adjust(d *Document, m *Mapping, log logger) {
	a := r.Catalog.Adjustment(m.Version)
	switch {
	case a.Path == "":
		return
	case !a.Ours:
		log.say(Warning, "%s is not run: what it changes in values is not changed", a.Path)
		return
	case a.Changed:
		log.say(Warning, "%s is not the one of Keylime 7.14.3 and is not run: the rules of that one are applied", a.Path)
	}
	log.say(Debug, "rewriting values for version %s", m.Version)
	if err := adjust(d, m.number); err != nil {
		log.say(Warning, "Failed while running adjustment from %s: %v", a.Path, err)
	}
}

// needs says whether a component is older than a version.
func needs(d *Document, component string, v Version) bool {
	text, found := d.Get(component, "version")
	if !found {
		return true
	}
	have, ok := ParseVersion(text)
	return !ok || have.Compare(v) < 0
}

func (r *Request) file(component string, d *Document) (*File, error) {
	text, found := d.Get(component, "version")
	if !found {
		return nil, fmt.Errorf("the configuration has no version of [%s] to write", component)
	}
	version := strip(text)
	if !r.Catalog.Has(version) {
		return nil, fmt.Errorf("[%s] has version %s, which is not in %s", component, version, r.Catalog.Name())
	}
	form, err := r.Catalog.Form(version, component)
	if err != nil {
		return nil, err
	}
	content, err := form.Render(d)
	if err != nil {
		return nil, err
	}
	f := &File{Component: component, Version: version, Content: content, Keys: form.Keys()}
	for _, k := range f.Keys {
		if _, found := d.Get(k.Section, k.Option); !found {
			f.Unset = append(f.Unset, k)
		}
	}
	f.Doubts = readBack(f, d)
	if component == "agent" {
		f.Doubts = append(f.Doubts, quotedOnce(r.Input)...)
	}
	if t, ok := form.(*Template); ok {
		for _, p := range t.lost(d) {
			f.Lost = append(f.Lost, fmt.Sprintf("%s:%d: {{ %s }} names no section, so nothing is written there", t.path, p.line, p.key.Option))
		}
	}
	return f, nil
}

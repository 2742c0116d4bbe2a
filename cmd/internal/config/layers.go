package config

import (
	"fmt"
	"strings"

	"github.com/spf13/viper"
)

// layers holds one section of one component: presets below files below
// environment below command line, and where each value came from. Viper does
// the layering, on an instance of its own that looks at nothing by itself.
type layers struct {
	section string
	v       *viper.Viper
	origins map[string]Origin
	// overrides are the options that the environment sets.
	overrides []EnvOverride
	warnings  []Warning
}

// separator stands between section and option in Viper's keys; no name can hold
// it, as an option may well have a dot.
const separator = "\x00"

// foreign are the sections that belong to other components: a file may hold
// several. They are no reason for a warning.
const foreign = " agent tenant ca registrar verifier revocations logging "

// stack lays the files of a component and the environment over the presets of
// names; section and component have the same name.
func stack(o Options, f *Files, section string, names, presets []string) *layers {
	l := &layers{section: section, v: viper.NewWithOptions(viper.KeyDelimiter(separator)), origins: map[string]Origin{}}
	for i, name := range names {
		l.v.SetDefault(l.key(name), presets[i])
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	present := false
	for _, s := range f.sources {
		present = present || s.ini.Section(section) != nil
	}
	if present {
		for _, s := range f.sources {
			l.merge(s.name, s.ini.Defaults)
		}
	}
	for _, s := range f.sources {
		for _, other := range s.ini.Sections {
			if other.Name == section {
				l.merge(s.name, other)
				l.unknown(s.name, other, names, known)
			} else if !strings.Contains(foreign, " "+other.Name+" ") {
				l.warn(fmt.Sprintf("%s:%d: the section [%s] means nothing here", s.name, other.Line, other.Name), suggest(other.Name, []string{section}))
			}
		}
	}
	l.environment(o, names, known)
	return l
}

func (l *layers) key(option string) string { return l.section + separator + option }

func (l *layers) warn(text, hint string) {
	l.warnings = append(l.warnings, Warning{Text: text, Hint: hint})
}

// merge lays one section of one file on top.
func (l *layers) merge(file string, s Section) {
	values := make(map[string]any, len(s.Options))
	for _, o := range s.Options {
		values[o.Name] = o.Value
		l.origins[o.Name] = Origin{Kind: OriginFile, Name: file, Line: o.Line}
	}
	// The only failure that Viper knows here is a key that is no text.
	_ = l.v.MergeConfigMap(map[string]any{l.section: values})
}

func (l *layers) unknown(file string, s Section, names []string, known map[string]bool) {
	for _, o := range s.Options {
		if !known[o.Name] {
			l.warn(fmt.Sprintf("%s:%d: [%s] has no option %s", file, o.Line, s.Name, shown(o.Name)), suggest(o.Name, names))
		}
	}
}

// environment lays KEYLIME_<SECTION>_<OPTION> on top; an empty value counts.
func (l *layers) environment(o Options, names []string, known map[string]bool) {
	prefix := "KEYLIME_" + strings.ToUpper(l.section) + "_"
	for _, name := range names {
		variable := prefix + strings.ToUpper(name)
		if value, set := o.getenv(variable); set {
			l.set(name, value, Origin{Kind: OriginEnv, Name: variable})
			l.overrides = append(l.overrides, EnvOverride{Option: name, Variable: variable})
		}
	}
	for _, entry := range o.Env {
		variable, _, _ := strings.Cut(entry, "=")
		option, ours := strings.CutPrefix(variable, prefix)
		option = strings.ToLower(option)
		if ours && option != "config" && !known[option] {
			l.warn(fmt.Sprintf("environment variable %s: [%s] has no option %s", variable, l.section, shown(option)), suggest(option, names))
		}
	}
}

func (l *layers) set(option, value string, from Origin) {
	l.v.Set(l.key(option), value)
	l.origins[option] = from
}

// value is the text of an option in the strongest layer that has it.
func (l *layers) value(option string) (string, Origin) {
	return l.v.GetString(l.key(option)), l.origins[option]
}

// readAll reads every option of a section into s.
func readAll[S any](l *layers, s *S, options []optionSpec[S]) error {
	for i := range options {
		if err := readOne(l, s, &options[i]); err != nil {
			return err
		}
	}
	return nil
}

func readOne[S any](l *layers, s *S, spec *optionSpec[S]) error {
	raw, from := l.value(spec.name)
	problem := spec.set(s, raw, from.Kind)
	if problem == nil {
		return nil
	}
	if spec.secret {
		raw = Redacted
	}
	return &Error{Kind: problem.kind, Origin: from, Section: l.section, Option: spec.name, Value: raw, Cause: problem.cause, Hint: problem.hint}
}

// settings lists every option with its value and origin.
func settings[S any](l *layers, options []optionSpec[S]) []Setting {
	all := make([]Setting, 0, len(options))
	for _, spec := range options {
		raw, from := l.value(spec.name)
		value := stripped(raw)
		if spec.secret && value != "" {
			value = Redacted
		}
		all = append(all, Setting{Section: l.section, Option: spec.name, Value: value, Origin: from, Doc: spec.doc, Own: spec.own})
	}
	return all
}

// names and presets of a table of options.
func names[S any](options []optionSpec[S]) (names, presets []string) {
	for _, spec := range options {
		names, presets = append(names, spec.name), append(presets, spec.preset)
	}
	return names, presets
}

package config

import (
	"strings"
)

// Durable is what registrar.conf or verifier.conf say of durable attestation:
// where the server keeps its records, and in which form.
type Durable struct {
	// Import is the Python module that writes records, "" for none.
	Import string
	// URL, Format and Encoding are those of the store. The address may hold a
	// password.
	URL, Format, Encoding string

	// Component is "registrar" or "verifier".
	Component    string
	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning

	layers *layers
}

// durableOptions are options of [registrar] and [verifier] alike, with the
// presets of their templates.
func durableOptions() []optionSpec[Durable] {
	type c = Durable
	return []optionSpec[c]{
		{name: "durable_attestation_import", doc: "Python module that keeps records; empty keeps none", set: text(func(s *c) *string { return &s.Import })},
		{name: "persistent_store_url", secret: true, doc: "where records are kept", set: text(func(s *c) *string { return &s.URL })},
		{name: "persistent_store_format", preset: "json", doc: "form of a record", set: text(func(s *c) *string { return &s.Format })},
		{name: "persistent_store_encoding", doc: "encoding of a record", set: text(func(s *c) *string { return &s.Encoding })},
	}
}

// LoadDurable reads the options of durable attestation of a component
// ("registrar" or "verifier") with its drop-ins and KEYLIME_<COMPONENT>_<OPTION>,
// as [Load] does for the tenant; it looks at no other option of the file.
// Errors: [*Error].
func LoadDurable(o Options, component string) (*Durable, error) {
	c := &Durable{Component: component}
	part, err := loadPart(o, component, c, durableOptions())
	if err != nil {
		return nil, err
	}
	c.layers, c.EnvOverrides = part.layers, part.layers.overrides
	c.Sources, c.SnippetDirs, c.Warnings = part.sources, part.SnippetDirs, part.Files.Warnings
	return c, nil
}

// Origin says where the value of an option came from.
func (c *Durable) Origin(option string) Origin { return c.layers.origins[option] }

// Judging are options of verifier.conf by which a verifier judges.
type Judging struct {
	// BootPolicy is measured_boot_policy_name.
	BootPolicy string
	// BootAlways is true for measured_boot_evaluate = always.
	BootAlways bool
	// Violations is ignore_tomtou_errors, which has the opposite effect of its
	// name (PROTOCOL.md 11.2).
	Violations bool

	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning
}

func judgingOptions() []optionSpec[Judging] {
	type c = Judging
	return []optionSpec[c]{
		{name: "measured_boot_policy_name", preset: "accept-all", doc: "rules by which boots are judged", set: text(func(s *c) *string { return &s.BootPolicy })},
		{name: "measured_boot_evaluate", preset: "once", doc: "judge the boot with the first quote (once), or with each (always)", set: setEvaluate},
		{name: "ignore_tomtou_errors", preset: "False", doc: "True refuses entries of the IMA list that are violations", set: boolean(func(s *c) *bool { return &s.Violations })},
	}
}

func setEvaluate(s *Judging, raw string, _ OriginKind) *valueError {
	switch value := strings.ToLower(stripped(raw)); value {
	case "once", "always":
		s.BootAlways = value == "always"
	default:
		return &valueError{KindChoice, "no such time to judge a boot", "write once or always"}
	}
	return nil
}

// LoadJudging reads them. That there is no verifier.conf is no error: the
// presets hold. Errors: [*Error].
func LoadJudging(o Options) (*Judging, error) {
	c := &Judging{}
	part, err := loadPart(o, "verifier", c, judgingOptions())
	if err != nil {
		return nil, err
	}
	c.EnvOverrides = part.layers.overrides
	c.Sources, c.SnippetDirs, c.Warnings = part.sources, part.SnippetDirs, part.Files.Warnings
	return c, nil
}

// part are a few options of a component whose others are left alone.
type part struct {
	*Files
	layers  *layers
	sources []string
}

func loadPart[S any](o Options, component string, s *S, options []optionSpec[S]) (*part, error) {
	files, err := Find(o, component)
	if err != nil {
		return nil, err
	}
	known, presets := names(options)
	p := &part{Files: files, layers: stack(o, files, component, known, presets)}
	if err := readAll(p.layers, s, options); err != nil {
		return nil, err
	}
	if files.Base != "" {
		p.sources = []string{files.Base}
	}
	return p, nil
}

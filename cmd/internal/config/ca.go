package config

// CA is the [ca] section of ca.conf: what new certificates look like. Only
// commands that make certificates read it.
type CA struct {
	// Password opens the key store; the text "default" means that it is asked
	// for on the terminal (PROTOCOL.md 8.3).
	Password Secret

	// The subject of the CA.
	Country, Name, State, Locality, Organization, OrgUnit string

	// CALifetime and Lifetime are in days, Bits is the size of RSA keys.
	CALifetime, Lifetime, Bits int
	// CRLDist is the address of the revocation list in certificates.
	CRLDist string

	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning

	layers *layers
}

// caOptions are the options of [ca] with the presets of its template.
func caOptions() []optionSpec[CA] {
	type c = CA
	return []optionSpec[c]{
		{name: "password", preset: "default", secret: true, doc: `password of the key store; "default" asks for it`,
			set: text(func(s *c) *string { return (*string)(&s.Password) })},
		{name: "version", preset: "2.6", doc: "version of the template that the file was made from; not used",
			set: func(*c, string, OriginKind) *valueError { return nil }},
		{name: "cert_country", preset: "US", doc: "country in the subject", set: text(func(s *c) *string { return &s.Country })},
		{name: "cert_ca_name", preset: "Keylime Certificate Authority", doc: "name of the CA", set: text(func(s *c) *string { return &s.Name })},
		{name: "cert_state", preset: "MA", doc: "state in the subject", set: text(func(s *c) *string { return &s.State })},
		{name: "cert_locality", preset: "Lexington", doc: "place in the subject", set: text(func(s *c) *string { return &s.Locality })},
		{name: "cert_organization", preset: "Keylime", doc: "organisation in the subject", set: text(func(s *c) *string { return &s.Organization })},
		{name: "cert_org_unit", preset: "53", doc: "unit of the organisation in the subject", set: text(func(s *c) *string { return &s.OrgUnit })},
		{name: "cert_ca_lifetime", preset: "3650", doc: "days that the CA is valid", set: positive(func(s *c) *int { return &s.CALifetime })},
		{name: "cert_lifetime", preset: "365", doc: "days that a certificate is valid", set: positive(func(s *c) *int { return &s.Lifetime })},
		{name: "cert_bits", preset: "2048", doc: "bits of an RSA key", set: positive(func(s *c) *int { return &s.Bits })},
		{name: "cert_crl_dist", preset: "http://localhost:38080/crl", doc: "address of the revocation list",
			set: text(func(s *c) *string { return &s.CRLDist })},
	}
}

func positive[S any](field func(*S) *int) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, from OriginKind) *valueError {
		if e := integer(field)(s, raw, from); e != nil {
			return e
		}
		if *field(s) < 1 {
			return &valueError{KindInteger, "not above 0", "write a number above 0"}
		}
		return nil
	}
}

// LoadCA reads ca.conf with its drop-ins and KEYLIME_CA_<OPTION>, as [Load]
// does for the tenant. Errors: [*Error].
func LoadCA(o Options) (*CA, error) {
	files, err := Find(o, "ca")
	if err != nil {
		return nil, err
	}
	options := caOptions()
	known, presets := names(options)
	c := &CA{layers: stack(o, files, "ca", known, presets)}
	if err := readAll(c.layers, c, options); err != nil {
		return nil, err
	}
	if files.Base != "" {
		c.Sources = []string{files.Base}
	}
	c.SnippetDirs = files.SnippetDirs
	c.EnvOverrides = c.layers.overrides
	c.Warnings = append(files.Warnings, c.layers.warnings...)
	return c, nil
}

// Settings lists every option with its value and where that came from. Secrets
// are redacted.
func (c *CA) Settings() []Setting { return settings(c.layers, caOptions()) }

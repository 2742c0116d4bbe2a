// Package config is the configuration of keylime_tenant: tenant.conf with its
// drop-ins, the environment and the command line, laid over the presets of the
// template that Keylime 7.14.3 ships, in one typed value that knows where each
// of its parts came from. ca.conf is read the same way, but only on demand.
//
// The files are those of the Python tenant and are read as its RawConfigParser
// reads them (PROTOCOL.md 14). Where that silently turned a mistake into a
// weaker check, this package reports an error that names file, line and value
// (TENANT-CLI.md section D). The package reads files and nothing else: no
// network, no environment but the one it is given. It does not check what the
// TLS files hold, nor whether they exist.
package config

import (
	"time"
)

// Options say what to load and from where.
type Options struct {
	// Env is the environment in the form of os.Environ; of several entries for
	// one variable the first counts.
	Env []string
	// Root is put before the paths of the search order (/etc, /usr/etc), so that
	// tests may bring their own. Paths that the user names are left alone.
	Root string
	// Dir is the current directory, which KEYLIME_TEST makes the working
	// directory of Keylime, and from which a relative KEYLIME_DIR counts;
	// "" means ".".
	Dir string
}

// Config is the [tenant] section of the configuration after every layer.
type Config struct {
	VerifierHost  string
	VerifierPort  int
	RegistrarHost string
	RegistrarPort int

	EnableAgentMTLS bool
	TPMCertStore    string
	// MaxPayloadSize is in characters of the sealed payload's base64 form.
	MaxPayloadSize int

	AcceptHash, AcceptEnc, AcceptSign []string

	ExponentialBackoff bool
	// RetryInterval is in seconds, or the base of the exponential back-off.
	RetryInterval  float64
	MaxRetries     int
	RequestTimeout time.Duration

	RequireEKCert bool
	// EKCompat is true for ek_check = compat.
	EKCompat bool
	// EKRequire is what has to vouch for an EK: chain, pin, both or either.
	EKRequire string
	// EKPinFile is as configured; PinPath says which file holds.
	EKPinFile string
	// EKCheckScript is as configured; ScriptPath makes it absolute.
	EKCheckScript string
	MBRefstate    string

	CheckHostname bool
	// InsecureSkipServer is set by the command line only: the servers'
	// certificates are not checked, so that TLS asks for no CA.
	InsecureSkipServer bool

	// WorkDir is Keylime's working directory, absolute (PROTOCOL.md 1.3);
	// TestMode says that KEYLIME_TEST is on.
	WorkDir  string
	TestMode bool

	// Sources holds the base file, if there is one; SnippetDirs are the
	// directories of which drop-ins were applied; EnvOverrides are the options
	// that the environment sets, in the order of the template.
	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning

	tls struct {
		dir, key, cert, trust string
		password              Secret
		trustFiles            []string
	}
	layers *layers
}

// EnvOverride is an option that the environment has set.
type EnvOverride struct{ Option, Variable string }

// Warning is a peculiarity of the configuration that does not stop the call.
type Warning struct {
	// Text is one sentence without a period; Hint says what to do, or is empty.
	Text, Hint string
}

// Setting is one option with the value that holds, for `config show`.
type Setting struct {
	Section string `json:"section"`
	Option  string `json:"option"`
	// Value is [Redacted] for a secret that is set.
	Value  string `json:"value"`
	Origin Origin `json:"-"`
	// Doc is one line on what the option does; Own says that the Python tenant
	// does not know it.
	Doc string `json:"-"`
	Own bool   `json:"own,omitempty"`
}

// Load reads the configuration of the tenant. That there is none at all is no
// error: the presets hold. Errors: [*Error].
func Load(o Options) (*Config, error) {
	c := &Config{}
	var err error
	if c.WorkDir, c.TestMode, err = workDir(o); err != nil {
		return nil, err
	}
	files, err := Find(o, "tenant")
	if err != nil {
		return nil, err
	}
	options := tenantOptions()
	known, presets := names(options)
	c.layers = stack(o, files, "tenant", known, presets)
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

// Override sets an option from the command line, where flag is how it was given
// ("--cvport"). Errors: [*Error], also for an option that does not exist.
func (c *Config) Override(option, value, flag string) error {
	for _, spec := range tenantOptions() {
		if spec.name == option {
			c.layers.set(option, value, Origin{Kind: OriginFlag, Name: flag})
			return readOne(c.layers, c, &spec)
		}
	}
	return &Error{Kind: KindUnknown, Origin: Origin{Kind: OriginFlag, Name: flag}, Section: "tenant", Option: option,
		Cause: "[tenant] has no such option"}
}

// Origin says where the value of an option came from.
func (c *Config) Origin(option string) Origin { return c.layers.origins[option] }

// Settings lists every option with its value and where that came from, in the
// order of the template, our own at the end. Secrets are redacted.
func (c *Config) Settings() []Setting { return settings(c.layers, tenantOptions()) }

// Package config is the configuration of keylime_tenant: tenant.conf with its
// drop-ins, the environment and the command line, laid over the defaults of the
// template that Keylime 7.14.3 ships, in one typed value that knows where each
// of its parts came from.
//
// The files are those of the Python tenant and are read as its RawConfigParser
// reads them (PROTOCOL.md 14). Where that silently turned a mistake into a
// weaker check, this package reports an error that names file, line and value
// (TENANT-CLI.md section D). The package reads files and nothing else: no
// network, no environment but the one it is given.
package config

import (
	"context"
	"errors"
	"time"
)

// Options say what to load and from where.
type Options struct {
	// Env is the environment in the form of os.Environ.
	Env []string
	// Root is put before every absolute path of the search order, so that tests
	// may bring their own /etc. Paths that the user names are left alone.
	Root string
	// Dir is the current directory, which KEYLIME_TEST makes the working
	// directory of Keylime; "" means ".".
	Dir string
}

// Config is the [tenant] section after every layer.
type Config struct {
	VerifierHost  string
	VerifierPort  int
	RegistrarHost string
	RegistrarPort int

	EnableAgentMTLS bool
	TPMCertStore    string
	MaxPayloadSize  int

	AcceptHash, AcceptEnc, AcceptSign []string

	ExponentialBackoff bool
	RetryInterval      float64
	MaxRetries         int
	RequestTimeout     time.Duration

	RequireEKCert bool
	// EKCompat is true for ek_check = compat.
	EKCompat      bool
	EKCheckScript string
	MBRefstate    string

	CheckHostname bool

	// WorkDir is Keylime's working directory (PROTOCOL.md 1.3); TestMode says
	// that KEYLIME_TEST is on.
	WorkDir  string
	TestMode bool

	// Sources is the base file that was read, if any; SnippetDirs are the
	// directories of which drop-ins were applied; EnvOverrides the options that
	// the environment sets, in the order of [Tenant].
	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning
}

// EnvOverride is an option that the environment has set.
type EnvOverride struct{ Option, Variable string }

// Warning is a peculiarity of the configuration that does not stop the call.
type Warning struct {
	// Text is one sentence without a period, Hint what to do; may be empty.
	Text, Hint string
}

// Error is a mistake in the configuration.
type Error struct {
	// File and Line say where it stands; Variable names the environment
	// variable and Flag the option of the command line that holds it instead.
	File     string
	Line     int
	Variable string
	Flag     string
	Section  string
	Option   string
	// Value is what stands there, "[redacted]" for a secret.
	Value string
	Cause string
	Hint  string
	Err   error
}

func (e *Error) Error() string { return e.Cause }
func (e *Error) Unwrap() error { return e.Err }

// Origin says where a value came from.
type Origin struct {
	Kind OriginKind
	// File and Line for a file, Name of the variable or flag otherwise.
	File string
	Line int
	Name string
}

// OriginKind is the layer that a value came from.
type OriginKind int

// The layers, weakest first.
const (
	OriginDefault OriginKind = iota
	OriginFile
	OriginEnv
	OriginFlag
)

func (o Origin) String() string { return "default" }

// Setting is one option with its effective value, for `config show`.
type Setting struct {
	Section, Option string
	// Value is redacted for secrets.
	Value  string
	Origin Origin
	// Doc is one line on what the option does; Own says that the Python tenant
	// does not know it.
	Doc string
	Own bool
}

// Secret is a password of the configuration. It prints as [redacted].
type Secret string

// TLSFiles are the paths of the TLS material of the tenant, all absolute.
type TLSFiles struct {
	Dir         string
	CAFiles     []string
	CertFile    string
	KeyFile     string
	KeyPassword Secret
	// DefaultCert and DefaultKey say that the option reads "default".
	DefaultCert, DefaultKey bool
}

// CA is the [ca] section of ca.conf.
type CA struct {
	Password     Secret
	Country      string
	Name         string
	State        string
	Locality     string
	Organization string
	OrgUnit      string
	CALifetime   int // days
	Lifetime     int // days
	Bits         int
	CRLDist      string

	Sources      []string
	SnippetDirs  []string
	EnvOverrides []EnvOverride
	Warnings     []Warning
	Settings     []Setting
}

var errNotYet = errors.New("not yet")

// Load reads the configuration of the tenant.
func Load(ctx context.Context, o Options) (*Config, error) { return nil, errNotYet }

// LoadCA reads ca.conf; only commands that make certificates need it.
func LoadCA(ctx context.Context, o Options) (*CA, error) { return nil, errNotYet }

// Override sets an option from the command line; flag is the option's name
// there ("--cvport"). Errors: [*Error].
func (c *Config) Override(option, value, flag string) error { return errNotYet }

// Origin says where the value of an option came from.
func (c *Config) Origin(option string) Origin { return Origin{} }

// Settings lists every option with value and origin, secrets redacted.
func (c *Config) Settings() []Setting { return nil }

// TLS resolves tls_dir and the options that depend on it (PROTOCOL.md 1.3).
// Errors: [*Error] for tls_dir empty or "generate", and for
// trusted_server_ca = all.
func (c *Config) TLS() (TLSFiles, error) { return TLSFiles{}, errNotYet }

// ScriptPath is the absolute path of ek_check_script, "" if there is none.
func (c *Config) ScriptPath() string { return "" }

// CADir is the directory that `--cert default` means: WORK_DIR/ca.
func (c *Config) CADir() string { return "" }

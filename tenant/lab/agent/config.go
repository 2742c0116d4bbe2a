package agent

import (
	"fmt"
	"path/filepath"

	"github.com/keylime/keylime-tenant/payload"
)

// Config is an agent's configuration, the section [agent] of agent.conf and
// its drop-ins, with the defaults of the Rust agent (PROTOCOL.md 14.7). All
// paths are absolute.
type Config struct {
	// UUID is the agent's id. "hash_ek" stands for the hash of the EK,
	// "generate" for a random one.
	UUID string
	// IP and Port are listened on; port 0 takes a free one.
	IP   string
	Port int
	// ContactIP and ContactPort are told to the registrar; empty and 0 mean
	// the address listened on.
	ContactIP   string
	ContactPort int

	RegistrarIP   string
	RegistrarPort int
	// RegistrarTLS speaks TLS to the registrar; RegistrarCA are the CAs that
	// the registrar's certificate is checked against.
	RegistrarTLS bool
	RegistrarCA  []string

	// VerifierURL is the verifier that an agent of the push model attests itself
	// to, https://HOST:PORT; VerifierCA are the CAs that its certificate is
	// checked against, those of TrustedClientCA if it is empty.
	VerifierURL string
	VerifierCA  []string

	// EnableMTLS is off for an agent that serves plain HTTP.
	EnableMTLS bool
	// ServerKey and ServerCert are the agent's own; both are made if absent.
	ServerKey         string
	ServerKeyPassword payload.Secret
	ServerCert        string
	// TrustedClientCA are the files with the CAs of tenants and verifiers.
	TrustedClientCA []string

	// KeylimeDir is the agent's working directory.
	KeylimeDir string
	// EncKeyname and DecPayloadFile are file names inside secure/unzipped.
	EncKeyname     string
	DecPayloadFile string
	// SecureSize bounds what a payload may unpack to, in bytes.
	SecureSize int64
	// ExtractPayloadZip unpacks a payload; PayloadScript runs afterwards, and
	// is a name inside secure/unzipped, empty for none.
	ExtractPayloadZip     bool
	PayloadScript         string
	EnableInsecurePayload bool

	// RevocationCert verifies notices; empty means the one of the payload.
	RevocationCert       string
	RevocationActions    []string
	RevocationActionsDir string
	// AllowPayloadActions lets actions of the payload run.
	AllowPayloadActions bool

	// HashAlg is the bank that is quoted and the hash of signatures.
	HashAlg string
	// EncAlg is the kind of EK, SignAlg the scheme of the AK.
	EncAlg  string
	SignAlg string

	// DeviceIdentity registers the agent with the IAK and the IDevID of its TPM
	// too, keys of the kind DeviceAlg (enable_iak_idevid,
	// iak_idevid_asymmetric_alg).
	DeviceIdentity bool
	DeviceAlg      string

	// IMAPath and BootLogPath are the lists reported; empty means those that
	// the machine was made with.
	IMAPath     string
	BootLogPath string
}

// Defaults is the configuration of an agent in the working directory dir,
// before any file is read.
func Defaults(dir string) Config {
	return Config{
		UUID: "d432fbb3-d2f1-4a97-9ef7-75bd81c00000",
		IP:   "127.0.0.1", Port: 9002,
		RegistrarIP: "127.0.0.1", RegistrarPort: 8890,
		EnableMTLS: true,
		ServerKey:  filepath.Join(dir, "server-private.pem"), ServerCert: filepath.Join(dir, "server-cert.crt"),
		TrustedClientCA: []string{filepath.Join(dir, "cv_ca", "cacert.crt")},
		KeylimeDir:      dir,
		EncKeyname:      "derived_tci_key", DecPayloadFile: "decrypted_payload",
		SecureSize: 1 << 20, ExtractPayloadZip: true, PayloadScript: "autorun.sh",
		RevocationActionsDir: "/usr/libexec/keylime", AllowPayloadActions: true,
		HashAlg: "sha256", EncAlg: "rsa", SignAlg: "rsassa", DeviceAlg: "rsa",
	}
}

// ConfigError is a configuration that cannot be used.
type ConfigError struct {
	// File is the file, or "environment".
	File string
	// Option is the option concerned, "" if the file as a whole is.
	Option string
	// Cause says what is wrong, Hint what to do.
	Cause, Hint string
	Err         error
}

func (e *ConfigError) Error() string {
	text := e.File
	if e.Option != "" {
		text += ": option " + e.Option
	}
	text += ": " + e.Cause
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *ConfigError) Unwrap() error { return e.Err }

// check says whether the options fit together.
func (c *Config) check() error {
	bad := func(option, format string, a ...any) error {
		return &ConfigError{File: "agent configuration", Option: option, Cause: fmt.Sprintf(format, a...)}
	}
	switch {
	case c.SignAlg == "ecdsa" && c.EncAlg == "" || c.SignAlg == "":
		return bad("tpm_signing_alg", "is empty")
	case c.RegistrarTLS && len(c.RegistrarCA) == 0:
		return bad("registrar_tls_ca_cert", "is needed, since registrar_tls_enabled is set")
	case c.EnableMTLS && len(c.TrustedClientCA) == 0:
		return bad("trusted_client_ca", "names no CA, so nobody could connect")
	}
	return nil
}

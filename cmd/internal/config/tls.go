package config

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Secret is a password of the configuration. It prints as [redacted], whatever
// the verb of the format.
type Secret string

// Reveal is the password itself.
func (s Secret) Reveal() string { return string(s) }

// String is "[redacted]", or empty for no password.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format writes String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// TLSFiles are the paths of the tenant's TLS material, all absolute. Nothing is
// known yet about what they hold.
type TLSFiles struct {
	Dir               string
	CAFiles           []string
	CertFile, KeyFile string
	KeyPassword       Secret
	// DefaultCert and DefaultKey say that the option reads "default".
	DefaultCert, DefaultKey bool
}

// TLS resolves tls_dir and the options that depend on it (PROTOCOL.md 1.3).
// Errors are [*Error] of the kinds [KindTLSDir] (empty, or "generate", which
// only servers may use), [KindTrustAll] (trusted_server_ca = all),
// [KindNoTrust] (no CA; neither matters with InsecureSkipServer) and
// [KindNoClient] (no client certificate or key).
func (c *Config) TLS() (TLSFiles, error) {
	var t TLSFiles
	switch c.tls.dir {
	case "":
		return t, c.tlsError(KindTLSDir, "tls_dir", "the directory of the TLS files is not set", "set it to default, or to a directory")
	case "generate":
		return t, c.tlsError(KindTLSDir, "tls_dir", "the tls_dir=generate option is not supported for 'tenant'", "set it to default, or to a directory")
	case "default":
		t.Dir = filepath.Join(c.WorkDir, "cv_ca")
	default:
		t.Dir = below(c.WorkDir, c.tls.dir)
	}
	if !c.InsecureSkipServer {
		switch c.tls.trust {
		case "":
			return t, c.tlsError(KindNoTrust, "trusted_server_ca", "no CA is trusted, so that no server can be", "set it to default, or to a list of files")
		case "all":
			return t, c.tlsError(KindTrustAll, "trusted_server_ca",
				`"all" never switched verification off in Keylime, it only made every call fail, and trusting everybody would hand keys to anybody`,
				"name the servers' CA in a list of files; for a test, --insecure-skip-server-verification does what was meant")
		case "default":
			t.CAFiles = []string{filepath.Join(c.WorkDir, "cv_ca", "cacert.crt")}
		default:
			for _, file := range c.tls.trustFiles {
				t.CAFiles = append(t.CAFiles, below(t.Dir, file))
			}
			if len(t.CAFiles) == 0 {
				return t, c.tlsError(KindNoTrust, "trusted_server_ca", "no CA is trusted, so that no server can be", "set it to default, or to a list of files")
			}
		}
	}
	if c.tls.cert == "" || c.tls.key == "" {
		option := "client_cert"
		if c.tls.cert != "" {
			option = "client_key"
		}
		return t, c.tlsError(KindNoClient, option, "without a certificate and key of our own no server takes our calls", "set it to default, or to a file")
	}
	t.CertFile, t.DefaultCert = fileOrDefault(t.Dir, c.tls.cert, "client-cert.crt")
	t.KeyFile, t.DefaultKey = fileOrDefault(t.Dir, c.tls.key, "client-private.pem")
	t.KeyPassword = c.tls.password
	return t, nil
}

func (c *Config) tlsError(kind Kind, option, cause, hint string) error {
	value, from := c.layers.value(option)
	return &Error{Kind: kind, Origin: from, Section: "tenant", Option: option, Value: stripped(value), Cause: cause, Hint: hint}
}

func fileOrDefault(dir, value, preset string) (path string, isDefault bool) {
	if value == "default" {
		return filepath.Join(dir, preset), true
	}
	return below(dir, value), false
}

// below is path, taken from dir unless it is absolute.
func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// ScriptPath is the absolute path of ek_check_script, "" if none is set.
func (c *Config) ScriptPath() string {
	if c.EKCheckScript == "" {
		return ""
	}
	return below(c.WorkDir, c.EKCheckScript)
}

// PinPath is the absolute path of the list of pinned EKs: ek_pin_file, or
// ek_pins.txt beside the directory of tpm_cert_store. Inside of that it would
// look like one of the certificates.
func (c *Config) PinPath() string {
	if c.EKPinFile == "" {
		return filepath.Join(filepath.Dir(below(c.WorkDir, c.TPMCertStore)), "ek_pins.txt")
	}
	return below(c.WorkDir, c.EKPinFile)
}

// CADir is the directory that `--cert default` means: ca below WorkDir.
func (c *Config) CADir() string { return filepath.Join(c.WorkDir, "ca") }

// workDir is Keylime's working directory: KEYLIME_DIR, else the current
// directory in test mode, else /var/lib/keylime (PROTOCOL.md 1.3).
func workDir(o Options) (dir string, test bool, err error) {
	here := o.Dir
	if here == "" {
		here = "."
	}
	if here, err = filepath.Abs(here); err != nil {
		return "", false, &Error{Kind: KindUnreadable, Cause: "the current directory is unknown", Err: err}
	}
	if value, set := o.getenv("KEYLIME_TEST"); set {
		switch strings.ToLower(value) {
		case "on", "true", "1":
			test = true
		case "off", "false", "0", "default":
		default:
			return "", false, &Error{Kind: KindBoolean, Origin: Origin{Kind: OriginEnv, Name: "KEYLIME_TEST"}, Option: "KEYLIME_TEST", Value: value,
				Cause: "not a boolean", Hint: "use either on/true/1 or off/false/0"}
		}
	}
	if value, _ := o.getenv("KEYLIME_DIR"); value != "" {
		return below(here, value), test, nil
	}
	if test {
		return here, true, nil
	}
	return "/var/lib/keylime", false, nil
}

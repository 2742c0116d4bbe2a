package agent

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/payload"
)

// value is what a file or the environment gives for an option.
type value struct {
	raw  any // string, bool, int64, float64, []any
	file string
	name string
}

func (v value) bad(hint, format string, a ...any) error {
	return &ConfigError{File: v.file, Option: v.name, Cause: fmt.Sprintf(format, a...), Hint: hint}
}

func (v value) text() (string, error) {
	switch t := v.raw.(type) {
	case string:
		return strings.TrimSpace(t), nil
	case int64:
		return strconv.FormatInt(t, 10), nil
	}
	return "", v.bad("", "%v is no string", v.raw)
}

func (v value) boolean() (bool, error) {
	switch t := v.raw.(type) {
	case bool:
		return t, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(t)) {
		case "true", "1", "yes", "on":
			return true, nil
		case "false", "0", "no", "off":
			return false, nil
		}
	}
	return false, v.bad("write true or false", "%v is neither true nor false", v.raw)
}

func (v value) port() (int, error) {
	text, err := v.text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 65535 {
		return 0, v.bad("", "%q is no port number", text)
	}
	return n, nil
}

// list reads a list of strings: a TOML array, or a string with one item, or
// with items in brackets, separated by commas, quoted or not.
func (v value) list() ([]string, error) {
	var items []string
	switch t := v.raw.(type) {
	case []any:
		for _, item := range t {
			s, ok := item.(string)
			if !ok {
				return nil, v.bad("", "%v is no string", item)
			}
			items = append(items, strings.TrimSpace(s))
		}
	case string:
		text := strings.TrimSpace(t)
		if inner, ok := strings.CutPrefix(text, "["); ok {
			if inner, ok = strings.CutSuffix(inner, "]"); !ok {
				return nil, v.bad("", "%q is a list without its closing bracket", text)
			}
			text = inner
		}
		for _, item := range strings.Split(text, ",") {
			items = append(items, strings.Trim(strings.TrimSpace(item), `"'`))
		}
	default:
		return nil, v.bad("", "%v is neither a string nor a list of strings", v.raw)
	}
	return slices.DeleteFunc(items, func(s string) bool { return s == "" }), nil
}

// path reads a path that has to be absolute; "default" and the empty string
// give byDefault.
func (v value) path(byDefault string) (string, error) {
	text, err := v.text()
	if err != nil || text == "" || text == "default" {
		return byDefault, err
	}
	return text, v.absolute(text)
}

func (v value) absolute(path string) error {
	if !filepath.IsAbs(path) {
		return v.bad("write the whole path, from the root", "%q is a relative path", path)
	}
	return nil
}

func (v value) paths(byDefault ...string) ([]string, error) {
	items, err := v.list()
	if err != nil {
		return nil, err
	}
	if len(items) == 1 && items[0] == "default" || len(items) == 0 {
		return byDefault, nil
	}
	for _, item := range items {
		if err := v.absolute(item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// fileName reads the name of a file that lies in a directory of the agent.
func (v value) fileName() (string, error) {
	text, err := v.text()
	if err == nil && text != "" && !filepath.IsLocal(text) {
		err = v.bad("write a name without a path", "%q leads out of the directory of the payload", text)
	}
	return text, err
}

// size reads a size as mount takes it: a number with k, m or g.
func (v value) size() (int64, error) {
	text, err := v.text()
	if err != nil {
		return 0, err
	}
	number, unit := text, int64(1)
	if n := len(text); n > 0 {
		switch text[n-1] | 0x20 {
		case 'k':
			number, unit = text[:n-1], 1<<10
		case 'm':
			number, unit = text[:n-1], 1<<20
		case 'g':
			number, unit = text[:n-1], 1<<30
		}
	}
	size, err := strconv.ParseInt(number, 10, 32)
	if err != nil || size <= 0 {
		return 0, v.bad(`"1m" is one mebibyte`, "%q is no size", text)
	}
	return size * unit, nil
}

func (v value) oneOf(allowed ...string) (string, error) {
	text, err := v.text()
	if err == nil && !slices.Contains(allowed, text) {
		err = v.bad("possible here: "+strings.Join(allowed, ", "), "%q cannot be had from the lab's TPM", text)
	}
	return text, err
}

// setters are the options that mean something to this agent.
func setters() map[string]func(*Config, value) error {
	text := func(field func(*Config) *string) func(*Config, value) error {
		return func(c *Config, v value) (err error) { *field(c), err = v.text(); return }
	}
	flag := func(field func(*Config) *bool) func(*Config, value) error {
		return func(c *Config, v value) (err error) { *field(c), err = v.boolean(); return }
	}
	port := func(field func(*Config) *int) func(*Config, value) error {
		return func(c *Config, v value) (err error) { *field(c), err = v.port(); return }
	}
	name := func(field func(*Config) *string) func(*Config, value) error {
		return func(c *Config, v value) (err error) { *field(c), err = v.fileName(); return }
	}
	return map[string]func(*Config, value) error{
		"uuid":                  text(func(c *Config) *string { return &c.UUID }),
		"ip":                    text(func(c *Config) *string { return &c.IP }),
		"port":                  port(func(c *Config) *int { return &c.Port }),
		"contact_ip":            text(func(c *Config) *string { return &c.ContactIP }),
		"contact_port":          port(func(c *Config) *int { return &c.ContactPort }),
		"registrar_ip":          text(func(c *Config) *string { return &c.RegistrarIP }),
		"registrar_port":        port(func(c *Config) *int { return &c.RegistrarPort }),
		"registrar_tls_enabled": flag(func(c *Config) *bool { return &c.RegistrarTLS }),
		"registrar_tls_ca_cert": func(c *Config, v value) (err error) { c.RegistrarCA, err = v.paths(); return },
		"verifier_url":          text(func(c *Config) *string { return &c.VerifierURL }),
		"verifier_tls_ca_cert":  func(c *Config, v value) (err error) { c.VerifierCA, err = v.paths(); return },
		"enable_agent_mtls":     flag(func(c *Config) *bool { return &c.EnableMTLS }),
		"server_key":            func(c *Config, v value) (err error) { c.ServerKey, err = v.path(c.ServerKey); return },
		"server_cert":           func(c *Config, v value) (err error) { c.ServerCert, err = v.path(c.ServerCert); return },
		"server_key_password": func(c *Config, v value) error {
			password, err := v.text()
			c.ServerKeyPassword = payload.NewSecret([]byte(password))
			return err
		},
		"trusted_client_ca": func(c *Config, v value) (err error) {
			c.TrustedClientCA, err = v.paths(c.TrustedClientCA...)
			return
		},
		"enc_keyname":             name(func(c *Config) *string { return &c.EncKeyname }),
		"dec_payload_file":        name(func(c *Config) *string { return &c.DecPayloadFile }),
		"payload_script":          name(func(c *Config) *string { return &c.PayloadScript }),
		"secure_size":             func(c *Config, v value) (err error) { c.SecureSize, err = v.size(); return },
		"extract_payload_zip":     flag(func(c *Config) *bool { return &c.ExtractPayloadZip }),
		"enable_insecure_payload": flag(func(c *Config) *bool { return &c.EnableInsecurePayload }),
		"revocation_cert":         func(c *Config, v value) (err error) { c.RevocationCert, err = v.path(""); return },
		"revocation_actions":      func(c *Config, v value) (err error) { c.RevocationActions, err = v.list(); return },
		"revocation_actions_dir": func(c *Config, v value) (err error) {
			c.RevocationActionsDir, err = v.path(c.RevocationActionsDir)
			return
		},
		"allow_payload_revocation_actions": flag(func(c *Config) *bool { return &c.AllowPayloadActions }),
		"tpm_hash_alg":                     func(c *Config, v value) (err error) { c.HashAlg, err = v.oneOf("sha256", "sha1", "sha384"); return },
		"tpm_encryption_alg": func(c *Config, v value) (err error) {
			c.EncAlg, err = v.oneOf("rsa", "rsa2048", "rsa3072", "ecc", "ecc256", "ecc384")
			return
		},
		"tpm_signing_alg":   func(c *Config, v value) (err error) { c.SignAlg, err = v.oneOf("rsassa", "ecdsa"); return },
		"enable_iak_idevid": flag(func(c *Config) *bool { return &c.DeviceIdentity }),
		"iak_idevid_asymmetric_alg": func(c *Config, v value) error {
			alg, err := v.oneOf("", "rsa", "rsa2048", "rsa3072", "ecc", "ecc256", "ecc384", "ecc521")
			if alg != "" {
				c.DeviceAlg = alg
			}
			return err
		},
		"ima_ml_path":          func(c *Config, v value) (err error) { c.IMAPath, err = v.path(""); return },
		"measuredboot_ml_path": func(c *Config, v value) (err error) { c.BootLogPath, err = v.path(""); return },
	}
}

// withoutEffect are options of the Rust agent that this one reads past: they
// concern hardware, users and transports that the lab does not have.
var withoutEffect = [...]string{
	"version", "api_versions", "keylime_dir", "run_as", "ek_handle", "tpm_ownerpassword", "agent_data_path",
	"iak_idevid_template", "iak_idevid_name_alg",
	"idevid_password", "idevid_handle", "iak_password", "iak_handle", "iak_cert", "idevid_cert",
	"enable_revocation_notifications", "revocation_notification_ip", "revocation_notification_port",
	"payload_key", "payload_key_password", "exponential_backoff_initial_delay", "exponential_backoff_max_retries",
	"exponential_backoff_max_delay", "uefi_logs_evidence_version", "certification_keys_server_identifier",
	"attestation_interval_seconds", "ima_ml_count_file", "registrar_api_versions",
	"disabled_signing_algorithms", "tls_accept_invalid_certs", "tls_accept_invalid_hostnames",
}

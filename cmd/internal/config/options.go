package config

import (
	"errors"
	"math"
	"strings"
	"time"
)

// optionSpec is what is known of one option of section S.
type optionSpec[S any] struct {
	name, preset string
	// own marks an option that the Python tools do not have.
	own, secret bool
	doc         string
	// set reads a value; text is as it stands there, from is its layer.
	set func(s *S, text string, from OriginKind) *valueError
}

// valueError is what is wrong with a value, without its place.
type valueError struct {
	kind        Kind
	cause, hint string
}

// tenantOptions are the options of [tenant] in the order of the template, with
// the presets of its version 2.6 (PROTOCOL.md 14.6), and then our own.
func tenantOptions() []optionSpec[Config] {
	type c = Config
	return []optionSpec[c]{
		{name: "version", preset: "2.6", doc: "version of the template that the file was made from; not used",
			set: func(*c, string, OriginKind) *valueError { return nil }},
		{name: "verifier_ip", preset: "127.0.0.1", doc: "address of the verifier", set: host(func(s *c) *string { return &s.VerifierHost })},
		{name: "verifier_port", preset: "8881", doc: "port of the verifier", set: port(func(s *c) *int { return &s.VerifierPort })},
		{name: "registrar_ip", preset: "127.0.0.1", doc: "address of the registrar", set: host(func(s *c) *string { return &s.RegistrarHost })},
		{name: "registrar_port", preset: "8891", doc: "TLS port of the registrar", set: port(func(s *c) *int { return &s.RegistrarPort })},
		{name: "tls_dir", preset: "default", doc: `directory of the TLS files: a path, or "default" for cv_ca below Keylime's working directory`,
			set: text(func(s *c) *string { return &s.tls.dir })},
		{name: "enable_agent_mtls", preset: "True", doc: "speak TLS with agents; False sends keys in the clear",
			set: boolean(func(s *c) *bool { return &s.EnableAgentMTLS })},
		{name: "client_key", preset: "default", doc: `our private key: a path below tls_dir, or "default" for client-private.pem`,
			set: text(func(s *c) *string { return &s.tls.key })},
		{name: "client_key_password", secret: true, doc: "password of our private key; empty if it has none",
			set: text(func(s *c) *string { return (*string)(&s.tls.password) })},
		{name: "client_cert", preset: "default", doc: `our certificate: a path below tls_dir, or "default" for client-cert.crt`,
			set: text(func(s *c) *string { return &s.tls.cert })},
		{name: "trusted_server_ca", preset: "default", doc: `CA certificates of the servers: a list of paths below tls_dir, or "default" for cv_ca/cacert.crt`,
			set: setTrust},
		{name: "tpm_cert_store", preset: "/var/lib/keylime/tpm_cert_store", doc: "directory of the certificates of TPM makers",
			set: text(func(s *c) *string { return &s.TPMCertStore })},
		{name: "max_payload_size", preset: "1048576", doc: "largest encrypted payload, in characters of its base64 form",
			set: integer(func(s *c) *int { return &s.MaxPayloadSize })},
		{name: "accept_tpm_hash_algs", preset: "['sha512', 'sha384', 'sha256']", doc: "hash algorithms that a quote may use",
			set: list(func(s *c) *[]string { return &s.AcceptHash })},
		{name: "accept_tpm_encryption_algs", preset: "['ecc', 'rsa']", doc: "encryption algorithms that an agent may use",
			set: list(func(s *c) *[]string { return &s.AcceptEnc })},
		{name: "accept_tpm_signing_algs", preset: "['ecschnorr', 'rsassa']", doc: "signing algorithms that a quote may use",
			set: list(func(s *c) *[]string { return &s.AcceptSign })},
		{name: "exponential_backoff", preset: "True", doc: "wait retry_interval to the power of the try, instead of the same time",
			set: boolean(func(s *c) *bool { return &s.ExponentialBackoff })},
		{name: "retry_interval", preset: "2", doc: "seconds between tries, or the base of the power",
			set: number(func(s *c) *float64 { return &s.RetryInterval })},
		{name: "max_retries", preset: "5", doc: "tries before giving up", set: integer(func(s *c) *int { return &s.MaxRetries })},
		{name: "request_timeout", preset: "60", doc: "time limit of one request, in seconds", set: setTimeout},
		{name: "require_ek_cert", preset: "True", doc: "refuse a TPM without a trusted EK certificate",
			set: boolean(func(s *c) *bool { return &s.RequireEKCert })},
		{name: "ek_check_script", doc: "program that is asked about the EK; a relative path lies below Keylime's working directory",
			set: text(func(s *c) *string { return &s.EKCheckScript })},
		{name: "mb_refstate", doc: "measured-boot policy that --mb-policy default means",
			set: text(func(s *c) *string { return &s.MBRefstate })},

		{name: "ek_check", preset: "strict", own: true, doc: `"strict" checks chain, dates and key of an EK certificate; "compat" is as lenient as Keylime 7.14.3`,
			set: setEKCheck},
		{name: "ek_require", preset: "chain", own: true, doc: `what vouches for an EK: "chain" its certificate (if require_ek_cert), "pin" the list of pinned EKs, "both", or "either"`,
			set: setEKRequire},
		{name: "ek_pin_file", own: true, doc: "list of pinned EKs; a relative path lies below Keylime's working directory, empty is ek_pins.txt beside tpm_cert_store",
			set: text(func(s *c) *string { return &s.EKPinFile })},
		{name: "check_hostname", preset: "False", own: true, doc: "check that a server's certificate names the host",
			set: boolean(func(s *c) *bool { return &s.CheckHostname })},
	}
}

// The readers of values: each makes the set of an option from its field.

func text[S any](field func(*S) *string) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		*field(s) = stripped(raw)
		return nil
	}
}

func host[S any](field func(*S) *string) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		value := stripped(raw)
		if value == "" {
			return &valueError{KindEmpty, "there is no address", "give an address, or leave the option out to get its default"}
		}
		*field(s) = value
		return nil
	}
}

func port[S any](field func(*S) *int) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		n, err := parsePort(raw)
		if err != nil {
			return &valueError{KindPort, err.Error(), "a port is a number from 1 to 65535"}
		}
		*field(s) = n
		return nil
	}
}

func boolean[S any](field func(*S) *bool) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, from OriginKind) *valueError {
		b, err := parseBool(raw, from)
		if err != nil {
			return &valueError{KindBoolean, err.Error(), "write True or False"}
		}
		*field(s) = b
		return nil
	}
}

func integer[S any](field func(*S) *int) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		n, err := parseInt(raw)
		if err != nil {
			return &valueError{KindInteger, err.Error(), "write a decimal number without quotes"}
		}
		*field(s) = n
		return nil
	}
}

func number[S any](field func(*S) *float64) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		n, err := parseFloat(raw)
		if err != nil {
			return &valueError{KindNumber, err.Error(), "write a decimal number without quotes"}
		}
		*field(s) = n
		return nil
	}
}

func list[S any](field func(*S) *[]string) func(*S, string, OriginKind) *valueError {
	return func(s *S, raw string, _ OriginKind) *valueError {
		value := stripped(raw)
		items, err := ParseList(value)
		if value == "" {
			err = errors.New("the list is missing")
		}
		if err != nil {
			return &valueError{KindList, err.Error(), "write a list like ['first', 'second']"}
		}
		*field(s) = items
		return nil
	}
}

// setTrust reads trusted_server_ca: a keyword, nothing, or a list.
func setTrust(s *Config, raw string, from OriginKind) *valueError {
	s.tls.trust, s.tls.trustFiles = stripped(raw), nil
	switch s.tls.trust {
	case "", "default", "all":
		return nil
	}
	e := list(func(s *Config) *[]string { return &s.tls.trustFiles })(s, raw, from)
	if e != nil {
		e.hint = "write a list of files like ['cacert.crt'], or default"
	}
	return e
}

// setTimeout reads request_timeout; a time limit is above nothing.
func setTimeout(s *Config, raw string, from OriginKind) *valueError {
	var seconds float64
	if e := number(func(*Config) *float64 { return &seconds })(s, raw, from); e != nil {
		return e
	}
	if seconds <= 0 || seconds > float64(math.MaxInt64)/float64(time.Second) {
		return &valueError{KindNumber, "not a time limit", "write a number of seconds above 0"}
	}
	s.RequestTimeout = time.Duration(seconds * float64(time.Second))
	return nil
}

func setEKCheck(s *Config, raw string, _ OriginKind) *valueError {
	switch strings.ToLower(stripped(raw)) {
	case "strict":
		s.EKCompat = false
	case "compat":
		s.EKCompat = true
	default:
		return &valueError{KindChoice, "no such way to check an EK", "write strict or compat"}
	}
	return nil
}

func setEKRequire(s *Config, raw string, _ OriginKind) *valueError {
	switch value := strings.ToLower(stripped(raw)); value {
	case "chain", "pin", "both", "either":
		s.EKRequire = value
	default:
		return &valueError{KindChoice, "nothing that could vouch for an EK", "write chain, pin, both or either"}
	}
	return nil
}

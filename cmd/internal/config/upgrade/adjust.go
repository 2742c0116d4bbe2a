package upgrade

import (
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

// adjusted is the version at which meanings of values changed, so that values
// are rewritten besides being moved.
var adjusted = Version{2, 0}

// replacement is a value that has another name since.
type replacement struct{ section, option, old, new string }

// replacements: one file that had several uses is now named by a word.
func replacements() []replacement {
	return []replacement{
		{"verifier", "client_cert", "CV", "default"},
		{"verifier", "trusted_server_ca", "CV", "default"},
		{"verifier", "database_url", "", "sqlite"},
		{"registrar", "tls_dir", "CV", "default"},
		{"registrar", "database_url", "", "sqlite"},
	}
}

// lists are the options that are lists since, in the form of Python's.
func lists(section string) []string {
	switch section {
	case "agent":
		return []string{"trusted_client_ca", "revocation_actions"}
	case "verifier":
		return []string{"trusted_server_ca", "severity_labels", "severity_policy", "measured_boot_imports"}
	case "revocations":
		return []string{"enabled_revocation_notifications"}
	case "tenant":
		return []string{"trusted_server_ca", "accept_tpm_hash_algs", "accept_tpm_encryption_algs", "accept_tpm_signing_algs"}
	case "registrar":
		return []string{"trusted_client_ca"}
	}
	return nil
}

// booleans are those of the agent, whose file is TOML since: true, not True.
func booleans() []string {
	return []string{"enable_agent_mtls", "extract_payload_zip", "enable_revocation_notifications", "enable_insecure_payload", "exponential_backoff"}
}

// adjust rewrites values for version 2.0. It changes the sections of that
// version only, in their order, and stops at the first thing that is missing.
func adjust(d *Document, mapping Version) error {
	for _, name := range d.names() {
		v := unversioned
		if text, found := d.Get(name, "version"); found {
			var ok bool
			if v, ok = ParseVersion(text); !ok {
				return fmt.Errorf("the version of [%s] is not MAJOR.MINOR", name)
			}
		}
		if v != mapping {
			continue
		}
		for _, r := range replacements() {
			if value, found := d.Get(name, r.option); found && r.section == name && value == r.old {
				d.change(name, r.option, r.new)
			}
		}
		for _, option := range lists(name) {
			if value, found := d.Get(name, option); found {
				if list, changed := toList(value); changed {
					d.change(name, option, list)
				}
			}
		}
		if err := adjustSection(d, name); err != nil {
			return err
		}
	}
	return nil
}

func adjustSection(d *Document, name string) error {
	switch name {
	case "agent":
		for _, option := range booleans() {
			if value, found := d.Get(name, option); found {
				d.change(name, option, strings.ToLower(value))
			}
		}
	case "verifier":
		return generated(d, name, "client_key", "client_cert", "trusted_server_ca", "server_key", "server_cert", "trusted_client_ca")
	case "registrar":
		return generated(d, name, "server_key", "server_cert", "trusted_client_ca")
	case "tenant":
		return bothAuthorities(d)
	}
	return nil
}

// generated: where a server makes its own keys, it gives them their names too.
func generated(d *Document, name string, options ...string) error {
	dir, err := need(d, name, "tls_dir")
	if err != nil || dir != "generate" {
		return err
	}
	for _, option := range options {
		if _, err := need(d, name, option); err != nil {
			return err
		}
		d.change(name, option, "default")
	}
	return nil
}

// bothAuthorities: servers that both make their own authorities have two of
// them, and the tenant must trust both.
func bothAuthorities(d *Document) error {
	for _, want := range []struct{ section, option, value string }{
		{"tenant", "tls_dir", "default"}, {"tenant", "trusted_server_ca", "default"},
		{"registrar", "tls_dir", "generate"}, {"verifier", "tls_dir", "generate"},
	} {
		value, err := need(d, want.section, want.option)
		if err != nil || value != want.value {
			return err
		}
	}
	d.change("tenant", "trusted_server_ca", "['/var/lib/keylime/cv_ca/cacert.crt', '/var/lib/keylime/reg_ca/cacert.crt']")
	return nil
}

// need is a value that the rules take for granted; the error is the missing
// name, as Python's KeyError prints it.
func need(d *Document, name, option string) (string, error) {
	if !d.has(name) {
		return "", errors.New(pyjson.Quote(name))
	}
	value, found := d.Get(name, option)
	if !found {
		return "", errors.New(pyjson.Quote(option))
	}
	return value, nil
}

// toList makes a Python list of a value: of a tuple, or, if the value is no
// Python literal at all, of what stands between its commas. Lists, other
// literals and the word default stay.
func toList(value string) (list string, changed bool) {
	value = strip(value)
	if value == "default" {
		return "", false
	}
	v, ok := evalLiteral(value)
	if ok {
		if v.kind != kindTuple {
			return "", false
		}
		v.kind = kindList
		return v.repr(), true
	}
	items := literal{kind: kindList}
	for _, part := range strings.Split(strings.Trim(value, "[ ]"), ",") {
		if part = strip(part); part != "" {
			items.items = append(items.items, literal{kind: kindString, text: part})
		}
	}
	return items.repr(), true
}

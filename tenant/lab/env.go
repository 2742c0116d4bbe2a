package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// programName is what the binary is called in the PATH of a lab's commands.
const programName = "keylime_tenant"

// Env returns base, the environment of a process in the form of os.Environ,
// changed so that a tenant speaks to this lab: KEYLIME_TENANT_CONFIG,
// KEYLIME_DIR, LAB_DIR, LAB_AGENT (the first agent's id), LAB_AGENTS (all ids,
// separated by blanks), and a directory that holds binary under the name
// keylime_tenant first in PATH. Variables that would lead a tenant elsewhere
// are taken out. An empty binary leaves PATH alone.
func (l *Lab) Env(base []string, binary string) ([]string, error) {
	var ids []string
	for _, a := range l.Agents() {
		ids = append(ids, a.ID)
	}
	first := ""
	if len(ids) > 0 {
		first = ids[0]
	}
	set := []string{
		"KEYLIME_TENANT_CONFIG=" + l.TenantConf(), "KEYLIME_DIR=" + l.dir,
		"LAB_DIR=" + l.dir, "LAB_AGENT=" + first, "LAB_AGENTS=" + strings.Join(ids, " "),
	}
	if binary != "" {
		bin, err := l.link(binary)
		if err != nil {
			return nil, err
		}
		path := bin
		for _, entry := range base {
			if value, found := strings.CutPrefix(entry, "PATH="); found {
				path = bin + string(filepath.ListSeparator) + value
			}
		}
		set = append(set, "PATH="+path)
	}
	env := slices.DeleteFunc(slices.Clone(base), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return leadsElsewhere(name) || slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	})
	return append(env, set...), nil
}

// leadsElsewhere names the variables that override what tenant.conf says about
// servers and trust.
func leadsElsewhere(name string) bool {
	option, ours := strings.CutPrefix(name, "KEYLIME_TENANT_")
	if !ours {
		return false
	}
	switch option {
	case "VERIFIER_IP", "VERIFIER_PORT", "REGISTRAR_IP", "REGISTRAR_PORT", "TLS_DIR", "CLIENT_KEY", "CLIENT_KEY_PASSWORD",
		"CLIENT_CERT", "TRUSTED_SERVER_CA", "TPM_CERT_STORE", "ENABLE_AGENT_MTLS", "REQUIRE_EK_CERT", "EK_CHECK_SCRIPT":
		return true
	}
	return false
}

// link puts the binary into a directory of its own, under its name.
func (l *Lab) link(binary string) (dir string, err error) {
	dir = l.path("bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	name := filepath.Join(dir, programName)
	link := os.Symlink
	if runtime.GOOS == "windows" {
		name, link = name+".exe", os.Link // symbolic links need rights there
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("lab: %w", err)
	}
	if err := link(binary, name); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	return dir, nil
}

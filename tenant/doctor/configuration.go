package doctor

import "fmt"

// configuration looks at everything on this machine, and reads the TLS files.
func (x *examiner) configuration() Hop {
	h := Hop{Name: "configuration"}
	c := x.Configuration
	if c.Trouble != nil {
		h.add(Finding{Check: CheckConfig, Level: Problem, Class: ClassConfiguration, Seen: c.Trouble.Seen, Fix: c.Trouble.Fix,
			Why: "no command works with this configuration; the servers were not looked at"})
		return h
	}
	if len(c.Files) == 0 {
		h.add(Finding{Check: CheckConfigFiles, Level: Note, Class: ClassConfiguration,
			Seen: "there is no tenant.conf: the built-in defaults hold, and what the environment and the command line say",
			Fix:  "keylime_tenant config show lists every value and where it came from"})
	} else {
		h.ok(CheckConfigFiles, ClassConfiguration, "read from %s", safe(some(c.Files)))
	}
	for _, w := range c.Warnings {
		h.add(Finding{Check: CheckConfigWarning, Level: Warning, Class: ClassConfiguration, Seen: w.Seen, Fix: w.Fix})
	}
	x.configurationMode(&h)
	x.tls(&h)
	if x.EnableAgentTLS {
		h.ok(CheckAgentTLSOption, ClassConfiguration, "agents are spoken to over TLS (enable_agent_mtls)")
	} else {
		h.add(Finding{Check: CheckAgentTLSOption, Level: Warning, Class: ClassConfiguration,
			Seen: "agents are spoken to without TLS (enable_agent_mtls = False)",
			Why:  "whoever is in between can read the payload's key share",
			Fix:  "set enable_agent_mtls = True in tenant.conf, here and in the agents' configuration"})
	}
	x.ek(&h)
	return h
}

// configurationMode looks whether a password can be read by everybody
// (CVE-2022-23952 was that).
func (x *examiner) configurationMode(h *Hop) {
	path := x.Configuration.PasswordFile
	if path == "" {
		return
	}
	r, err := rightsOf(path)
	switch {
	case err != nil || !r.known:
		h.skip(CheckConfigMode, ClassConfiguration, "who may read %s, which holds client_key_password, is not known here", safe(path))
	case r.mode&othersRead == 0:
		h.ok(CheckConfigMode, ClassConfiguration, "%s, which holds client_key_password, is not open to everybody", safe(path))
	default:
		h.add(Finding{Check: CheckConfigMode, Level: Problem, Class: ClassConfiguration,
			Seen: fmt.Sprintf("everybody may read %s (%s), which holds client_key_password", safe(path), r.octal()),
			Why:  "the password protects the private key, and whoever has both administrates all agents",
			Fix:  "take the right to read from others", Command: "chmod o-rwx " + word(path)})
	}
}

// tlsFiles is the part of the configuration that [TLS] needs.
func (x *examiner) tlsFiles() Hop {
	h := Hop{Name: "configuration"}
	x.tls(&h)
	return h
}

// tls looks at the TLS files.
func (x *examiner) tls(h *Hop) {
	x.material.prepare()
	if t := x.Configuration.TLSTrouble; t != nil {
		h.add(Finding{Check: CheckTLSOptions, Level: Problem, Class: ClassConfiguration, Seen: t.Seen, Fix: t.Fix,
			Why: "without these files no server can be trusted, and none trusts us"})
		for _, check := range []Check{CheckCAFile, CheckClientCert, CheckClientKey} {
			h.skip(check, ClassConfiguration, "the options do not say where the file is")
		}
		return
	}
	x.authorities(h)
	x.ours(h)
	x.revocations(h)
}

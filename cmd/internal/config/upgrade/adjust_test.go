package upgrade

import "testing"

// complete is a configuration that the rules find nothing missing in.
func complete(lines ...string) *Document {
	d := document("agent.version=2.0", "verifier.version=2.0", "verifier.tls_dir=x", "revocations.version=2.0", "tenant.version=2.0", "tenant.tls_dir=x",
		"tenant.trusted_server_ca=mine", "registrar.version=2.0", "registrar.tls_dir=x")
	for _, option := range []string{"client_key", "client_cert", "trusted_server_ca", "server_key", "server_cert", "trusted_client_ca"} {
		d.Set("verifier", option, "['mine']")
		d.Set("registrar", option, "['mine']")
	}
	for _, e := range document(lines...).sections {
		for _, o := range e.entries {
			d.put(e.name, o)
		}
	}
	return d
}

// TestAdjust: each case is one rule.
func TestAdjust(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, set, also, key, want string }{
		{"client certificate", "verifier.client_cert=CV", "", "verifier.client_cert", "default"},
		{"server CA", "verifier.trusted_server_ca=CV", "", "verifier.trusted_server_ca", "default"},
		{"database of the verifier", "verifier.database_url=", "", "verifier.database_url", "sqlite"},
		{"database that is set", "verifier.database_url=mysql://", "", "verifier.database_url", "mysql://"},
		{"TLS of the registrar", "registrar.tls_dir=CV", "", "registrar.tls_dir", "default"},
		{"database of the registrar", "registrar.database_url=", "", "registrar.database_url", "sqlite"},
		{"list of the agent", "agent.revocation_actions=a, b", "", "agent.revocation_actions", "['a', 'b']"},
		{"CA of the agent", "agent.trusted_client_ca=a", "", "agent.trusted_client_ca", "['a']"},
		{"labels", "verifier.severity_labels=a", "", "verifier.severity_labels", "['a']"},
		{"severity", "verifier.severity_policy={'a': 1}, {'b': 2}", "", "verifier.severity_policy", "[{'a': 1}, {'b': 2}]"},
		{"imports", "verifier.measured_boot_imports=[]", "", "verifier.measured_boot_imports", "[]"},
		{"notifications", "revocations.enabled_revocation_notifications=[agent]", "", "revocations.enabled_revocation_notifications", "['agent']"},
		{"CA of the tenant", "tenant.trusted_server_ca=a,b", "", "tenant.trusted_server_ca", "['a', 'b']"},
		{"hashes", "tenant.accept_tpm_hash_algs=sha256", "", "tenant.accept_tpm_hash_algs", "['sha256']"},
		{"encryption", "tenant.accept_tpm_encryption_algs=rsa", "", "tenant.accept_tpm_encryption_algs", "['rsa']"},
		{"signing", "tenant.accept_tpm_signing_algs=rsassa", "", "tenant.accept_tpm_signing_algs", "['rsassa']"},
		{"CA of the registrar", "registrar.trusted_client_ca=a", "", "registrar.trusted_client_ca", "['a']"},
		{"default is no list", "tenant.trusted_server_ca=default", "", "tenant.trusted_server_ca", "default"},
		{"another option is no list", "tenant.mb_refstate=a, b", "", "tenant.mb_refstate", "a, b"},
		{"mTLS", "agent.enable_agent_mtls=True", "", "agent.enable_agent_mtls", "true"},
		{"zip", "agent.extract_payload_zip=True", "", "agent.extract_payload_zip", "true"},
		{"notifications of the agent", "agent.enable_revocation_notifications=FALSE", "", "agent.enable_revocation_notifications", "false"},
		{"payload", "agent.enable_insecure_payload=True", "", "agent.enable_insecure_payload", "true"},
		{"backoff", "agent.exponential_backoff=True", "", "agent.exponential_backoff", "true"},
		{"no truth value of the agent's", "agent.uuid=True", "", "agent.uuid", "True"},
		{"keys that the verifier makes", "verifier.tls_dir=generate", "", "verifier.client_key", "default"},
		{"keys that the verifier has", "verifier.tls_dir=x", "", "verifier.client_key", "['mine']"},
		{"keys that the registrar makes", "registrar.tls_dir=generate", "", "registrar.server_cert", "default"},
		{"another version", "tenant.version=1.0", "tenant.accept_tpm_hash_algs=sha256", "tenant.accept_tpm_hash_algs", "sha256"},
		{"later sections of another version", "agent.version=1.0", "agent.exponential_backoff=True", "agent.exponential_backoff", "True"},
	} {
		d := complete(c.set, c.also)
		if err := adjust(d, adjusted); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		get(t, d, c.key, c.want)
	}
}

// TestTwoAuthorities: the tenant trusts both CAs only where both servers make
// their own and nothing else is set. Each case spoils one condition.
func TestTwoAuthorities(t *testing.T) {
	t.Parallel()
	const both = "['/var/lib/keylime/cv_ca/cacert.crt', '/var/lib/keylime/reg_ca/cacert.crt']"
	all := []string{"tenant.tls_dir=default", "tenant.trusted_server_ca=default", "registrar.tls_dir=generate", "verifier.tls_dir=generate"}
	for _, c := range []struct{ spoil, want string }{
		{"", both}, {"tenant.tls_dir=x", "default"}, {"tenant.trusted_server_ca=['x']", "['x']"}, {"registrar.tls_dir=default", "default"}, {"verifier.tls_dir=default", "default"},
	} {
		d := complete(append(all, c.spoil)...)
		if err := adjust(d, adjusted); err != nil {
			t.Error(err)
		}
		get(t, d, "tenant.trusted_server_ca", c.want)
	}
}

// TestAdjustStops: what is missing ends it, and what was done stays.
func TestAdjustStops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"agent.version=2.0", "agent.exponential_backoff=True", "verifier.version=2.0", "tenant.version=2.0"}, "'tls_dir'"},
		{[]string{"agent.version=2.0", "agent.exponential_backoff=True", "verifier.version=2.0", "verifier.tls_dir=generate"}, "'client_key'"},
		{[]string{"agent.version=2.0", "agent.exponential_backoff=True", "tenant.version=2.0", "tenant.tls_dir=default", "tenant.trusted_server_ca=default"}, "'registrar'"},
		{[]string{"agent.version=2.0", "agent.exponential_backoff=True", "sub.version=x"}, "the version of [sub] is not MAJOR.MINOR"},
	} {
		d := document(c.lines...)
		if err := adjust(d, adjusted); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.lines, err, c.want)
		}
		get(t, d, "agent.exponential_backoff", "true")
	}
}

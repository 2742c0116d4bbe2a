package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files writes files below a new directory and returns it.
func files(t testing.TB, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"agent.conf":                   "[agent]\nuuid = \"base\"\nport = 1\nregistrar_port = 1\nenc_keyname = \"base\"\n",
		"agent.conf.d/20-b.conf":       "[agent]\nport = \"3\"\nregistrar_port = 3\n",
		"agent.conf.d/10-a.conf":       "[agent]\nport = 2\nregistrar_port = 2\nuuid = \"a\"\n",
		"agent.conf.d/30-c.conf~":      "[agent]\nport = 4\n",
		"agent.conf.d/.40-hidden.conf": "[agent]\nport = 5\n",
		"agent.conf.d/sub/50.conf":     "[agent]\nport = 6\n",
	})
	c, warnings, err := Load(dir, []string{"KEYLIME_AGENT_REGISTRAR_PORT=9", "HOME=/", "KEYLIME_AGENT_PORTX=1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.UUID != "a" || c.Port != 3 || c.RegistrarPort != 9 || c.EncKeyname != "base" || c.PayloadScript != "autorun.sh" {
		t.Errorf("%+v", c)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `"portx" is unknown`) {
		t.Errorf("warnings %q", warnings)
	}
	only := filepath.Join(dir, "only.conf")
	if err := os.WriteFile(only, []byte("[agent]\nuuid = \"only\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, err = Load(dir, []string{"KEYLIME_AGENT_CONFIG=" + only}); err != nil || c.UUID != "only" || c.Port != 9002 {
		t.Errorf("KEYLIME_AGENT_CONFIG: %+v, %v", c, err)
	}
	empty := t.TempDir()
	if c, _, err = Load(empty, nil); err != nil || c.UUID != "d432fbb3-d2f1-4a97-9ef7-75bd81c00000" || c.ServerKey != filepath.Join(empty, "server-private.pem") {
		t.Errorf("no files: %+v, %v", c, err)
	}
}

func TestLoadValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		good func(Config) bool
	}{
		{`trusted_client_ca = ["/a", "/b"]`, func(c Config) bool { return slices.Equal(c.TrustedClientCA, []string{"/a", "/b"}) }},
		{`trusted_client_ca = "[/a, '/b']"`, func(c Config) bool { return slices.Equal(c.TrustedClientCA, []string{"/a", "/b"}) }},
		{`trusted_client_ca = "/a"`, func(c Config) bool { return slices.Equal(c.TrustedClientCA, []string{"/a"}) }},
		{`trusted_client_ca = "default"`, func(c Config) bool {
			return len(c.TrustedClientCA) == 1 && strings.HasSuffix(c.TrustedClientCA[0], "cacert.crt")
		}},
		{`server_key = "/k.pem"`, func(c Config) bool { return c.ServerKey == "/k.pem" }},
		{`server_key = "default"`, func(c Config) bool { return strings.HasSuffix(c.ServerKey, "server-private.pem") }},
		{`server_key_password = "pw"`, func(c Config) bool { return string(c.ServerKeyPassword.Bytes()) == "pw" }},
		{`server_cert = "/c.crt"`, func(c Config) bool { return c.ServerCert == "/c.crt" }},
		{`enc_keyname = "k"`, func(c Config) bool { return c.EncKeyname == "k" }},
		{`extract_payload_zip = false`, func(c Config) bool { return !c.ExtractPayloadZip }},
		{`extract_payload_zip = "False"`, func(c Config) bool { return !c.ExtractPayloadZip }},
		{`payload_script = ""`, func(c Config) bool { return c.PayloadScript == "" }},
		{`enable_agent_mtls = false`, func(c Config) bool { return !c.EnableMTLS }},
		{`secure_size = "2m"`, func(c Config) bool { return c.SecureSize == 2<<20 }},
		{`secure_size = "3K"`, func(c Config) bool { return c.SecureSize == 3<<10 }},
		{`tpm_hash_alg = "sha384"`, func(c Config) bool { return c.HashAlg == "sha384" }},
		{`tpm_signing_alg = "ecdsa"`, func(c Config) bool { return c.SignAlg == "ecdsa" }},
		{`revocation_actions = "a, b"`, func(c Config) bool { return slices.Equal(c.RevocationActions, []string{"a", "b"}) }},
		{`registrar_ip = "192.0.2.1"`, func(c Config) bool { return c.RegistrarIP == "192.0.2.1" }},
		{`run_as = "keylime:tss"`, func(c Config) bool { return true }},
	} {
		dir := files(t, map[string]string{"agent.conf": "[agent]\n" + c.line + "\n"})
		config, warnings, err := Load(dir, nil)
		if err != nil || len(warnings) > 0 || !c.good(config) {
			t.Errorf("%s: %+v, warnings %q, %v", c.line, config, warnings, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, option, cause string }{
		{"[agent]\nserver_key = \"key.pem\"\n", "server_key", "relative path"},
		{"[agent]\nserver_cert = \"./cert.crt\"\n", "server_cert", "relative path"},
		{"[agent]\ntrusted_client_ca = [\"/a\", \"b.crt\"]\n", "trusted_client_ca", "relative path"},
		{"[agent]\nrevocation_cert = \"x.crt\"\n", "revocation_cert", "relative path"},
		{"[agent]\ntrusted_client_ca = \"[/a\"\n", "trusted_client_ca", "closing bracket"},
		{"[agent]\ntrusted_client_ca = [1]\n", "trusted_client_ca", "no string"},
		{"[agent]\ntrusted_client_ca = 1\n", "trusted_client_ca", "neither a string nor a list"},
		{"[agent]\nextract_payload_zip = \"maybe\"\n", "extract_payload_zip", "neither true nor false"},
		{"[agent]\nextract_payload_zip = 2\n", "extract_payload_zip", "neither true nor false"},
		{"[agent]\nport = 70000\n", "port", "no port number"},
		{"[agent]\nport = true\n", "port", "no string"},
		{"[agent]\npayload_script = \"../x\"\n", "payload_script", "leads out"},
		{"[agent]\nenc_keyname = \"/etc/x\"\n", "enc_keyname", "leads out"},
		{"[agent]\nsecure_size = \"much\"\n", "secure_size", "no size"},
		{"[agent]\ntpm_hash_alg = \"sha512\"\n", "tpm_hash_alg", "cannot be had"},
		{"[agent]\nregistrar_tls_enabled = true\n", "registrar_tls_ca_cert", "is needed"},
		{"uuid = \"x\"\n", "", "no section"},
		{"agent = 1\n", "", "no section"},
		{"[agent]\nuuid = x\n", "", "TOML"},
	} {
		dir := files(t, map[string]string{"agent.conf.d/1.conf": c.text})
		_, _, err := Load(dir, nil)
		var e *ConfigError
		if !errors.As(err, &e) || e.Option != c.option || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if _, _, err := Load(t.TempDir(), []string{"KEYLIME_AGENT_CONFIG=/nowhere/agent.conf"}); err == nil {
		t.Error("a file that does not exist was read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[agent]\nuuid = \"a\"\ntrusted_client_ca = [\"/a\"]\nport = 1\nsecure_size = \"1m\"\n"))
	f.Add([]byte("[agent]\nserver_key_password = ''\nextract_payload_zip = true\n"))
	f.Add([]byte("agent = {port = 1.5}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		options, err := parse("fuzz.conf", text)
		if err != nil {
			return
		}
		c := Defaults("/")
		if _, err := apply(&c, setters(), "fuzz.conf", options); err == nil && !filepath.IsAbs(c.ServerKey) {
			t.Errorf("server_key is %q", c.ServerKey)
		}
	})
}

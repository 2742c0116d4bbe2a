package upgrade

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func changesOf(t *testing.T, input string, target *Version, components ...string) []Change {
	t.Helper()
	if components == nil {
		components = Components()
	}
	r := &Request{Catalog: builtin(t), Components: components, Input: parse(t, input), Target: target}
	res, _ := run(t, r)
	files, err := r.Files(res)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHistory(r.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Changes(res, files, h)
}

func value(s *string) string {
	if s == nil {
		return "nil"
	}
	return *s
}

// TestChanges: each case is one kind of change, of one option.
func TestChanges(t *testing.T) {
	t.Parallel()
	const old = "[cloud_verifier]\ncloudverifier_ip = 10.0.0.1\nagent_mtls_cert = CV\nprivate_key_pw = geheim\nodd = 1\ncloudverifier_port = 8881\n[odd]\nx = 1\n[DEFAULT]\ny = 1\n"
	const newer = "[agent]\nversion = 2.4\nmax_retries = 9\nretry_interval = 2\nip = 127.0.0.1\nspelt = 1\ncontact_ip = \"1.2.3.4\"\n[tenant]\nversion = 2.4\nodd = 1\n"
	for _, c := range []struct {
		name, input, key            string
		components                  []string
		kind, from, to, origin, why string
		lost                        bool
	}{
		{"version of none", old, "verifier.version", nil, ChangeVersion, "nil", "2.6", "", "the version", false},
		{"version", newer, "agent.version", nil, ChangeVersion, "2.4", "2.6", "", "the version", false},
		{"renamed", old, "verifier.ip", nil, ChangeRenamed, "10.0.0.1", "10.0.0.1", "cloud_verifier.cloudverifier_ip", "was cloud_verifier.cloudverifier_ip", false},
		{"renamed and rewritten", old, "verifier.client_cert", nil, ChangeRenamed, "CV", "default", "cloud_verifier.agent_mtls_cert", "rewritten", false},
		{"password", old, "verifier.server_key_password", nil, ChangeRenamed, redacted, redacted, "cloud_verifier.private_key_pw", "was", false},
		{"not set", old, "verifier.uuid", nil, ChangeDefault, "nil", "default", "", "not set", false},
		{"new", newer, "agent.keylime_dir", nil, ChangeAdded, "nil", "/var/lib/keylime", "", "new in version 2.5", false},
		{"not set, and not made up", newer, "agent.port", nil, "", "", "", "", "", false},
		{"removed", newer, "agent.max_retries", nil, ChangeRemoved, "9", "nil", "", "version 2.6 has it no more", true},
		{"removed, and a default", newer, "agent.retry_interval", nil, ChangeRemoved, "2", "nil", "", "version 2.6 has it no more", false},
		{"unknown", newer, "agent.spelt", nil, ChangeUnknown, "1", "nil", "", "no version has this option", true},
		{"unknown section", old, "odd.x", nil, ChangeUnknown, "1", "nil", "", "no version has this section", true},
		{"unknown in DEFAULT", old, "DEFAULT.y", nil, ChangeUnknown, "1", "nil", "", "no version has this section", true},
		{"unknown in an old section", old, "cloud_verifier.odd", []string{"verifier"}, ChangeUnknown, "1", "nil", "", "no version has this option", true},
		{"of another component", newer, "tenant.odd", []string{"agent"}, "", "", "", "", "", false},
		{"unknown section, one component", old, "odd.x", []string{"verifier"}, "", "", "", "", "", false},
		{"same", newer, "agent.ip", nil, "", "", "", "", "", false},
		{"quotes are no change", newer, "agent.contact_ip", nil, "", "", "", "", "", false},
		{"rewritten", "[tenant]\naccept_tpm_hash_algs = sha1\n", "tenant.accept_tpm_hash_algs", nil, ChangeRewritten, "sha1", "['sha1']", "", "form", false},
		{"new name has a value", "[tenant]\nversion = 2.4\nverifier_ip = 1\ncloudverifier_ip = 2\n", "tenant.cloudverifier_ip", nil, ChangeRemoved, "2", "nil", "", "is called tenant.verifier_ip now", true},
	} {
		var found []Change
		for _, change := range changesOf(t, c.input, nil, c.components...) {
			if change.Section+"."+change.Option == c.key {
				found = append(found, change)
			}
		}
		if c.kind == "" {
			if len(found) > 0 {
				t.Errorf("%s: %+v", c.name, found)
			}
			continue
		}
		if len(found) != 1 {
			t.Errorf("%s: %d changes", c.name, len(found))
			continue
		}
		g := found[0]
		if g.Kind != c.kind || value(g.From) != c.from || value(g.To) != c.to || g.Origin != c.origin || !strings.Contains(g.Why, c.why) || g.Lost() != c.lost {
			t.Errorf("%s: %+v, from %s to %s, lost %v", c.name, g, value(g.From), value(g.To), g.Lost())
		}
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, value, want string }{
		{"client_key_password", "geheim", redacted},
		{"client_key_password", "", ""},
		{"password", "default", "default"},
		{"tpm_ownerpassword", "generate", "generate"},
		{"private_key_pw", "geheim", redacted},
		{"ip", "geheim", "geheim"},
		{"database_url", "mysql+pymysql://kl:ge@he:im@db:3306/x?charset=utf8", "mysql+pymysql://kl:" + redacted + "@db:3306/x?charset=utf8"},
		{"database_url", "sqlite:///var/lib/x.sqlite", "sqlite:///var/lib/x.sqlite"},
		{"persistent_store_url", "redis://u:geheim@h?password=geheim", "redis://u:" + redacted + "@h?password=" + redacted},
		{"webhook_url", "https://u@h/p@q", "https://u@h/p@q"},
		{"webhook_url", "http://h/a:b@c", "http://h/a:" + redacted + "@c"}, // a slash may be part of the password
		{"persistent_store_url", "redis://127.0.0.1:6379?db=10&password=geheim&prefix=x", "redis://127.0.0.1:6379?db=10&password=" + redacted + "&prefix=x"},
		{"persistent_store_url", "redis://h?Password=geheim", "redis://h?Password=" + redacted},
	} {
		if got := Shown(c.option, c.value); got != c.want {
			t.Errorf("%s = %s: got %s, want %s", c.option, c.value, got, c.want)
		}
	}
}

func TestSnippets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "10.conf"), "[tenant]\nrequest_timeout = 5\ncloudverifier_ip = 1\nodd = 1\n", 0o600)
	put(t, filepath.Join(dir, "20.conf"), "no section\n", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "30.conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := NewHistory(builtin(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := File{Component: "tenant", Version: "2.6", Keys: []Key{{"tenant", "request_timeout"}, {"tenant", "verifier_ip"}}}
	all := h.Snippets(f, []string{dir, filepath.Join(dir, "none")})
	if len(all) != 1 || all[0].Files != 2 || len(all[0].Unread) != 1 || len(all[0].Stale) != 2 {
		t.Fatalf("%+v", all)
	}
	for i, want := range []StaleOption{{filepath.Join(dir, "10.conf"), 3, Key{"tenant", "cloudverifier_ip"}, "is called tenant.verifier_ip now"},
		{filepath.Join(dir, "10.conf"), 4, Key{"tenant", "odd"}, "no version has this option"}} {
		if all[0].Stale[i] != want {
			t.Errorf("%+v, want %+v", all[0].Stale[i], want)
		}
	}
	f.Keys, f.Component = nil, "agent"
	put(t, filepath.Join(dir, "agent/10.conf"), "[agent]\nmax_retries = 3\n", 0o600)
	if all := h.Snippets(f, []string{filepath.Join(dir, "agent")}); len(all) != 1 || all[0].Stale[0].Why != "version 2.6 has it no more" {
		t.Errorf("%+v", all)
	}
}

func TestReadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := put(t, filepath.Join(dir, "a.conf"), "[x]\na = 1\nb = \"1\"\n", 0o600)
	b := put(t, filepath.Join(dir, "b.conf"), "[x]\na = 2\n[y]\n", 0o600)
	broken := put(t, filepath.Join(dir, "c.conf"), "[x]\n[x]\n", 0o600)
	if got := Existing([]string{a, filepath.Join(dir, "none"), a, b}); !slices.Equal(got, []string{a, b}) {
		t.Errorf("%q", got)
	}
	d, read, unread, err := ReadFiles([]string{a, dir, b})
	if err != nil || !slices.Equal(read, []string{a, b}) || len(unread) != 1 || !strings.Contains(unread[0].Error(), "cannot be read: is a directory") {
		t.Fatalf("%q, %v, %v", read, unread, err)
	}
	get(t, d, "x.a", "2")
	get(t, d, "x.b", `"1"`)
	if d, _, _, err := ReadFiles([]string{a, broken}); err == nil || d != nil {
		t.Errorf("%v", err)
	}
	files, old := SystemFiles(func(name string) (string, bool) { return "env-" + name, name == "KEYLIME_TENANT_CONFIG" })
	if len(old) != 2 || len(files) != 19 || files[0] != "env-KEYLIME_LOGGING_CONFIG" || files[7] != "/usr/etc/keylime/agent.conf" || files[18] != "/etc/keylime/logging.conf" {
		t.Errorf("%q", files)
	}
}

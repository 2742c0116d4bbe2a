package upgrade

import (
	"strings"
	"testing"
)

// TestDoubts: what a template writes and nobody can read is told of; our own
// layout writes the same values so that they read back.
func TestDoubts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir+"/2.6/mapping.json", `{"version": "2.6", "type": "update", "components": {"x": {"add": {}}}}`, 0o600)
	put(t, dir+"/2.6/agent.j2", "[agent]\nversion = \"{{ agent.version }}\"\nip = \"{{ agent.ip }}\"\nport = {{ agent.port }}\n", 0o600)
	put(t, dir+"/2.6/verifier.j2", "[verifier]\nseverity_policy = {{ verifier.severity_policy }}\nip = \"{{ verifier.ip }}\"\n", 0o600)
	c, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, component, input, key, why string }{
		{"all is well", "agent", "[agent]\nversion = 2.6\nip = 1.2.3.4\nport = 1\n", "", ""},
		{"quote", "agent", "[agent]\nversion = 2.6\nip = a\"b\nport = 1\n", "agent.ip", "is no TOML"},
		{"no number", "agent", "[agent]\nversion = 2.6\nip = 1\nport = one\n", "agent.port", "is no TOML"},
		{"single quotes", "agent", "[agent]\nversion = 2.6\nip = '1'\nport = 1\n", "agent.ip", "single quotes"},
		{"one line", "verifier", "[verifier]\nversion = 2.6\nip = 1\nseverity_policy = [1, 2]\n", "", ""},
		{"several lines", "verifier", "[verifier]\nversion = 2.6\nip = 1\nseverity_policy = [1:2,\n  3:4]\n", "verifier.severity_policy", "several lines"},
		{"unreadable", "verifier", "[verifier]\nversion = 2.6\nip = 1\nseverity_policy = [1,\n  3]\n", "verifier.", "cannot be read"},
	} {
		for _, catalog := range []Catalog{c, builtin(t)} {
			r := &Request{Catalog: catalog, Components: []string{test.component}, Input: parse(t, test.input+"[revocations]\n")}
			res, _ := run(t, r)
			files, err := r.Files(res)
			if err != nil {
				t.Fatal(err)
			}
			doubts := files[0].Doubts
			switch {
			case test.key == "" || catalog != c && test.name != "single quotes":
				if len(doubts) > 0 {
					t.Errorf("%s, %s: %+v", test.name, catalog.Name(), doubts)
				}
			case len(doubts) != 1 || doubts[0].Key.String() != test.key || !strings.Contains(doubts[0].Why, test.why):
				t.Errorf("%s, %s: %+v, want %s: %s", test.name, catalog.Name(), doubts, test.key, test.why)
			}
		}
	}
}

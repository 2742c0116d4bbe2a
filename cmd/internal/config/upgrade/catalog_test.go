package upgrade

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// templates makes a directory with two versions, of which the second has an
// adjust.py.
func templates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "2.0/mapping.json"), `{"version": "2.0", "components": {"agent": {"ip": {"section": "old", "option": "ip", "default": "d"}}}, "subcomponents": {}}`, 0o600)
	put(t, filepath.Join(dir, "2.0/agent.j2"), "[agent]\nversion = {{ agent.version }}\nip = {{ agent.ip }}\nlost = {{ agent_lost }}\n", 0o600)
	put(t, filepath.Join(dir, "2.10/mapping.json"), `{"version": "2.10", "type": "update", "components": {"agent": {"add": {"b": "True"}}}}`, 0o600)
	put(t, filepath.Join(dir, "2.10/agent.j2"), "{{ agent.b }}", 0o600)
	put(t, filepath.Join(dir, "2.10/adjust.py"), "raise SystemExit", 0o600)
	put(t, filepath.Join(dir, "2.9/mapping.json"), `{"version": "2.9", "type": "update", "components": {"agent": {"add": {"b": "9"}}}}`, 0o600)
	put(t, filepath.Join(dir, "README"), "", 0o600)
	return dir
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := templates(t)
	c, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Versions(); !slices.Equal(got, []Version{{2, 0}, {2, 9}, {2, 10}}) {
		t.Errorf("versions %v", got)
	}
	target := Version{2, 0}
	r := &Request{Catalog: c, Components: []string{"agent"}, Input: parse(t, "[old]\nip = 1\n"), Target: &target}
	res, log := run(t, r)
	files, err := r.Files(res)
	if err != nil || string(files[0].Content) != "[agent]\nversion = 2.0\nip = 1\nlost = \n" || len(log) != 0 {
		t.Errorf("%v, %q, %q", err, files, log)
	}
	if len(files[0].Lost) != 1 || !strings.Contains(files[0].Lost[0], "agent.j2:4: {{ agent_lost }} names no section") {
		t.Errorf("%q", files[0].Lost)
	}
	r.Target = nil
	res, log = run(t, r)
	if files, err = r.Files(res); err != nil || string(files[0].Content) != "9\n" {
		t.Errorf("%v, %q", err, files)
	}
	if len(log) != 1 || !strings.Contains(log[0], "2.10/adjust.py is not run") {
		t.Errorf("%q", log)
	}
}

// TestAdjustmentOfDirectory: version 2.0 has our rules, and a script that is
// not the known one is told of.
func TestAdjustmentOfDirectory(t *testing.T) {
	t.Parallel()
	dir := templates(t)
	put(t, filepath.Join(dir, "2.0/mapping.json"), `{"version": "2.0", "components": {"agent": {"exponential_backoff": {"section": "old", "option": "x", "default": "True"}}}, "subcomponents": {}}`, 0o600)
	c, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	target := Version{2, 0}
	r := &Request{Catalog: c, Components: []string{"agent"}, Input: NewDocument(), Target: &target}
	res, log := run(t, r)
	get(t, res.Config, "agent.exponential_backoff", "True") // no adjust.py, no rules
	if len(log) != 0 {
		t.Errorf("%q", log)
	}
	path := put(t, filepath.Join(dir, "2.0/adjust.py"), "another", 0o600)
	res, log = run(t, r)
	get(t, res.Config, "agent.exponential_backoff", "true")
	if len(log) != 1 || !strings.HasPrefix(log[0], path+" is not the one of Keylime 7.14.3") {
		t.Errorf("%q", log)
	}
}

func TestDirectoryRefused(t *testing.T) {
	t.Parallel()
	dir := templates(t)
	put(t, filepath.Join(dir, "2.11/mapping.json"), "x", 0o600)
	put(t, filepath.Join(dir, "2.12"), "a file", 0o600)
	put(t, filepath.Join(dir, "2.13/x"), "", 0o600)
	c, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for minor, cause := range map[int]string{11: "JSON object", 12: "no directory", 13: "the mapping of version 2.13", 14: "no directory"} {
		if m, err := c.Mapping(Version{2, minor}); err == nil || m != nil || !strings.Contains(err.Error(), cause) {
			t.Errorf("2.%d: %v, want %q", minor, err, cause)
		}
	}
	for _, name := range []string{"2.12", "..", "", "2.99"} {
		if c.Has(name) {
			t.Errorf("%q is a version", name)
		}
	}
	if f, err := c.Form("2.9", "agent"); err == nil || f != nil || !strings.Contains(err.Error(), "the template of agent") {
		t.Errorf("%v", err)
	}
	for path, cause := range map[string]string{filepath.Join(dir, "none"): "does not exist", filepath.Join(dir, "README"): "not a directory"} {
		if _, err := OpenDirectory(path); err == nil || !strings.Contains(err.Error(), cause) {
			t.Errorf("%v, want %q", err, cause)
		}
	}
	empty, err := OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Request{Catalog: empty, Input: NewDocument()}).Run(); err == nil || !strings.Contains(err.Error(), "there is no version in") {
		t.Errorf("%v", err)
	}
}

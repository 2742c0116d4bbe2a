package upgrade

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

func builtin(t testing.TB) *Builtin {
	t.Helper()
	b, err := NewBuiltin()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run upgrades and collects what is logged.
func run(t *testing.T, r *Request) (*Result, []string) {
	t.Helper()
	var log []string
	r.Log = func(level Level, text string) {
		if level > Debug {
			log = append(log, text)
		}
	}
	if r.Components == nil {
		r.Components = Components()
	}
	res, err := r.Run()
	if err != nil {
		t.Fatal(err)
	}
	return res, log
}

// values are the options of a section, but for the version.
func values(d *Document, section string) map[string]string {
	all := map[string]string{}
	for _, e := range d.entries(section) {
		if e.name != "version" {
			all[e.name] = e.value
		}
	}
	return all
}

func get(t *testing.T, d *Document, key, want string) {
	t.Helper()
	section, option, _ := strings.Cut(key, ".")
	if got, _ := d.Get(section, option); got != want {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

func parse(t testing.TB, text string) *Document {
	t.Helper()
	ini, err := config.ParseINI("test.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := NewDocument()
	d.Read(ini)
	return d
}

func mapping(t *testing.T, text string) *Mapping {
	t.Helper()
	m, err := ParseMapping("m.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOldConfiguration: values keep their meaning under their new names.
func TestOldConfiguration(t *testing.T) {
	t.Parallel()
	r := &Request{Catalog: builtin(t), Input: parse(t, `[general]
receive_revocation_ip = 10.0.0.1
[cloud_verifier]
cloudverifier_port = 1234
agent_mtls_cert = CV
database_url =
revocation_notifiers = zeromq,agent
[tenant]
cloudverifier_ip = 10.0.0.2
accept_tpm_hash_algs = sha512, sha384
lost = 1
[cloud_agent]
mtls_cert_enabled = False
`)}
	res, log := run(t, r)
	for key, want := range map[string]string{
		"agent.revocation_notification_ip": "10.0.0.1", "verifier.port": "1234", "verifier.client_cert": "default", "verifier.database_url": "sqlite",
		"revocations.enabled_revocation_notifications": "['zeromq', 'agent']", "tenant.verifier_ip": "10.0.0.2", "tenant.accept_tpm_hash_algs": "['sha512', 'sha384']",
		"agent.enable_agent_mtls": "false", "tenant.lost": "", "agent.version": "2.6", "revocations.version": "2.6", "verifier.max_workers": "16",
		"agent.port": "9002", "verifier.trusted_server_ca": "default",
	} {
		get(t, res.Config, key, want)
	}
	if !res.Changed || !slices.Equal(log, []string{"Added new section [formatter_formatter]"}) {
		t.Errorf("changed %v, log %q", res.Changed, log)
	}
}

// TestVersionSteps: each version knows the options of its facts.
func TestVersionSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, there, missing string }{
		{"2.0", "agent.run_as", "agent.iak_cert"},
		{"2.1", "registrar.tpm_identity", "agent.ima_ml_path"},
		{"2.2", "agent.ima_ml_path", "agent.iak_handle"},
		{"2.3", "agent.iak_handle", "agent.api_versions"},
		{"2.4", "registrar.malformed_cert_action", "verifier.mode"},
		{"2.5", "verifier.mode", "verifier.max_workers"},
		{"2.6", "verifier.max_workers", "verifier.nothing"},
	} {
		v, _ := ParseVersion(c.target)
		r := &Request{Catalog: builtin(t), Input: NewDocument(), Target: &v}
		res, _ := run(t, r)
		for i, key := range []string{c.there, c.missing} {
			section, option, _ := strings.Cut(key, ".")
			if _, found := res.Config.Get(section, option); found != (i == 0) {
				t.Errorf("version %s: %s: %v", c.target, key, found)
			}
		}
		get(t, res.Config, "agent.version", c.target)
		files, err := r.Files(res)
		if err != nil || len(files) != 6 {
			t.Fatalf("version %s: %d files, %v", c.target, len(files), err)
		}
		for _, f := range files {
			checkFile(t, f, res.Config)
		}
	}
}

// checkFile reads a file back: it has the values of the configuration, and each
// of its options is one that the mappings know.
func checkFile(t *testing.T, f File, d *Document) {
	t.Helper()
	name := f.Component + " " + f.Version
	ini, err := config.ParseINI(name, f.Content)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	n := 0
	for _, s := range ini.Sections {
		for _, o := range s.Options {
			n++
			want, found := d.Get(s.Name, o.Name)
			if !found || strip(o.Value) != want {
				t.Errorf("%s: %s.%s: %q, want %q (%v)", name, s.Name, o.Name, o.Value, want, found)
			}
		}
	}
	if n != len(f.Keys) || n == 0 {
		t.Errorf("%s: %d options, %d keys", name, n, len(f.Keys))
	}
}

// TestLayoutComplete: a file has every option of its version, but for the four
// that the agent no longer has since 2.5, and one that came late.
func TestLayoutComplete(t *testing.T) {
	t.Parallel()
	b := builtin(t)
	for _, v := range b.Versions() {
		r := &Request{Catalog: b, Input: NewDocument(), Target: &v}
		res, _ := run(t, r)
		files, err := r.Files(res)
		if err != nil {
			t.Fatal(err)
		}
		written := map[Key]bool{}
		for _, f := range files {
			for _, k := range f.Keys {
				if written[k] {
					t.Errorf("%s: %s twice", v, k)
				}
				written[k] = true
			}
		}
		var missing []string
		for _, s := range res.Config.sections {
			for _, e := range s.entries {
				if k := (Key{s.name, e.name}); !written[k] && (e.name != "version" || slices.Contains(Components(), s.name)) {
					missing = append(missing, k.String())
				}
			}
		}
		slices.Sort(missing)
		want := []string{}
		if v.Compare(Version{2, 3}) < 0 {
			want = append(want, "verifier.require_allow_list_signatures")
		}
		if v.Compare(Version{2, 5}) >= 0 {
			want = append(want, "agent.exponential_backoff", "agent.max_retries", "agent.measure_payload_pcr", "agent.retry_interval")
		}
		if !slices.Equal(missing, want) {
			t.Errorf("%s: not written: %q, want %q", v, missing, want)
		}
	}
}

// TestUpdateOperations: each case is one operation.
func TestUpdateOperations(t *testing.T) {
	t.Parallel()
	input := "[agent]\nversion = 2.0\nold = mine\nkeep = 1\n[other]\nversion = 2.0\nx = 2\n"
	for _, c := range []struct {
		name, components, input string
		defaults                bool
		section                 string
		want                    map[string]string
		log                     string
	}{
		{"add", `"agent": {"add": {"new": "n"}}`, input, false, "agent", map[string]string{"old": "mine", "keep": "1", "new": "n"}, ""},
		{"add what is there", `"agent": {"add": {"old": "n"}}`, input, false, "agent", map[string]string{"old": "mine", "keep": "1"}, ""},
		{"remove", `"agent": {"remove": ["old"]}`, input, false, "agent", map[string]string{"keep": "1"}, ""},
		{"remove what is not there", `"agent": {"remove": ["none"]}`, input, false, "agent", map[string]string{"old": "mine", "keep": "1"}, ""},
		{"rename", `"agent": {"replace": {"old": {"section": "agent", "option": "new", "default": "d"}}}`, input, false, "agent", map[string]string{"keep": "1", "new": "mine"}, ""},
		{"rename what is not there", `"agent": {"replace": {"none": {"section": "agent", "option": "new", "default": "d"}}}`, input, false, "agent",
			map[string]string{"old": "mine", "keep": "1", "new": "d"}, ""},
		{"rename by defaults", `"agent": {"replace": {"old": {"section": "agent", "option": "new", "default": "d"}}}`, input, true, "agent",
			map[string]string{"old": "mine", "keep": "1", "new": "d"}, ""},
		{"move to a new section", `"agent": {"replace": {"old": {"section": "fresh", "option": "new", "default": "d"}}}`, input, false, "fresh", map[string]string{"new": "mine"},
			"Added new section [fresh]"},
		// As upstream: the section is copied afterwards, and what was moved is gone.
		{"move to a later section", `"agent": {"replace": {"old": {"section": "other", "option": "new", "default": "d"}}}`, input, false, "other", map[string]string{"x": "2"},
			"Added new section [other]"},
		{"move to an earlier section", `"other": {"replace": {"x": {"section": "agent", "option": "x", "default": "d"}}}`, input, false, "agent",
			map[string]string{"old": "mine", "keep": "1", "x": "2"}, ""},
		{"new section", `"fresh": {"add": {"new": "n"}}`, input, false, "fresh", map[string]string{"new": "n"}, `Added new section "[fresh]"`},
		{"new section without add", `"fresh": {"remove": ["x"]}`, input, false, "fresh", map[string]string{},
			`Missing "add" operation in new section "[fresh]"|Bogus "remove" operation in new section "[fresh]"|Added new section "[fresh]"`},
		{"newer already", `"agent": {"remove": ["old"]}, "tenant": {"add": {}}`, strings.Replace(input, "2.0", "2.7", 1), false, "agent", map[string]string{"old": "mine", "keep": "1"},
			`Added new section "[tenant]"`},
		{"inherited", `"agent": {"remove": ["base"]}`, "[DEFAULT]\nbase = b\n" + input, false, "agent", map[string]string{"old": "mine", "keep": "1", "base": "b"}, ""},
	} {
		r := &Request{Catalog: &everything{}, Input: parse(t, c.input), Defaults: c.defaults,
			Mapping: mapping(t, `{"version": "2.6", "type": "update", "components": {`+c.components+`}}`)}
		if c.name == "inherited" {
			// What is removed comes back from [DEFAULT].
			r.Components = []string{"agent"}
		}
		res, log := run(t, r)
		if got := values(res.Config, c.section); !maps.Equal(got, c.want) {
			t.Errorf("%s: [%s] is %v, want %v", c.name, c.section, got, c.want)
		}
		if got := strings.Join(log, "|"); got != c.log {
			t.Errorf("%s: log %q, want %q", c.name, got, c.log)
		}
	}
}

// everything is a catalogue that can write any version, without rules.
type everything struct{ Builtin }

func (everything) Has(string) bool                { return true }
func (everything) Adjustment(string) Adjustment   { return Adjustment{} }
func (everything) Name() string                   { return "everything" }
func (everything) Versions() []Version            { return nil }
func (everything) Form(_, _ string) (Form, error) { return nil, errors.New("no form") }

func TestFullMapping(t *testing.T) {
	t.Parallel()
	m := mapping(t, `{"version": "2.6", "components": {
 "agent": {"version": {"section": "agent", "option": "version", "default": "2.6"}, "ip": {"section": "old", "option": "addr", "default": "d"}, "port": {"section": "none", "option": "p", "default": "1"}},
 "sub": {"x": {"section": "sub", "option": "x", "default": "d"}}}, "subcomponents": {"sub": "agent"}}`)
	for _, c := range []struct {
		name, input string
		defaults    bool
		agent, sub  map[string]string
	}{
		{"moved", "[old]\naddr = \" 1.2.3.4 \"\nlost = 1\n", false, map[string]string{"ip": "1.2.3.4", "port": "1"}, map[string]string{"x": "d"}},
		{"defaults", "[old]\naddr = 1.2.3.4\n[sub]\nx = mine\n", true, map[string]string{"ip": "d", "port": "1"}, map[string]string{"x": "d"}},
		{"no version counts as old", "[agent]\nodd = 1\n[sub]\nx = mine\n", false, map[string]string{"ip": "d", "port": "1"}, map[string]string{"x": "mine"}},
		{"inherited", "[DEFAULT]\naddr = 5.6.7.8\n[old]\n", false, map[string]string{"ip": "5.6.7.8", "port": "1"}, map[string]string{"x": "d"}},
	} {
		r := &Request{Catalog: &everything{}, Input: parse(t, c.input), Defaults: c.defaults, Mapping: m}
		res, _ := run(t, r)
		if got := values(res.Config, "agent"); !maps.Equal(got, c.agent) {
			t.Errorf("%s: [agent] is %v, want %v", c.name, got, c.agent)
		}
		if got := values(res.Config, "sub"); !maps.Equal(got, c.sub) {
			t.Errorf("%s: [sub] is %v, want %v", c.name, got, c.sub)
		}
		if got := res.Config.names(); !slices.Equal(got, []string{"DEFAULT", "agent", "sub"}) {
			t.Errorf("%s: sections %q", c.name, got)
		}
	}
	quoted := mapping(t, `{"version": "2.6", "components": {"agent": {"ip": {"section": "old", "option": "ip", "default": "\" d "}}}, "subcomponents": {}}`)
	res, _ := run(t, &Request{Catalog: &everything{}, Input: NewDocument(), Mapping: quoted})
	get(t, res.Config, "agent.ip", "d") // quotes of a mapping do not count either
	// A section that is new enough stays as it is, and so does what belongs to it.
	r := &Request{Catalog: &everything{}, Input: parse(t, "[agent]\nversion = 2.7\nodd = 1\n[sub]\ny = 1\n"), Mapping: m}
	res, _ = run(t, r)
	if got := values(res.Config, "agent"); !maps.Equal(got, map[string]string{"odd": "1"}) {
		t.Errorf("[agent] is %v", got)
	}
	if got := values(res.Config, "sub"); !maps.Equal(got, map[string]string{"y": "1"}) {
		t.Errorf("[sub] is %v", got)
	}
}

func TestRunRefused(t *testing.T) {
	t.Parallel()
	full := `{"version": "2.1", "components": {"agent": {"ip": {"section": "agent", "option": "ip", "default": "d"}}}, "subcomponents": {}}`
	update := `{"version": "2.2", "type": "update", "components": {"agent": {"add": {"x": "1"}}}}`
	target := Version{2, 9}
	for _, c := range []struct {
		name, input, mapping string
		target               *Version
		cause                string
	}{
		{"no such target", "", "", &target, "version 2.9 is not in the built-in catalogue"},
		{"bad version, full", "[agent]\nversion = two\n", full, nil, `the version of [agent] is "two"`},
		{"bad version, update", "[agent]\nversion = two\n", update, nil, `the version of [agent] is "two"`},
		{"no version, update", "[agent]\nip = 1\n", update, nil, "[agent] has no version"},
		{"no subcomponents", "[agent]\nip = 1\n", strings.Replace(full, `, "subcomponents": {}`, "", 1), nil, `no "subcomponents"`},
		{"version that nobody has", "[agent]\nip = 1\n", strings.Replace(full, "2.1", "2.9", 1), nil, "version 2.9, to which the mapping leads, is not in"},
		{"section made twice", "[agent]\nversion = 2.0\nx = 1\n", `{"version": "2.2", "type": "update", "components": {"agent": {"replace": {"x": {"section": "fresh", "option": "y", "default": "d"}}}, "fresh": {"add": {"z": "1"}}}}`,
			nil, "[fresh] is there already"},
	} {
		r := &Request{Catalog: builtin(t), Components: Components(), Input: parse(t, c.input), Target: c.target}
		if c.mapping != "" {
			r.Mapping = mapping(t, c.mapping)
		}
		res, err := r.Run()
		if err == nil || res != nil || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %v, want %q", c.name, err, c.cause)
		}
	}
}

// TestFilesRefused: all files or none.
func TestFilesRefused(t *testing.T) {
	t.Parallel()
	r := &Request{Catalog: builtin(t), Components: []string{"tenant"}, Input: parse(t, "[tenant]\nversion = 2.7\n")}
	res, _ := run(t, r)
	if files, err := r.Files(res); err == nil || files != nil || !strings.Contains(err.Error(), "[tenant] has version 2.7, which is not in the built-in catalogue") {
		t.Errorf("%v, %v", files, err)
	}
	if res.Changed {
		t.Error("a newer version is changed")
	}
	r = &Request{Catalog: builtin(t), Components: []string{"tenant", "agent"}, Input: NewDocument(), Mapping: mapping(t,
		`{"version": "2.0", "components": {"tenant": {"version": {"section": "tenant", "option": "version", "default": ""}}}, "subcomponents": {}}`)}
	res, _ = run(t, r)
	if files, err := r.Files(res); err == nil || files != nil || !strings.Contains(err.Error(), "no version of [agent]") {
		t.Errorf("%v, %v", files, err)
	}
}

// TestUpToDate: nothing to do is seen, whatever the quotes.
func TestUpToDate(t *testing.T) {
	t.Parallel()
	first := &Request{Catalog: builtin(t), Input: NewDocument()}
	res, _ := run(t, first)
	files, err := first.Files(res)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range files {
		text.Write(f.Content)
	}
	res, log := run(t, &Request{Catalog: builtin(t), Input: parse(t, text.String())})
	if res.Changed || len(log) != 7 || log[6] != "Skipping version 2.6" {
		t.Errorf("changed %v, log %q", res.Changed, log)
	}
	res, _ = run(t, &Request{Catalog: builtin(t), Input: parse(t, strings.Replace(text.String(), `version = "2.6"`, "version = 2.5", 1))})
	if !res.Changed {
		t.Error("an older version counts as up to date")
	}
}

func FuzzUpgrade(f *testing.F) {
	f.Add("[tenant]\ncloudverifier_ip = 1\n[cloud_agent]\nrevocation_actions = a, (b\n")
	f.Add("[agent]\nversion = \"2.4\"\nip = \"x\\\"y\"\nport = 1 # x\n[DEFAULT]\nip = 5\n")
	f.Add("[verifier]\nversion = 2.0\nseverity_policy = [1,\n  2]\n[logging]\nformat = %(x)s\n")
	catalog := builtin(f)
	f.Fuzz(func(t *testing.T, text string) {
		ini, err := config.ParseINI("f", []byte(text))
		if err != nil {
			return
		}
		d := NewDocument()
		d.Read(ini)
		r := &Request{Catalog: catalog, Components: Components(), Input: d}
		res, err := r.Run()
		if err != nil {
			return
		}
		files, err := r.Files(res)
		if err != nil {
			return
		}
		history, err := NewHistory(catalog, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = fmt.Sprint(r.Changes(res, files, history))
		for _, file := range files {
			for _, doubt := range file.Doubts {
				if !strings.Contains(doubt.Why, "single quotes") {
					t.Errorf("%+v\n%s", doubt, file.Content)
				}
			}
		}
	})
}

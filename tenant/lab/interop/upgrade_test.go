//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// upgradeComponents are the components that have a file.
var upgradeComponents = []string{"agent", "verifier", "tenant", "registrar", "ca", "logging"}

type sections = map[string]map[string]string

// upgradeAnswer is one of oracle_upgrade.py.
type upgradeAnswer struct {
	Code   int
	Error  string
	Config sections
	Ini    []sections
	Toml   []map[string]any
}

func askUpgrade(t *testing.T, i installation, requests []map[string]any) []upgradeAnswer {
	t.Helper()
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, r := range requests {
		must(t, e.Encode(r))
	}
	d := json.NewDecoder(bytes.NewReader(i.oracle(t, "oracle_upgrade.py", in.Bytes())))
	d.UseNumber()
	answers := make([]upgradeAnswer, len(requests))
	for n := range answers {
		must(t, d.Decode(&answers[n]))
	}
	return answers
}

// upgradeCase is one input, upgraded three ways: by the real tool, by ours with
// the same templates, and by ours without any.
type upgradeCase struct {
	name string
	// files are the input, none for --defaults; args are further arguments.
	files []string
	args  []string
	// out are the three directories.
	theirs, same, own string
}

// upgradeBench holds cases and the folder in which they are.
type upgradeBench struct {
	*toolBench
	dir       string
	templates string
	cases     []*upgradeCase
}

func newUpgradeBench(t *testing.T) *upgradeBench {
	b := &upgradeBench{toolBench: newToolBench(t), dir: t.TempDir()}
	b.templates = filepath.Join(b.toolBench.installation.dir, "sdist/templates")
	return b
}

// add makes a case.
func (b *upgradeBench) add(t *testing.T, name string, files []string, args ...string) *upgradeCase {
	t.Helper()
	c := &upgradeCase{name: name, files: files, args: args}
	for _, out := range []struct {
		kind string
		into *string
	}{{"theirs", &c.theirs}, {"same", &c.same}, {"own", &c.own}} {
		*out.into = filepath.Join(b.dir, fmt.Sprintf("%d-%s", len(b.cases), out.kind))
		must(t, os.MkdirAll(*out.into, 0o755))
	}
	b.cases = append(b.cases, c)
	return c
}

// put writes a file of input.
func (b *upgradeBench) put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(b.dir, "input", name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func (c *upgradeCase) argv(out, templates string) []string {
	argv := []string{"--out", out}
	if len(c.files) == 0 {
		argv = append(argv, "--defaults")
	} else {
		argv = append(append(argv, "--input"), c.files...)
	}
	if templates != "" {
		argv = append(argv, "--templates", templates)
	}
	return append(argv, c.args...)
}

// lostByTemplates are the options of the agent whose places in the templates
// of 2.5 and 2.6 name no section, so that the real tool writes nothing there.
// Ours writes their values.
var lostByTemplates = []string{"agent_data_path", "verifier_url", "certification_keys_server_identifier", "uefi_logs_evidence_version"}

// judge runs all cases and compares: exit codes; files with templates octet by
// octet; without, each value that the templates would have been given.
func (b *upgradeBench) judge(t *testing.T) (compared, refused int) {
	t.Helper()
	var requests []map[string]any
	for _, c := range b.cases {
		requests = append(requests, map[string]any{"cwd": b.dir, "args": c.argv(c.theirs, b.templates)})
	}
	theirs := askUpgrade(t, b.toolBench.installation, requests)
	requests = nil
	for n, c := range b.cases {
		same := b.mine(t, "keylime_upgrade_config", c.argv(c.same, b.templates)...)
		own := b.mine(t, "keylime_upgrade_config", c.argv(c.own, "")...)
		if same.code != theirs[n].Code || own.code != theirs[n].Code {
			t.Fatalf("%s: exit codes: theirs %d (%s), ours %d and %d\n%s\n%s", c.name, theirs[n].Code, theirs[n].Error, same.code, own.code, same.err, own.err)
		}
		var paths []string
		for _, component := range upgradeComponents {
			paths = append(paths, filepath.Join(c.theirs, component+".conf"), filepath.Join(c.own, component+".conf"))
		}
		requests = append(requests, map[string]any{"read": paths})
	}
	read := askUpgrade(t, b.toolBench.installation, requests)
	for n, c := range b.cases {
		if theirs[n].Code != 0 {
			refused++
			continue
		}
		compared++
		for i, component := range upgradeComponents {
			was, errTheirs := os.ReadFile(filepath.Join(c.theirs, component+".conf"))
			is, errSame := os.ReadFile(filepath.Join(c.same, component+".conf"))
			_, errOwn := os.Stat(filepath.Join(c.own, component+".conf"))
			if (errTheirs == nil) != (errSame == nil) || (errTheirs == nil) != (errOwn == nil) {
				t.Errorf("%s: %s.conf: theirs %v, ours %v and %v", c.name, component, errTheirs, errSame, errOwn)
				continue
			}
			if errTheirs != nil {
				continue
			}
			if diff := cmp.Diff(string(was), string(is)); diff != "" {
				t.Errorf("%s: %s.conf with templates: -theirs +ours\n%s", c.name, component, diff)
			}
			if component == "agent" {
				sameTOML(t, c.name, theirs[n].Config["agent"], read[n].Toml[2*i], read[n].Toml[2*i+1])
			} else {
				sameINI(t, c.name+": "+component, theirs[n].Config, read[n].Ini[2*i], read[n].Ini[2*i+1])
			}
		}
	}
	return compared, refused
}

// asRead is a value as Keylime reads it: without quotes and blanks around it.
func asRead(value string) string {
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(value), `" `))
}

// sameINI compares the values of a file of ours with what the real tool has for
// it in memory: a value of several lines is lost in its own file.
func sameINI(t *testing.T, name string, want, theirs, ours sections) {
	t.Helper()
	if ours == nil {
		t.Errorf("%s: RawConfigParser does not read our file", name)
		return
	}
	for section, options := range ours {
		for option, value := range options {
			if asRead(value) != asRead(want[section][option]) {
				t.Errorf("%s: [%s] %s: want %q, got %q", name, section, option, want[section][option], value)
			}
		}
	}
	for section, options := range theirs {
		for option := range options {
			if _, wanted := want[section][option]; !wanted {
				continue // the rest of a value of several lines
			}
			if _, found := ours[section][option]; !found {
				t.Errorf("%s: [%s] %s is missing", name, section, option)
			}
		}
	}
}

// sameTOML compares two files of the agent. Where the real tool's is no TOML,
// ours has to be, with all values.
func sameTOML(t *testing.T, name string, want map[string]string, theirs, ours map[string]any) {
	t.Helper()
	if ours == nil {
		t.Errorf("%s: our agent.conf is no TOML", name)
		return
	}
	mine, _ := ours["agent"].(map[string]any)
	if theirs != nil {
		theirsAgent, _ := theirs["agent"].(map[string]any)
		for _, option := range lostByTemplates {
			if value, found := mine[option]; found && value != asTOML(want[option]) {
				t.Errorf("%s: %s is %q, want %q", name, option, value, want[option])
			}
			delete(mine, option)
			delete(theirsAgent, option)
		}
		for option := range theirsAgent {
			if _, known := want[option]; !known {
				delete(theirsAgent, option) // empty there, left out here
			}
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%s: agent.conf: -theirs +ours\n%s", name, diff)
		}
		return
	}
	for option, value := range mine {
		if text, is := value.(string); is && !strings.ContainsAny(want[option], "\\#'") && text != want[option] {
			t.Errorf("%s: agent.conf: %s is %q, want %q", name, option, text, want[option])
		}
	}
}

// asTOML is a text as TOML reads it between quotes, where that matters here.
func asTOML(text string) string {
	var value string
	if json.Unmarshal([]byte(`"`+text+`"`), &value) == nil {
		return value
	}
	return text
}

// upgradeVersions are the versions that there are.
func upgradeVersions() []string { return []string{"2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"} }

// TestUpgradeDefaults: the defaults of every version, through the executables.
func TestUpgradeDefaults(t *testing.T) {
	t.Parallel()
	b := newUpgradeBench(t)
	for _, v := range upgradeVersions() {
		for _, side := range []string{b.theirs, b.ours} {
			must(t, os.MkdirAll(filepath.Join(side, v), 0o755))
		}
		args := []string{"--defaults", "--version", v, "--out", v, "--templates", b.templates}
		theirs, ours := b.real(t, "keylime_upgrade_config", args...), b.mine(t, "keylime_upgrade_config", args...)
		if theirs.code != 0 || ours.code != 0 {
			t.Fatalf("%s: theirs %d %s\nours %d %s", v, theirs.code, theirs.err, ours.code, ours.err)
		}
		for _, component := range upgradeComponents {
			was, err := os.ReadFile(filepath.Join(b.theirs, v, component+".conf"))
			must(t, err)
			is, err := os.ReadFile(filepath.Join(b.ours, v, component+".conf"))
			must(t, err)
			if diff := cmp.Diff(string(was), string(is)); diff != "" {
				t.Errorf("%s: %s: -theirs +ours\n%s", v, component, diff)
			}
		}
		if want, got := infoOf(theirs.err), infoOf(ours.err); !slices.Equal(want, got) {
			t.Errorf("%s: INFO records: theirs\n%q\nours\n%q", v, want, got)
		}
		b.add(t, "defaults of "+v, nil, "--version", v)
	}
	if compared, _ := b.judge(t); compared != len(upgradeVersions()) {
		t.Errorf("%d versions were compared", compared)
	}
}

// infoOf are the INFO records of a run, without their time.
func infoOf(text string) []string {
	var records []string
	for _, line := range strings.Split(text, "\n") {
		if _, record, found := strings.Cut(line, " - keylime.cmd.convert_config - INFO - "); found {
			records = append(records, record)
		}
	}
	return records
}

// TestUpgradeRandom: configurations of every version and of none, with options
// changed, dropped and added at random, to every later version.
func TestUpgradeRandom(t *testing.T) {
	t.Parallel()
	start := time.Now()
	b := newUpgradeBench(t)
	seed := &upgradeSeed{rand.New(rand.NewPCG(7, 14))}
	bases := map[string]map[string]string{"1.0": {"keylime": oldConfiguration(t, b.templates)}}
	for _, v := range upgradeVersions() {
		for by, run := range map[string]func(*testing.T, string, ...string) result{"real": b.real, "ours": b.mine} {
			out := filepath.Join(b.dir, "base", by, v)
			must(t, os.MkdirAll(out, 0o755))
			args := []string{"--defaults", "--version", v, "--out", out}
			if by == "real" {
				args = append(args, "--templates", b.templates)
			}
			if r := run(t, "keylime_upgrade_config", args...); r.code != 0 {
				t.Fatalf("%s", r.err)
			}
			files := map[string]string{}
			for _, component := range upgradeComponents {
				text, err := os.ReadFile(filepath.Join(out, component+".conf"))
				must(t, err)
				files[component] = string(text)
			}
			bases[v+" "+by] = files
		}
	}
	names := make([]string, 0, len(bases))
	for name := range bases {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, base := range names {
		for n := range 16 {
			b.random(t, seed, base, n, bases[base])
		}
	}
	compared, refused := b.judge(t)
	t.Logf("%d upgrades compared, %d refused by both, in %s", compared, refused, time.Since(start).Round(time.Second))
	if compared < 200 || refused < 3 {
		t.Errorf("only %d compared and %d refused", compared, refused)
	}
}

// random makes a case of a base.
func (b *upgradeBench) random(t *testing.T, seed *upgradeSeed, base string, n int, files map[string]string) {
	t.Helper()
	name := fmt.Sprintf("%s #%d", base, n)
	var args, paths []string
	from, _, _ := strings.Cut(base, " ")
	targets := slices.DeleteFunc(upgradeVersions(), func(v string) bool { return v < from })
	if n%4 != 0 {
		args = append(args, "--version", targets[seed.IntN(len(targets))])
	}
	if n%8 == 5 {
		args = append(args, "--component", upgradeComponents[seed.IntN(6)], upgradeComponents[seed.IntN(6)])
	}
	strength := n % 3 // how much is changed
	for _, component := range append([]string{"keylime"}, upgradeComponents...) {
		text, found := files[component]
		if !found || n%6 == 4 && seed.IntN(3) == 0 {
			continue
		}
		paths = append(paths, b.put(t, fmt.Sprintf("%s-%d/%s.conf", strings.ReplaceAll(base, " ", "-"), n, component), seed.change(text, strength)))
	}
	if len(paths) == 0 {
		return
	}
	b.add(t, name, paths, args...)
}

// oldConfiguration is a keylime.conf as it was before there were versions, with
// every option that the mapping of 2.0 looks for.
func oldConfiguration(t *testing.T, templates string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(templates, "2.0/mapping.json"))
	must(t, err)
	var mapping struct {
		Components map[string]map[string]struct{ Section, Option, Default string }
	}
	must(t, json.Unmarshal(text, &mapping))
	old := map[string]map[string]string{}
	for _, options := range mapping.Components {
		for _, o := range options {
			if o.Option == "version" {
				continue
			}
			if old[o.Section] == nil {
				old[o.Section] = map[string]string{}
			}
			old[o.Section][o.Option] = o.Default
		}
	}
	var b strings.Builder
	for _, section := range sortedKeys(old) {
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, option := range sortedKeys(old[section]) {
			fmt.Fprintf(&b, "%s = %s\n", option, old[section][option])
		}
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// upgradeSeed changes configurations at random.
type upgradeSeed struct{ *rand.Rand }

// oddValues are values that something has to be done about, or nothing.
func oddValues() []string {
	return []string{"", "default", "CV", "generate", "True", "FALSE", "sqlite", `"quoted"`, `'single'`, `" both "`, `['a', 'b']`, `["a","b"]`, "a, b", "5,10", "[agent]",
		"(1, 2)", `('a', "b'c")`, `{'a': 1}, {'b': None}`, `a\b`, `C:\temp`, `x"y`, "x=y", "a # c", "# c", "; c", "['a',\n   'b']", "x,\n  y,\n\n  z", "\n  ['a']", "ü, €", "\t,\t",
		"1_000, 0x1F, 1e5, -2j", `b'x', r"\d"`, ",", "[]", "[ , ]", "%(x)s", "{{ x }}", "'a' 'b',", "...,", "set(),", "{1, 1.0, True},", "1e16, 1e-5, 1.50, -0.0", "0777,", "None, True",
		`'\x41\u00e9\n',`, "'it''s', \"it's\"", "((), (1,), [2], {3: 4})", "()", "9002 # port", `1.2.3.4" # c`, "abc", "9002", "-1", "1.5", "inf", "truE", `[{"event_id": ".*", "severity_label": "emergency"}]`,
		"mysql://u:p@h/db", "é" + strings.Repeat("x, ", 40)}
}

// tokens make soups that may be Python.
func tokens() []string {
	return []string{"(", ")", "[", "]", "{", "}", ",", ",", ",", ":", "'a'", `"b"`, "1", "-", "+", "2j", "1.5", "True", "None", "set()", "x", " ", "  ", "\n  ", "#", "\\", "b'c'", "r'\\d'", "'''", "0x1f", "1_0", "...", "u'é'"}
}

func (s *upgradeSeed) value() string {
	if s.IntN(3) == 0 {
		var b strings.Builder
		all := tokens()
		for range 1 + s.IntN(12) {
			b.WriteString(all[s.IntN(len(all))])
		}
		return b.String()
	}
	odd := oddValues()
	return odd[s.IntN(len(odd))]
}

// change changes a file: lines of options get other values, are dropped, and
// others are added. Of strength 0 it changes little.
func (s *upgradeSeed) change(text string, strength int) string {
	odds := []int{40, 10, 3}[strength]
	var b strings.Builder
	for _, line := range strings.Split(text, "\n") {
		name, _, isOption := strings.Cut(line, " = ")
		if isOption && strings.HasPrefix(line, "#") || !isOption {
			b.WriteString(line + "\n")
			if strings.HasPrefix(line, "[") && s.IntN(odds) == 0 {
				fmt.Fprintf(&b, "unheard_of_%d = %s\n", s.IntN(1000), s.value())
			}
			continue
		}
		switch {
		case name == "version" && s.IntN(60) == 0:
			b.WriteString([]string{"", "version = 2.2\n", "version = abc\n", "version = \"1.9\"\n"}[s.IntN(4)])
		case name != "version" && s.IntN(odds) == 0:
		case name != "version" && s.IntN(odds) == 0:
			b.WriteString(name + " = " + s.value() + "\n")
		default:
			b.WriteString(line + "\n")
		}
	}
	if s.IntN(12*odds) == 0 {
		b.WriteString("[DEFAULT]\nip = 10.0.0.1\nextra = 1\n")
	}
	if s.IntN(6*odds) == 0 {
		b.WriteString("[unheard_of]\na = 1\n")
	}
	return b.String()
}

// TestUpgradeCalls: command lines of both tools, in folders with the same files:
// the same exit codes and INFO records, and the same files afterwards, backups
// included.
func TestUpgradeCalls(t *testing.T) {
	t.Parallel()
	b := newUpgradeBench(t)
	old := oldConfiguration(t, b.templates)
	for _, name := range []string{"full.json", "update.json"} {
		b.toolBench.put(t, name, map[string]string{
			"full.json":   `{"version": "2.1", "components": {"ca": {"cert_bits": {"section": "ca", "option": "cert_bits", "default": "1"}}, "x": {"y": {"option": "z", "default": "d"}}}, "subcomponents": {}}`,
			"update.json": `{"version": "2.6", "type": "update", "components": {"ca": {"add": {"new": "1"}, "remove": ["cert_bits"], "replace": {"cert_state": {"section": "ca", "option": "cert_locality", "default": "x"}}}}}`,
		}[name])
	}
	b.toolBench.put(t, "broken.conf", "[a]\nx\n")
	b.toolBench.put(t, "bad.json", "{")
	b.toolBench.put(t, "half.json", `{"version": "2.2", "type": "half", "components": {"ca": {}}}`)
	b.toolBench.put(t, "nowhere.json", `{"version": "7.1", "components": {"ca": {}}, "subcomponents": {}}`)
	b.toolBench.put(t, "badversion.conf", "[ca]\nversion = x\n")
	for _, dir := range []string{"out", "two", "three"} {
		b.toolBench.put(t, dir+"/keep", "")
	}
	b.toolBench.put(t, "old.conf", old)
	with := "--templates " + b.templates
	for _, c := range []struct {
		args string
		code int
	}{
		{"--input old.conf --out out --version 2.3 " + with, 0},
		{"--input out/agent.conf out/verifier.conf --input out/tenant.conf out/registrar.conf out/ca.conf out/logging.conf --out out " + with, 0},
		{"--input out/ca.conf --component ca --out out " + with, 0}, // up to date, and written
		{"--input out/ca.conf --component ca nothing --component tenant --out two " + with, 0},
		{"--input out/ca.conf missing.conf --out two " + with, 0},
		{"--input old.conf --mapping full.json --component ca --out three " + with, 0},
		{"--input out/ca.conf --mapping update.json --component ca --out three " + with, 0},
		{"--input three/ca.conf --mapping update.json --component ca --out three " + with, 0},
		{"--input out/ca.conf --defaults --component ca --out three " + with, 0},
		{"--input old.conf --component nothing --out three " + with, 0},
		{"--input missing.conf --out out " + with, 1},
		{"--input broken.conf --out out " + with, 1},
		{"--input badversion.conf --out out " + with, 1},
		{"--input old.conf --out missing " + with, 1},
		{"--input old.conf --out old.conf " + with, 1},
		{"--input old.conf --out out --version 2 " + with, 1},
		{"--input old.conf --out out --version 2.9 " + with, 1},
		{"--input old.conf --out out --templates missing", 1},
		{"--input old.conf --out out --templates old.conf", 1},
		{"--input old.conf --out out --templates out", 1},
		{"--input old.conf --out out --mapping missing.json " + with, 1},
		{"--input old.conf --out out --mapping bad.json " + with, 1},
		{"--input old.conf --out out --mapping half.json " + with, 1},
		{"--input old.conf --out out --mapping nowhere.json " + with, 1},
		{"--input old.conf --out out --mapping update.json " + with, 1},
		{"--input", 2},
		{"--component --out out", 2},
		{"--unheard-of", 2},
		{"old.conf", 2},
	} {
		args := strings.Fields(c.args)
		theirs, ours := b.real(t, "keylime_upgrade_config", args...), b.mine(t, "keylime_upgrade_config", args...)
		if theirs.code != c.code || ours.code != c.code {
			t.Errorf("%s: exit codes %d and %d, want %d\n%s\n%s", c.args, theirs.code, ours.code, c.code, theirs.err, ours.err)
		}
		if c.code == 1 && !strings.Contains(ours.err, "error: ") {
			t.Errorf("%s: no error is told: %s", c.args, ours.err)
		}
		if want, got := sorted(infoOf(theirs.err)), sorted(infoOf(ours.err)); c.code == 0 && !slices.Equal(want, got) {
			t.Errorf("%s: INFO records: theirs\n%q\nours\n%q", c.args, want, got)
		}
		if diff := cmp.Diff(treeOf(t, b.theirs), treeOf(t, b.ours)); diff != "" {
			t.Errorf("%s: files: -theirs +ours\n%s", c.args, diff)
		}
	}
}

// sorted is a list in the order of its texts: the real tool takes components
// and files in the order of a set.
func sorted(list []string) []string {
	for i, text := range list {
		if rest, found := strings.CutPrefix(text, "Successfully read configuration from "); found {
			words := strings.Split(strings.Trim(rest, "[]"), ", ")
			slices.Sort(words)
			list[i] = strings.Join(words, ", ")
		}
	}
	slices.Sort(list)
	return list
}

// treeOf are the files below a folder and what they hold.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	}))
	return files
}

//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// state is what the servers hold before a call.
type state int

const (
	registered state = iota // known to the registrar, unknown to the verifier
	enrolled                // and attested by the verifier
	broken                  // enrolled with a policy that the agent does not satisfy
	stored                  // registered; the policies rp1 and mb1 are stored on the verifier
	inUse                   // stored, and the agent is enrolled with both
)

// call is one command line that both tenants are given, in the same state.
type call struct {
	name  string
	state state
	// argv is split at blanks; $ID is the agent, $BAD an id nobody knows,
	// $FIX the folder of the fixtures. A word with blanks stands in args.
	argv string
	args []string
	env  []string
	// differs names the row of "Decided differences" (TENANT-CLI.md section D)
	// that explains why the two outputs are not the same; empty: they must be.
	differs string
	// code is our exit code where it differs from the Python tenant's on
	// purpose; -1: the same.
	code int
	// want are texts that ours must print where differs is set.
	want []string
}

// words are the arguments of a call.
func (c call) words(id, fixtures string) []string {
	replace := strings.NewReplacer("$ID", id, "$BAD", "aaaaaaaa-0000-4000-8000-000000000bad", "$FIX", fixtures)
	var words []string
	for _, word := range append(strings.Fields(c.argv), c.args...) {
		words = append(words, replace.Replace(word))
	}
	return words
}

// verb is the word after -c.
func (c call) verb() string {
	words := strings.Fields(c.argv)
	if n := slices.Index(words, "-c"); n >= 0 && n+1 < len(words) {
		return words[n+1]
	}
	return "add"
}

// blots turn what differs between two good runs into a word, on both sides.
var blots = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} - `), "<TS> - "},
	{regexp.MustCompile(`(["'])quote(["']): (["'])r[A-Za-z0-9+/=:]+`), "${1}quote${2}: ${3}<QUOTE>"},
	{regexp.MustCompile(`("last_received_quote"|"last_successful_attestation"|"attestation_count"|"regcount"): \d+`), "${1}: <N>"},
	{regexp.MustCompile(`"v": (null|"[^"]*")`), `"v": <V>`},
	{regexp.MustCompile(`(for nonce: )[A-Za-z0-9]{20}`), "${1}<NONCE>"},
	{regexp.MustCompile(`"timestamp": "[^"]*"`), `"timestamp": "<TIME>"`},
	{regexp.MustCompile(`"operational_state": "(Start|Get Quote|Provide V|Get Quote \(retry\))"`), `"operational_state": "<RUNNING>"`},
	{regexp.MustCompile(`"attestation_status": "(PASS|PENDING)"`), `"attestation_status": "<RUNNING>"`},
	{regexp.MustCompile(`"(hash_alg|enc_alg|sign_alg)": "[a-z0-9]*"`), `"$1": "<ALG>"`},
	{regexp.MustCompile(`at try \d+/`), "at try <N>/"},
	{regexp.MustCompile(`trying again in [0-9.]+ seconds`), "trying again in <S> seconds"},
	{regexp.MustCompile(`was deleted from (.*) after \d+ tries`), "was deleted from $1 after <N> tries"},
	{regexp.MustCompile(`after \$?\d+ tries`), "after <N> tries"},
	{regexp.MustCompile(`Agent \$`), "Agent "},
}

// leftOut are lines of which nobody speaks: they say how the Python package is
// installed, or depend on how fast the machine is.
var leftOut = regexp.MustCompile(`configuration upgrade templates|FutureWarning|strict=|still not deleted from|Key derivation not yet complete`)

// polls are lines of a deletion that the verifier carries out later: whether it
// does is a matter of when the request comes (200 or 202), for both tenants.
var polls = regexp.MustCompile(`does not have agent |was deleted from .* after |"operational_state": "Terminated"`)

// just is what the verifier says of an agent that was added a moment ago. By
// the time it is asked it may have attested it, and even have refused it.
var just = regexp.MustCompile(`"(operational_state|severity_level|last_event_id|attestation_status)": ("[^"]*"|null|\d+)`)

// overridden is a record that tells of a variable of the environment. Upstream
// writes it whenever it reads the option, ours once and at the beginning.
var overridden = regexp.MustCompile(`was overridden by environment variable`)

// settled takes out what depends on the moment, and brings what has no place
// of its own to the beginning.
func settled(in []string, verb string) []string {
	var first, rest []string
	for _, line := range in {
		switch {
		case overridden.MatchString(line):
			if !slices.Contains(first, line) {
				first = append(first, line)
			}
		case (verb == "delete" || verb == "update") && (polls.MatchString(line) || slices.Contains(rest, line)):
		case (verb == "delete" || verb == "update") && strings.Contains(line, "Agent Info from Verifier"):
		case verb == "add" || verb == "update":
			rest = append(rest, just.ReplaceAllString(line, `"${1}": <MOMENT>`))
		default:
			rest = append(rest, line)
		}
	}
	slices.Sort(first)
	return append(first, rest...)
}

// lines are the comparable lines of an output.
func lines(text string) []string {
	for _, b := range blots {
		text = b.pattern.ReplaceAllString(text, b.word)
	}
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) != "" && !leftOut.MatchString(line) {
			kept = append(kept, strings.TrimRight(line, " "))
		}
	}
	return kept
}

// withoutTraceback cuts what Python prints of an exception, up to the next
// record; the record that announced it stays.
func withoutTraceback(in []string) (kept []string, found bool) {
	inside := false
	for _, line := range in {
		switch {
		case strings.HasPrefix(line, "<TS> - "):
			inside = false
		case strings.HasPrefix(line, "Traceback (most recent call last)"):
			inside, found = true, true
		}
		if !inside {
			kept = append(kept, line)
		}
	}
	return kept, found
}

// compare says how two outputs of one call differ, "" if they do not. Where
// the Python tenant printed a traceback, the ERROR record before it may have
// other words (TENANT-CLI.md D: "user mistakes print tracebacks").
func compare(python, ours result, verb string, decided *regexp.Regexp) string {
	theirs, traceback := withoutTraceback(lines(python.out))
	theirs, mine := settled(theirs, verb), settled(lines(ours.out), verb)
	if decided != nil {
		out := func(line string) bool { return decided.MatchString(line) }
		theirs, mine = slices.DeleteFunc(theirs, out), slices.DeleteFunc(mine, out)
	}
	if python.code != ours.code {
		return fmt.Sprintf("exit code %d there, %d here", python.code, ours.code)
	}
	if python.code == 2 { // usage: on stderr
		theirs, mine = lines(python.err), lines(ours.err)
		theirs = slices.DeleteFunc(theirs, func(l string) bool { return strings.HasPrefix(l, "INFO:keylime.config") })
		mine = slices.DeleteFunc(mine, func(l string) bool { return strings.HasPrefix(l, "INFO:keylime.config") })
	}
	if traceback {
		theirs, mine = withoutLastError(theirs), withoutLastError(mine)
	}
	for n := range max(len(theirs), len(mine)) {
		a, b := "(nothing)", "(nothing)"
		if n < len(theirs) {
			a = theirs[n]
		}
		if n < len(mine) {
			b = mine[n]
		}
		if a != b {
			return fmt.Sprintf("line %d\n    there: %.900s\n    here:  %.900s", n+1, a, b)
		}
	}
	return ""
}

func withoutLastError(in []string) []string {
	for n := len(in) - 1; n >= 0; n-- {
		if strings.Contains(in[n], " - ERROR - ") {
			return in[:n]
		}
	}
	return in
}

// TestFidelity gives both tenants the same calls in the same state of the real
// servers and holds our classic output to the Python tenant's, line by line.
func TestFidelity(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	total := newTally(t)
	k := startKeylime(t, settings{"tenant.retry_interval": "1", "tenant.exponential_backoff": "False"})
	k.startAgent(t, id)
	fixtures := fidelityFixtures(t, k)
	for _, group := range fidelityCalls() {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.calls {
				k.one(t, c, id, fixtures, total)
			}
		})
	}
	total.print(t)
}

// tally is what the calls have come to.
type tally struct {
	equal, decided, again int
	table, unexplained    []string
}

// newTally makes one whose unexplained calls are the last thing that a failed
// test prints, after the servers' logs, so that they are found at its end.
func newTally(t *testing.T) *tally {
	total := &tally{}
	t.Cleanup(func() {
		if len(total.unexplained) > 0 {
			t.Logf("%d unexplained:\n%s", len(total.unexplained), strings.Join(total.unexplained, "\n"))
		}
	})
	return total
}

func (total *tally) print(t *testing.T) {
	t.Helper()
	t.Logf("calls, exit codes there and here, verdict\n%s\n%d calls: %d equal, %d decided differences, %d unexplained; %d were given again",
		strings.Join(total.table, "\n"), len(total.table), total.equal, total.decided, len(total.unexplained), total.again)
}

// moments are how often a call is given to both before a difference between
// them counts. The verifier attests and deletes when it comes to it: the same
// tenant called twice does not always meet the same moment. What a tenant does
// differently it does every time.
const moments = 3

// one gives one call to both tenants.
func (k *keylime) one(t *testing.T, c call, id, fixtures string, total *tally) {
	t.Helper()
	for moment := 1; ; moment++ {
		python, ours := k.both(t, c, id, fixtures)
		verdict, difference := c.judge(python, ours)
		if verdict == "DIFFERS" && moment < moments {
			total.again++
			t.Logf("%s: %v, given again\n%s", c.name, c.words(id, "$FIX"), difference)
			continue
		}
		switch {
		case verdict == "DIFFERS":
			told := fmt.Sprintf("%s: %v\n%s\n  our stderr: %.600s", c.name, c.words(id, "$FIX"), difference, ours.err)
			total.unexplained = append(total.unexplained, told)
			t.Error(told)
		case strings.HasPrefix(verdict, "decided"):
			total.decided++
			t.Logf("%v: %s\n%s", c.words(id, "$FIX"), c.differs, difference)
		default:
			total.equal++
		}
		total.table = append(total.table, fmt.Sprintf("%-30s %d %d  %s", c.name, python.code, ours.code, verdict))
		return
	}
}

// both gives a call to the Python tenant and to ours, each in the state that
// it wants.
func (k *keylime) both(t *testing.T, c call, id, fixtures string) (python, ours result) {
	t.Helper()
	env := append(k.env(), k.expand(c.env, fixtures)...)
	words := c.words(id, fixtures)
	k.into(t, c.state, id, fixtures)
	python = run(t, 2*time.Minute, env, fixtures, append([]string{k.tool("keylime_tenant")}, words...)...)
	k.into(t, c.state, id, fixtures)
	ours = run(t, time.Minute, env, fixtures, append([]string{k.binary}, words...)...)
	return python, ours
}

// judge says what to think of two outputs, and how they differ.
func (c call) judge(python, ours result) (verdict, difference string) {
	difference = compare(python, ours, c.verb(), nil)
	switch {
	case difference == "" && c.differs == "":
		return "equal", ""
	case difference == "":
		// A decided difference that does not show in this call.
		return "equal (though decided: " + c.differs + ")", ""
	case c.differs != "" && c.agrees(python, ours):
		return "decided: " + c.differs, difference
	}
	return "DIFFERS", difference
}

// confined are rows whose difference is confined to certain lines: without
// these, the two outputs must be the same.
var confined = map[string]*regexp.Regexp{
	rowIDs:    regexp.MustCompile(` - WARNING - Using default UUID `),
	rowAbsent: regexp.MustCompile(`was not there before either|is deleted from Verifier|already absent`),
	rowUndo:   regexp.MustCompile(` - INFO - Taken back: `),
	rowPush:   regexp.MustCompile(`in the push model|"v": <V>`),
}

// agrees says whether our output is what the decision wants.
func (c call) agrees(python, ours result) bool {
	if lines := confined[c.differs]; lines != nil && python.code == ours.code && compare(python, ours, c.verb(), lines) != "" {
		return false
	}
	if c.code >= 0 && ours.code != c.code {
		return false
	}
	for _, text := range c.want {
		if !strings.Contains(ours.out+ours.err, text) {
			return false
		}
	}
	return true
}

// expand replaces $FIX and $DIR in the settings of a call.
func (k *keylime) expand(env []string, fixtures string) []string {
	var out []string
	for _, e := range env {
		out = append(out, strings.NewReplacer("$FIX", fixtures, "$DIR", k.dir).Replace(e))
	}
	return out
}

// quietly runs our binary for its effect; failures that matter show later.
func (k *keylime) quietly(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, time.Minute, k.env(), k.dir, append([]string{k.binary}, args...)...)
}

// into brings the servers into a state, from whatever the last call left.
func (k *keylime) into(t *testing.T, s state, id, fixtures string) {
	t.Helper()
	for _, other := range strings.Fields(k.quietly(t, "cvlist", "-o", "name").out) {
		if s == enrolled && other == id && k.plainly(t, id) {
			continue
		}
		k.quietly(t, "delete", other).want(t, 0)
	}
	for kind, list := range map[string]string{"deleteruntimepolicy": "listruntimepolicy", "deletembpolicy": "listmbpolicy"} {
		for _, name := range strings.Split(strings.TrimSpace(k.quietly(t, list, "-o", "name").out), "\n") {
			if name != "" && name != id {
				k.quietly(t, kind, name).want(t, 0)
			}
		}
	}
	if s == stored || s == inUse {
		k.quietly(t, "addruntimepolicy", "rp1", "--runtime-policy", filepath.Join(fixtures, "rp-good.json")).want(t, 0)
		k.quietly(t, "addmbpolicy", "mb1", "--mb-policy", filepath.Join(fixtures, "mb-empty.json")).want(t, 0)
	}
	switch s {
	case enrolled:
		if !strings.Contains(k.quietly(t, "cvlist", "-o", "name").out, id) {
			k.quietly(t, "add", id, "--targethost", "127.0.0.1").want(t, 0)
		}
		k.waitState(t, id, "Get Quote")
	case inUse:
		k.quietly(t, "add", id, "--targethost", "127.0.0.1", "--runtime-policy-name", "rp1", "--mb-policy-name", "mb1").want(t, 0)
	case broken:
		k.quietly(t, "add", id, "--targethost", "127.0.0.1", "--tpm-policy", `{"23": "`+strings.Repeat("ab", 32)+`"}`).want(t, 0)
		k.waitState(t, id, "Invalid Quote")
	case pushed, pushPassing, pushFailing, pushLate:
		k.enrolPush(t, s, id)
	}
}

// plainly says whether the agent is enrolled without policies, and running.
func (k *keylime) plainly(t *testing.T, id string) bool {
	t.Helper()
	out := k.quietly(t, "-c", "cvstatus", "-u", id).out
	return strings.Contains(out, `"tpm_policy": "{\"mask\": \"0x0\"}"`) && !strings.Contains(out, `"attestation_status": "FAIL"`)
}

// fidelityFixtures copies the recorded fixtures and makes the rest.
func fidelityFixtures(t *testing.T, k *keylime) string {
	t.Helper()
	dir := filepath.Join(k.dir, "fixtures")
	must(t, os.CopyFS(dir, os.DirFS("../../../testdata/golden/fixtures")))
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	write("empty.txt", "")
	write("mb-empty.json", "{}")
	conf, err := os.ReadFile(k.conf("tenant"))
	must(t, err)
	edit := func(name, option, value string) {
		line := regexp.MustCompile(`(?m)^` + option + ` *=.*$`)
		write(name, line.ReplaceAllString(string(conf), option+" = "+value))
	}
	edit("tenant-badbool.conf", "require_ek_cert", "Ture")
	edit("tenant-badlist.conf", "accept_tpm_hash_algs", "sha256,sha1")
	edit("tenant-gen.conf", "tls_dir", "generate")
	write("tenant-dup.conf", string(conf)+"\nverifier_ip = 127.0.0.1\nverifier_ip = 127.0.0.1\n")
	ssl := func(args ...string) {
		run(t, time.Minute, os.Environ(), dir, append([]string{"openssl"}, args...)...).want(t, 0)
	}
	ssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=another CA", "-keyout", "otherclient.key", "-out", "otherclient.crt")
	must(t, os.Link(filepath.Join(dir, "otherclient.crt"), filepath.Join(dir, "wrongca.pem")))
	must(t, os.MkdirAll(filepath.Join(dir, "incl"), 0o755))
	write("incl/extra.txt", "extra\n")
	return dir
}

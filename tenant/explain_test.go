package tenant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
	labagent "github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// IntegrityQuote of an agent that has nothing to show.
func (a fakeAgent) IntegrityQuote(context.Context, agent.IntegrityRequest) (*agent.IntegrityQuote, *client.Reply, error) {
	_, err := a.w.call("agent.IntegrityQuote")
	return nil, nil, errors.Join(err, errors.New("this agent shows nothing"))
}

// explained is a world with one enrolled agent that runs on a machine.
type explained struct {
	*world
	t       *Tenant
	request ExplainRequest
	machine *labagent.Machine
	agent   *verifier.Agent
	// asked are the masks of the quotes that were asked for.
	asked []string
	// spoil changes what the agent answers.
	spoil func(*agent.IntegrityQuote)
	// leaves is a register that the agent leaves out of its quotes, 0 for none.
	leaves int
	// dead says at which places nobody answers, and how.
	dead map[string]error
}

const (
	explainDir = "kept"
	zero32     = "0000000000000000000000000000000000000000000000000000000000000000"
	allMask    = "0x80ffff" // IMA, measured boot, PCR 23
)

// newExplained enrols a machine that is as its policies want it.
func newExplained(t *testing.T) *explained {
	t.Helper()
	x := &explained{world: newWorld(t), dead: map[string]error{}}
	tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	boot, err := recorded.Named(recorded.SecureBoot)
	if err != nil {
		t.Fatal(err)
	}
	if x.machine, err = labagent.NewMachine(tpm, boot, ""); err != nil {
		t.Fatal(err)
	}
	x.record.AIKTPM = base64.StdEncoding.EncodeToString(tpm.AKPublic())
	x.t = x.world.tenant(t)
	x.t.Dial = func(at AgentEndpoint) (Agent, Connection, func(), error) {
		address := place{at.Host, at.Port}.String()
		return shownAgent{fakeAgent{x.world}, x, address}, fakeConn{x.world, "agent", address}, func() { x.log = append(x.log, "hang up") }, nil
	}
	port := verifier.Port(9002)
	x.agent = x.enrol(testID, verifier.AddRequest{CloudagentIP: x.record.IP, CloudagentPort: &port,
		TPMPolicy: `{"23": ["` + zero32 + `"], "mask": "` + allMask + `"}`, AcceptTPMHashAlgs: []string{"sha256"},
		AcceptTPMEncryptionAlgs: []string{"ecc", "rsa"}, AcceptTPMSigningAlgs: []string{"ecdsa", "rsassa"}, RuntimePolicy: "x", MBPolicyName: "x"})
	files, mb := string(filesOf(t, boot.IMA)), string(bootOf(t, boot.Log))
	x.runtime[testID], x.mb[testID] = files, &mb
	x.attested()
	x.request = ExplainRequest{ID: testID, Dir: explainDir}
	return x
}

// attested: the verifier has just accepted a quote.
func (x *explained) attested() {
	now := x.t.now().Unix()
	x.agent.State, x.agent.AttestationStatus, x.agent.AttestationCount = verifier.GetQuote, "PASS", 3
	x.agent.LastReceivedQuote, x.agent.LastSuccessfulAttestation = now, now
}

// failed: the verifier has refused a quote.
func (x *explained) failed(event string) {
	x.agent.State, x.agent.AttestationStatus = verifier.InvalidQuote, "FAIL"
	if strings.HasPrefix(event, "internal.") {
		x.agent.State = verifier.Failed
	}
	severity := 6
	x.agent.LastEventID, x.agent.SeverityLevel = &event, &severity
}

func (x *explained) explain(t *testing.T) *Explanation {
	t.Helper()
	found, err := x.t.Explain(context.Background(), x.request)
	if err != nil {
		t.Fatal(err)
	}
	if found.ID != testID || found.Schema != SchemaExplain || found.Summary == "" || found.Verifier == nil {
		t.Errorf("%+v", found)
	}
	if x.index("hang up") < 0 && x.index("> agent.IntegrityQuote") >= 0 {
		t.Error("the connection to the agent was not released")
	}
	return found
}

// filesOf is a runtime policy that accepts a list.
func filesOf(t *testing.T, list []byte) []byte {
	t.Helper()
	p := runtime.Empty()
	e, err := runtime.NewEvaluator(p, runtime.Options{MaxFindings: 100000, IgnoreToMToU: true})
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Evaluate(context.Background(), nil, runtime.Evidence{List: strings.NewReader(string(list))})
	if err != nil {
		t.Fatal(err)
	}
	p.Accept(v.Findings)
	p.Meta.Generator = runtime.GeneratorLegacy
	return p.Marshal()
}

// bootOf is a measured-boot policy that accepts a log.
func bootOf(t *testing.T, data []byte) []byte {
	t.Helper()
	log, err := eventlog.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := measuredboot.Create(log, measuredboot.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Marshal()
}

// shownAgent is an agent at one place.
type shownAgent struct {
	fakeAgent
	x    *explained
	from string
}

func (a shownAgent) IntegrityQuote(ctx context.Context, r agent.IntegrityRequest) (*agent.IntegrityQuote, *client.Reply, error) {
	after, err := a.w.call("agent.IntegrityQuote")
	if err != nil {
		return nil, nil, err
	}
	if err := a.x.dead[a.from]; err != nil {
		return nil, nil, err
	}
	a.x.asked = append(a.x.asked, r.Mask)
	mask, err := strconv.ParseUint(r.Mask, 0, 32)
	if err != nil {
		return nil, nil, refusal(client.Refused, 400, "mask should be a hex encoded 32-bit integer")
	}
	quoted := uint32(mask)
	if a.x.leaves != 0 {
		quoted &^= 1 << a.x.leaves
	}
	shown, err := a.x.machine.Quote(r.Nonce, quoted, a.w.machine.nkPEM)
	if err != nil {
		return nil, nil, err
	}
	tpm := a.x.machine.TPM()
	q := &agent.IntegrityQuote{Quote: agent.Quote{Quote: shown.Quote, HashAlg: tpm.HashAlg(), EncAlg: tpm.EncAlg(), SignAlg: tpm.SignAlg(), PubKeyPEM: a.w.machine.nkPEM}}
	list := string(shown.IMA)
	q.IMAList = &list
	if mask&1 != 0 {
		log := base64.StdEncoding.EncodeToString(shown.Log)
		q.MBLog = &log
	}
	if a.x.spoil != nil {
		a.x.spoil(q)
	}
	return q, &client.Reply{HTTP: 200}, after(ctx.Err())
}

// outcome is what came of a check.
func outcomeOfCheck(t *testing.T, x *Explanation, name string) ExplainedCheck {
	t.Helper()
	i := slices.IndexFunc(x.Checks, func(c ExplainedCheck) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("check %q is not told of: %+v", name, x.Checks)
	}
	return x.Checks[i]
}

func noted(x *Explanation, text string) bool {
	return slices.ContainsFunc(x.Notes, func(note string) bool { return strings.Contains(note, text) })
}

func doesNext(x *Explanation, words ...string) bool {
	return slices.ContainsFunc(x.Next, func(s NextStep) bool { return slices.Equal(s.Command, words) })
}

func checks(x *Explanation) (names []string) {
	for _, f := range x.Findings {
		names = append(names, f.Check)
	}
	return names
}

func TestExplainHealthy(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	found := x.explain(t)
	if found.Answer != AnswerHealthy || len(found.Findings) != 0 || found.Failure() != nil || found.Event != nil || len(found.Notes) != 0 || len(found.Next) != 0 {
		t.Errorf("%s: %s, %+v, %v, %v", found.Answer, found.Summary, found.Findings, found.Notes, found.Next)
	}
	for i, name := range []string{PartAgent, PartQuote, PartTPM, PartLog, PartBoot, PartFiles} {
		if c := found.Checks[i]; c.Name != name || c.Outcome != CheckPassed || c.Proven != (name != PartAgent) {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if !slices.Equal(x.asked, []string{allMask}) {
		t.Errorf("asked with the masks %v", x.asked)
	}
	e := found.Evidence
	if e.Source != agentIP+":9002" || e.Quote != "verified" || e.Bank != "sha256" || e.PCRs["23"] != zero32 || *e.BootEvents == 0 || *e.IMALines == 0 {
		t.Errorf("%+v", e)
	}
	var names []string
	for _, file := range found.Files {
		names = append(names, file.Name)
	}
	slices.Sort(names)
	want := []string{FileAK, FileBootLog, FileIMAList, FileMBPolicy, FileRuntimePolicy, FileQuote}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("files %v", names)
	}
	for _, p := range found.Policies {
		if p.Source != PolicyOwn || p.Name != testID {
			t.Errorf("%+v", p)
		}
	}
}

// TestExplainChangedBoot: the change is named, with its event and the commands
// that accept it, and the verifier's event is explained.
func TestExplainChangedBoot(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	boot, err := x.machine.Evidence().WithCommandLine("init=/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.machine.Boot(boot); err != nil {
		t.Fatal(err)
	}
	x.failed("measured_boot.policy_example")
	found := x.explain(t)
	f := found.Findings[0]
	if f.Check != measuredboot.CheckCommandLine || f.Event == nil || *f.PCR != 8 || !strings.Contains(strings.Join(f.Found, " "), "init=/bin/sh") {
		t.Errorf("%+v", f)
	}
	merge := []string{"keylime_tenant", "policy", "merge", "kept/mb-policy.json", "kept/binary_bios_measurements", "-o", "kept/mb-policy.json"}
	if !slices.Equal(f.Command, merge) {
		t.Errorf("command %q", f.Command)
	}
	if found.Answer != AnswerRefused || !found.Event.Explained || found.Event.Check != PartBoot || !strings.Contains(found.Summary, "kernel command line") {
		t.Errorf("%s: %s, %+v", found.Answer, found.Summary, found.Event)
	}
	if !doesNext(found, merge...) || !doesNext(found, "keylime_tenant", "updatembpolicy", testID, "--mb-policy", "kept/mb-policy.json") || !doesNext(found, "keylime_tenant", "reactivate", testID) {
		t.Errorf("%+v", found.Next)
	}
	if c := outcomeOfCheck(t, found, PartLog); c.Outcome != CheckPassed {
		t.Errorf("the log of the other boot leads to its registers: %+v", c)
	}
	var refused *RefusedError
	if err := found.Failure(); !errors.As(err, &refused) || refused.State != "Invalid Quote" || refused.EventID != "measured_boot.policy_example" {
		t.Errorf("%v", err)
	}
}

func TestExplainUnknownFiles(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	digest, err := x.machine.RunFile("/usr/local/bin/x", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(x.machine.Evidence().IMA), "\n")
	x.failed("ima.validation.ima-ng.not_in_allowlist")
	found := x.explain(t)
	if len(found.Findings) != 1 || found.Answer != AnswerRefused || !found.Event.Explained {
		t.Fatalf("%s: %+v", found.Answer, found.Findings)
	}
	f := found.Findings[0]
	if f.Check != runtime.CheckNotInPolicy || f.Where != "/usr/local/bin/x" || *f.Event != lines || f.Found[0] != digest {
		t.Errorf("%+v", f)
	}
	allow := []string{"keylime_tenant", "policy", "merge", "kept/runtime-policy.json", "--allow", digest + "  /usr/local/bin/x", "-o", "kept/runtime-policy.json"}
	if !slices.Equal(f.Command, allow) || !doesNext(found, allow...) ||
		!doesNext(found, "keylime_tenant", "updateruntimepolicy", testID, "--runtime-policy", "kept/runtime-policy.json") || !doesNext(found, "keylime_tenant", "reactivate", testID) {
		t.Errorf("%q, %+v", f.Command, found.Next)
	}
	// Many files are accepted by the list.
	for _, path := range []string{"/a", "/b", "/c"} {
		if _, err := x.machine.RunFile(path, []byte(path)); err != nil {
			t.Fatal(err)
		}
	}
	found = x.explain(t)
	if len(found.Findings) != 4 || !doesNext(found, "keylime_tenant", "policy", "merge", "kept/runtime-policy.json", "kept/ascii_runtime_measurements", "-o", "kept/runtime-policy.json") {
		t.Errorf("%+v", found.Next)
	}
	// Whatever accepts them is accepted here too.
	accepted := filesOf(t, x.machine.Evidence().IMA)
	x.request.RuntimePolicy = &Input{Name: "merged.json", Content: accepted}
	if found = x.explain(t); found.Answer != AnswerRecovered || !doesNext(found, "keylime_tenant", "reactivate", testID) {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
}

func TestExplainPinnedPCR(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	if err := x.machine.ExtendPCR(23, "text"); err != nil {
		t.Fatal(err)
	}
	x.failed("pcr_validation.invalid_pcr_23")
	found := x.explain(t)
	f := found.Findings[0]
	if len(found.Findings) != 1 || f.Check != "tpm-policy.pcr" || *f.PCR != 23 || f.Expected[0] != zero32 || f.Found[0] == zero32 || !found.Event.Explained {
		t.Fatalf("%+v", found.Findings)
	}
	want := []string{"keylime_tenant", "update", testID, "--tpm-policy", `{"23": ["` + zero32 + `","` + f.Found[0] + `"]}`,
		"--runtime-policy", "kept/runtime-policy.json", "--mb-policy", "kept/mb-policy.json"}
	if !slices.Equal(f.Command, want) || !doesNext(found, want...) || doesNext(found, "keylime_tenant", "reactivate", testID) {
		t.Errorf("%q, %+v", f.Command, found.Next)
	}
	if _, err := ParseTPMPolicy(f.Command[4]); err != nil {
		t.Errorf("the command has a tpm_policy that add refuses: %v", err)
	}
}

// TestExplainOrder: what the verifier has seen comes first, whatever is found
// besides.
func TestExplainOrder(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	boot, err := x.machine.Evidence().WithCommandLine("quiet")
	if err == nil {
		err = x.machine.Boot(boot)
	}
	if err == nil {
		_, err = x.machine.RunFile("/x", nil)
	}
	if err == nil {
		err = x.machine.ExtendPCR(23, "text")
	}
	if err != nil {
		t.Fatal(err)
	}
	for event, first := range map[string]string{
		"ima.validation.ima-ng.not_in_allowlist": runtime.CheckNotInPolicy,
		"pcr_validation.invalid_pcr_23":          "tpm-policy.pcr",
		"measured_boot.policy_example":           measuredboot.CheckCommandLine,
	} {
		x.failed(event)
		found := x.explain(t)
		if found.Findings[0].Check != first || !found.Event.Explained || len(found.Findings) != 3 {
			t.Errorf("%s: %v", event, checks(found))
		}
	}
	// Something of the same kind, and nothing of the kind.
	x.failed("ima.validation.ima-ng.runtime_policy_hash")
	found := x.explain(t)
	if found.Event.Explained || found.Findings[0].Check != runtime.CheckNotInPolicy || !strings.Contains(found.Summary, "of the same kind") {
		t.Errorf("%s", found.Summary)
	}
	x.failed("qoute_validation.quote_validation")
	found = x.explain(t)
	if found.Answer != AnswerRefused || found.Event.Explained || !strings.Contains(found.Summary, "which nothing shows now") {
		t.Errorf("%s", found.Summary)
	}
}

// TestExplainRecovered: what the verifier saw is gone.
func TestExplainRecovered(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"measured_boot.policy_example", "measured_boot.invalid_pcr_4", "ima.pcr_mismatch", "pcr_validation.invalid_pcr_23",
		"qoute_validation.quote_validation", "internal.verifier.not_reachable", "internal.verifier.exception"} {
		x := newExplained(t)
		x.failed(event)
		found := x.explain(t)
		if found.Answer != AnswerRecovered || !doesNext(found, "keylime_tenant", "reactivate", testID) || found.Failure() == nil {
			t.Errorf("%s: %s: %s", event, found.Answer, found.Summary)
		}
	}
	// A verifier keeps the AK of the enrolment.
	x := newExplained(t)
	x.failed("qoute_validation.quote_validation")
	if found := x.explain(t); found.Next[0].Command[1] != "update" {
		t.Errorf("%+v", found.Next)
	}
}

// TestExplainBadQuote: nothing of a quote that is refused is used.
func TestExplainBadQuote(t *testing.T) {
	t.Parallel()
	other, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		event, check string
		spoil        func(*explained) func(*agent.IntegrityQuote)
	}{
		"another AK": {"qoute_validation.quote_validation", "quote.signature", func(x *explained) func(*agent.IntegrityQuote) {
			x.record.AIKTPM = base64.StdEncoding.EncodeToString(other.AKPublic())
			return nil
		}},
		"another AK, as upstream says it": {"pcr_validation.missing_pcr_16", "quote.signature", func(x *explained) func(*agent.IntegrityQuote) {
			x.record.AIKTPM = base64.StdEncoding.EncodeToString(other.AKPublic())
			return nil
		}},
		"another transport key": {"pcr_validation.invalid_pcr_16", "quote.pcr16-binding", func(*explained) func(*agent.IntegrityQuote) {
			return func(q *agent.IntegrityQuote) { q.PubKeyPEM += "\n" }
		}},
		"an algorithm that is not accepted": {"qoute_validation.invalid_sign_alg", "quote.accepted-sign", func(x *explained) func(*agent.IntegrityQuote) {
			x.agent.AcceptTPMSigningAlgs = []string{"rsassa"}
			return nil
		}},
		"an old quote": {"qoute_validation.quote_validation", "quote.nonce", func(x *explained) func(*agent.IntegrityQuote) {
			return func(q *agent.IntegrityQuote) {
				shown, err := x.machine.Quote("old", 0x80ffff, x.world.machine.nkPEM)
				if err == nil {
					q.Quote.Quote = shown.Quote
				}
			}
		}},
		"fewer registers": {"pcr_validation.missing_pcrs", "quote.pcr-missing", func(x *explained) func(*agent.IntegrityQuote) {
			x.leaves = 23
			return nil
		}},
		"no AK": {"internal.verifier.exception", "quote.ak", func(x *explained) func(*agent.IntegrityQuote) {
			x.record.AIKTPM = ""
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			if _, err := x.machine.RunFile("/x", nil); err != nil {
				t.Fatal(err)
			}
			x.failed(c.event)
			x.spoil = c.spoil(x)
			found := x.explain(t)
			if got := checks(found); !slices.Equal(got, []string{c.check}) || found.Answer != AnswerRefused || !found.Event.Explained {
				t.Errorf("%v, %s, %+v", got, found.Answer, found.Event)
			}
			if found.Evidence.Quote != "refused" || len(found.Evidence.PCRs) != 0 || found.Evidence.BootEvents != nil || found.Evidence.IMALines != nil {
				t.Errorf("%+v", found.Evidence)
			}
			for _, name := range []string{PartTPM, PartLog, PartBoot, PartFiles} {
				if c := outcomeOfCheck(t, found, name); c.Outcome != CheckNotJudged {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// TestExplainJSON: findings are the ones of package policy.
func TestExplainJSON(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	if err := x.machine.ExtendPCR(23, "text"); err != nil {
		t.Fatal(err)
	}
	share := verifier.KeyShare("c2VjcmV0")
	x.agent.V = &share
	text, err := json.Marshal(x.explain(t))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Answer   Answer
		Findings []policy.Finding
		Event    *ExplainedEvent
	}
	if err := json.Unmarshal(text, &document); err != nil || document.Answer != AnswerRefused || document.Findings[0].EventID != "pcr_validation.invalid_pcr_23" || document.Event != nil {
		t.Errorf("%v: %+v", err, document)
	}
	if strings.Contains(string(text), "c2VjcmV0") {
		t.Error("V is in the document")
	}
}

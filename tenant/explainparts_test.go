package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

const polledAt = agentIP + ":9002"

func TestExplainUnreachable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, event, check string
		err                error
		want               Answer
		kind               client.Kind
	}{
		{"nobody answers", "internal.verifier.not_reachable", checkUnreachable, noConnection(), AnswerUnreachable, client.Unreachable},
		{"it takes too long", "internal.verifier.not_reachable_v", checkUnreachable, timedOut(), AnswerUnreachable, client.TimedOut},
		{"another certificate", "internal.verifier.not_reachable", checkUnreachable, &client.Error{Kind: client.ServerUntrusted, Err: errors.New("another certificate")}, AnswerUnreachable, client.ServerUntrusted},
		{"it refuses our certificate", "internal.verifier.not_reachable", checkUnreachable, &client.Error{Kind: client.ClientRefused, Err: errors.New("unknown CA")}, AnswerUnreachable, client.ClientRefused},
		{"it gives no quote", "internal.verifier.no_quote", checkRefuses, refusal(client.Refused, 500, "Unable to retrieve quote"), AnswerUnreachable, client.Refused},
		{"refused before, and now nobody answers", "measured_boot.policy_example", checkUnreachable, noConnection(), AnswerUndetermined, client.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			x.dead[polledAt] = c.err
			x.failed(c.event)
			found := x.explain(t)
			if got := checks(found); !slices.Equal(got, []string{c.check}) || found.Answer != c.want {
				t.Errorf("%s: %s: %v", found.Answer, found.Summary, got)
			}
			err := found.Failure()
			var refused *RefusedError
			if c.want == AnswerUndetermined && !errors.As(err, &refused) || c.want == AnswerUnreachable && client.KindOf(err) != c.kind {
				t.Errorf("%v", err)
			}
			if found.Findings[0].Remedy == "" || len(found.Next) == 0 {
				t.Errorf("%+v, %+v", found.Findings[0], found.Next)
			}
			for _, name := range []string{PartQuote, PartTPM, PartLog, PartBoot, PartFiles} {
				if c := outcomeOfCheck(t, found, name); c.Outcome != CheckNotJudged {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// TestExplainUnreachableFromHere: that we do not reach an agent says nothing
// about one that the verifier attests, and keeps nobody from a first quote.
func TestExplainUnreachableFromHere(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	x.dead[polledAt] = noConnection()
	found := x.explain(t)
	if found.Answer != AnswerHealthy || len(found.Findings) != 0 || outcomeOfCheck(t, found, PartAgent).Outcome != CheckNotJudged || !strings.Contains(found.Summary, "could not be judged") {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
	x.agent.State = verifier.GetQuoteRetry
	if found = x.explain(t); found.Answer != AnswerUnreachable || found.Verifier.Health != HealthHealthy {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
	x.agent.AttestationCount = 0
	if found = x.explain(t); found.Answer != AnswerUnreachable || client.KindOf(found.Failure()) != client.Unreachable {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
}

// TestExplainMoved: the agent answers elsewhere than the verifier asks.
func TestExplainMoved(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	ip := "10.0.0.9"
	x.record.IP = &ip
	x.dead[polledAt] = noConnection()
	x.failed("internal.verifier.not_reachable")
	found := x.explain(t)
	if got := checks(found); !slices.Equal(got, []string{checkAddress}) || !found.Event.Explained || found.Answer != AnswerUnreachable || client.KindOf(found.Failure()) != client.Unreachable {
		t.Fatalf("%s: %s: %v", found.Answer, found.Summary, got)
	}
	f := found.Findings[0]
	if f.Found[0] != polledAt || f.Expected[0] != "10.0.0.9:9002" || f.Command[1] != "update" || found.Evidence.Source != "10.0.0.9:9002" {
		t.Errorf("%+v, %+v", f, found.Evidence)
	}
	if outcomeOfCheck(t, found, PartFiles).Outcome != CheckPassed {
		t.Error("what it shows there was not judged")
	}
	// The verifier may reach what this tenant does not.
	x.attested()
	if found = x.explain(t); found.Answer != AnswerHealthy || !noted(found, polledAt) || len(found.Findings) != 0 {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
	x.failed("internal.verifier.not_reachable")
	// Where it answers at both there is a note, and where at none both are tried.
	delete(x.dead, polledAt)
	if found = x.explain(t); !noted(found, "10.0.0.9:9002") || len(found.Findings) != 0 {
		t.Errorf("%v, %+v", found.Notes, found.Findings)
	}
	x.dead[polledAt], x.dead["10.0.0.9:9002"] = noConnection(), noConnection()
	if found = x.explain(t); !slices.Equal(checks(found), []string{checkUnreachable}) {
		t.Errorf("%v", checks(found))
	}
}

func TestExplainStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*explained)
		want Answer
		err  func(error) bool
		note string
	}{
		{"pending", func(x *explained) { x.agent.AttestationCount = 0 }, AnswerPending, isNil, ""},
		{"pending, and will be refused", func(x *explained) { x.agent.AttestationCount = 0; _ = x.machine.ExtendPCR(23, "x") }, AnswerRefused, isRefusal, ""},
		{"stale", func(x *explained) { x.agent.LastSuccessfulAttestation = 1000 }, AnswerStale, is(ErrTimedOut), ""},
		{"stale after an earlier failure", func(x *explained) {
			x.failed("ima.pcr_mismatch")
			x.attested()
			x.agent.LastSuccessfulAttestation = 1000
			_ = x.machine.ExtendPCR(23, "x")
		}, AnswerRefused, isRefusal, "keeps its event"},
		{"attested after an earlier failure", func(x *explained) { x.failed("ima.pcr_mismatch"); x.attested() }, AnswerHealthy, isNil, ""},
		{"stopped", func(x *explained) { x.agent.State = verifier.TenantQuoteFailed }, AnswerStopped, isRefusal, ""},
		{"ending", func(x *explained) { x.agent.State, x.terminating = verifier.Terminated, 9 }, AnswerEnding, isNil, ""},
		{"failed for a reason that nobody tells", func(x *explained) { x.failed(""); x.agent.LastEventID = nil }, AnswerRecovered, isRefusal, ""},
		{"refused by nobody but us", func(x *explained) { _ = x.machine.ExtendPCR(23, "x") }, AnswerRefused, isRefusal, "may have changed since"},
		{"a boot that the verifier accepts", func(x *explained) {
			boot, _ := x.machine.Evidence().WithCommandLine("quiet")
			_ = x.machine.Boot(boot)
		}, AnswerRefused, isRefusal, "accept-all"},
		{"registered twice", func(x *explained) { x.record.RegCount = 2 }, AnswerHealthy, isNil, "registered 2 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			c.set(x)
			found := x.explain(t)
			if found.Answer != c.want || !c.err(found.Failure()) {
				t.Errorf("%s: %s; %v", found.Answer, found.Summary, found.Failure())
			}
			if c.note != "" && !noted(found, c.note) {
				t.Errorf("notes %q", found.Notes)
			}
		})
	}
}

func isNil(err error) bool { return err == nil }

func isRefusal(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused)
}

// TestExplainServers: what each server does not know, or does not say.
func TestExplainServers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	t.Run("not enrolled", func(t *testing.T) {
		t.Parallel()
		x := newExplained(t)
		x.forget(testID)
		_, err := x.t.Explain(ctx, x.request)
		var missing *NotFoundError
		if !errors.As(err, &missing) || missing.Server != ServerVerifier {
			t.Errorf("%v", err)
		}
	})
	t.Run("known to none", func(t *testing.T) {
		t.Parallel()
		x := newExplained(t)
		x.request.ID = "other"
		if _, err := x.t.Explain(ctx, x.request); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no verifier", func(t *testing.T) {
		t.Parallel()
		x := newExplained(t)
		x.before = on("verifier.version", 0, noConnection())
		if _, err := x.t.Explain(ctx, x.request); client.KindOf(err) != client.Unreachable {
			t.Errorf("%v", err)
		}
	})
	for name, before := range map[string]func(*explained){
		"no registrar":                 func(x *explained) { x.before = on("registrar.version", 0, noConnection()) },
		"not known to the registrar":   func(x *explained) { x.before = on("registrar.Agent", 0, notFound("unknown")) },
		"an agent of the push model":   func(x *explained) { x.agent.State, x.agent.IP, x.agent.Port = verifier.NoState, nil, nil },
		"an agent whose TLS is off":    func(x *explained) { off := "disabled"; x.record.MTLSCert = &off },
		"an agent without any address": func(x *explained) { x.agent.IP, x.record.IP = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			before(x)
			if name != "an agent of the push model" && name != "an agent without any address" {
				x.failed("ima.pcr_mismatch")
			}
			found := x.explain(t)
			if x.index("> agent.IntegrityQuote") >= 0 || outcomeOfCheck(t, found, PartQuote).Outcome != CheckNotJudged || found.Evidence.Quote != "none" {
				t.Errorf("%+v, %v", found.Evidence, x.calls())
			}
			if found.Answer == AnswerRefused || found.Answer == AnswerRecovered || len(found.Findings) != 0 {
				t.Errorf("%s: %s", found.Answer, found.Summary)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		x := newExplained(t)
		ctx, cancel := context.WithCancel(ctx)
		x.after = func(call string, _ int) error {
			if call == "agent.IntegrityQuote" {
				cancel()
			}
			return nil
		}
		if _, err := x.t.Explain(ctx, x.request); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// TestExplainPolicies: where policies come from, and what is said when they
// cannot be had.
func TestExplainPolicies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set    func(*explained)
		source PolicySource
		want   CheckOutcome
		note   string
	}{
		"under the agent's id": {func(*explained) {}, PolicyOwn, CheckPassed, ""},
		"the only one":         {func(x *explained) { x.mb["web"] = x.mb[testID]; delete(x.mb, testID) }, PolicyOnly, CheckPassed, ""},
		"one of two":           {func(x *explained) { x.mb["a"], x.mb["b"] = x.mb[testID], nil; delete(x.mb, testID) }, PolicyUnknown, CheckNotJudged, "--mb-policy FILE"},
		"the only one is null": {func(x *explained) { x.mb["a"] = nil; delete(x.mb, testID) }, PolicyUnknown, CheckNotJudged, "null"},
		"not shown":            {func(x *explained) { x.before = on("verifier.MBPolicy", 0, refusal(client.Refused, 500, "")) }, PolicyUnknown, CheckNotJudged, "not known"},
		"no list": {func(x *explained) {
			delete(x.mb, testID)
			x.before = on("verifier.MBPolicies", 0, refusal(client.Refused, 500, ""))
		}, PolicyUnknown, CheckNotJudged, "not known"},
		"none":    {func(x *explained) { x.agent.HasMBRefstate = 0 }, PolicyNone, CheckNotDemanded, ""},
		"empty":   {func(x *explained) { empty := "{}"; x.mb[testID] = &empty }, PolicyOwn, CheckNotDemanded, ""},
		"a file":  {func(x *explained) { x.request.MBPolicy = &Input{Name: "p.json", Content: []byte(*x.mb[testID])} }, PolicyFile, CheckPassed, ""},
		"a stdin": {func(x *explained) { x.request.MBPolicy = &Input{Name: "-", Content: []byte(*x.mb[testID])} }, PolicyFile, CheckPassed, ""},
		"broken":  {func(x *explained) { broken := "{"; x.mb[testID] = &broken }, PolicyOwn, CheckRefused, ""},
		"a list":  {func(x *explained) { broken := `{"kernels": 1}`; x.mb[testID] = &broken }, PolicyOwn, CheckRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			c.set(x)
			found := x.explain(t)
			if p := found.Policies[0]; p.Source != c.source || p.Kind != MBKind {
				t.Errorf("%+v", p)
			}
			if got := outcomeOfCheck(t, found, PartBoot); got.Outcome != c.want {
				t.Errorf("%+v", got)
			}
			if c.note != "" && !noted(found, c.note) {
				t.Errorf("%v", found.Notes)
			}
		})
	}
	x := newExplained(t)
	broken := "{"
	x.mb[testID] = &broken
	if found := x.explain(t); found.Findings[0].EventID != "pcr_validation.invalid_mb_policy" {
		t.Errorf("%+v", found.Findings)
	}
	x.runtime[testID] = `{"digests": 1}`
	if found := x.explain(t); found.Findings[0].Check != "ima.policy" {
		t.Errorf("%+v", found.Findings)
	}
	for kind, r := range map[InvalidKind]ExplainRequest{
		InvalidMBPolicy:      {ID: testID, MBPolicy: &Input{Name: "p", Content: []byte("x")}},
		InvalidRuntimePolicy: {ID: testID, RuntimePolicy: &Input{Name: "p", Content: []byte("{}")}},
		InvalidAgentID:       {ID: "a b"},
	} {
		var invalid *InvalidError
		if _, err := x.t.Explain(context.Background(), r); !errors.As(err, &invalid) || invalid.Kind != kind {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestExplainUnknownPolicy: a failure is not called recovered while the policy
// concerned could not be had.
func TestExplainUnknownPolicy(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	x.runtime["a"], x.runtime["b"] = x.runtime[testID], x.runtime[testID]
	delete(x.runtime, testID)
	x.failed("ima.validation.ima-ng.not_in_allowlist")
	found := x.explain(t)
	if found.Answer != AnswerUndetermined || !slices.ContainsFunc(found.Next, func(s NextStep) bool { return strings.Contains(s.Text, "--runtime-policy FILE") }) {
		t.Errorf("%s: %s, %+v", found.Answer, found.Summary, found.Next)
	}
}

// TestExplainNotDemanded: what the verifier does not ask for is not asked for.
func TestExplainNotDemanded(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	x.agent.TPMPolicy, x.agent.HasMBRefstate, x.agent.HasRuntimePolicy = `{"mask": "0x0"}`, 0, 0
	found := x.explain(t)
	if found.Answer != AnswerHealthy || !slices.Equal(x.asked, []string{"0x0"}) {
		t.Errorf("%s, %v", found.Answer, x.asked)
	}
	for _, name := range []string{PartTPM, PartLog, PartBoot, PartFiles} {
		if c := outcomeOfCheck(t, found, name); c.Outcome != CheckNotDemanded {
			t.Errorf("%+v", c)
		}
	}
	// A policy that is given is asked for.
	x.request.RuntimePolicy = &Input{Name: "p", Content: runtime.Empty().Marshal()}
	if found = x.explain(t); found.Answer != AnswerRefused || x.asked[1] != "0x400" {
		t.Errorf("%s, %v", found.Answer, x.asked)
	}
	// A runtime policy that nobody enforces, and a boot log that nobody compares.
	x.request.RuntimePolicy, x.agent.HasRuntimePolicy, x.agent.TPMPolicy = nil, 1, `{"mask": "0x1"}`
	if found = x.explain(t); !noted(found, "checks no files") || !outcomeOfCheck(t, found, PartLog).Proven {
		t.Errorf("%v", found.Notes)
	}
	x.agent.TPMPolicy = "{"
	if found = x.explain(t); !noted(found, "tpm_policy") || outcomeOfCheck(t, found, PartTPM).Outcome != CheckNotJudged {
		t.Errorf("%v", found.Notes)
	}
}

// TestExplainLogs: logs that are missing, broken, or not of this machine.
func TestExplainLogs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event, check, part string
		set                func(*explained)
	}{
		"no boot log":           {"pcr_validation.unused_pcr_0", checkNoLog, PartLog, spoilWith(func(q *agent.IntegrityQuote) { q.MBLog = nil })},
		"a boot log not base64": {"internal.verifier.exception", measuredboot.CheckLog, PartLog, spoilWith(func(q *agent.IntegrityQuote) { *q.MBLog = "!" })},
		"a broken boot log": {"measured_boot.parser.tpm2_eventlog.error", measuredboot.CheckLog, PartLog, spoilWith(func(q *agent.IntegrityQuote) {
			*q.MBLog = base64.StdEncoding.EncodeToString([]byte("no log at all, but long enough to be looked at"))
		})},
		"a boot log without the bank of the quote": {"measured_boot.parser.invalid_pcrs_hashes", measuredboot.CheckBank, PartLog, spoilWith(func(q *agent.IntegrityQuote) {
			// PCR 0, EV_SEPARATOR, a SHA-1 digest, four octets: the old form.
			*q.MBLog = base64.StdEncoding.EncodeToString(append(append([]byte{0, 0, 0, 0, 4, 0, 0, 0}, make([]byte, 20)...), 4, 0, 0, 0, 0, 0, 0, 0))
		})},
		"a boot that the TPM has not seen": {"measured_boot.invalid_pcr_4", measuredboot.CheckPCR, PartLog, func(x *explained) { _ = x.machine.ExtendPCR(4, "x") }},
		"no IMA list":                      {"pcr_validation.unused_pcr_10", checkNoList, PartFiles, spoilWith(func(q *agent.IntegrityQuote) { q.IMAList = nil })},
		"a list that was cut": {"ima.pcr_mismatch", runtime.CheckPCRMismatch, PartFiles, spoilWith(func(q *agent.IntegrityQuote) {
			cut := (*q.IMAList)[:strings.LastIndexByte(strings.TrimSuffix(*q.IMAList, "\n"), '\n')+1]
			q.IMAList = &cut
		})},
		"a mask without what the policy needs": {"measured_boot.missing_pcrs", measuredboot.CheckMissingPCRs, PartBoot, func(x *explained) { x.agent.TPMPolicy = `{"mask": "0x4ff"}` }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			c.set(x)
			x.failed(c.event)
			found := x.explain(t)
			if got := checks(found); len(got) == 0 || got[0] != c.check || found.Answer != AnswerRefused {
				t.Fatalf("%s: %s: %v", found.Answer, found.Summary, got)
			}
			if outcomeOfCheck(t, found, c.part).Outcome == CheckPassed {
				t.Errorf("%+v", found.Checks)
			}
			if found.Findings[0].EventID != c.event || !found.Event.Explained {
				t.Errorf("%+v", found.Findings[0])
			}
		})
	}
}

func spoilWith(spoil func(*agent.IntegrityQuote)) func(*explained) {
	return func(x *explained) { x.spoil = spoil }
}

// TestExplainViolations: a verifier accepts them unless it is told otherwise.
func TestExplainViolations(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	boot := x.machine.Evidence()
	boot.IMA = append(boot.IMA, []byte("10 0000000000000000000000000000000000000000 ima-ng sha1:0000000000000000000000000000000000000000 /var/log/x\n")...)
	if err := x.machine.Boot(boot); err != nil {
		t.Fatal(err)
	}
	found := x.explain(t)
	if found.Answer != AnswerHealthy || !noted(found, "violations") {
		t.Errorf("%s: %s, %v", found.Answer, found.Summary, found.Notes)
	}
	x.failed("ima.validation.tomtou")
	if found = x.explain(t); found.Answer != AnswerRefused || found.Findings[0].Check != runtime.CheckViolation || !found.Event.Explained || noted(found, "violations") {
		t.Errorf("%s: %v", found.Answer, checks(found))
	}
}

// TestExplainOtherBootPolicy: the rules of a policy of the verifier's own are
// not known here.
func TestExplainOtherBootPolicy(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	x.failed("measured_boot.policy_reject-all")
	found := x.explain(t)
	if !noted(found, `"reject-all"`) || found.Answer != AnswerRecovered {
		t.Errorf("%s: %v", found.Answer, found.Notes)
	}
}

// TestExplainEvidence: files instead of the agent, with and without a quote.
func TestExplainEvidence(t *testing.T) {
	t.Parallel()
	x := newExplained(t)
	if _, err := x.machine.RunFile("/x", nil); err != nil {
		t.Fatal(err)
	}
	x.failed("ima.validation.ima-ng.not_in_allowlist")
	shown, err := x.machine.Quote("saved", 0x80ffff, x.world.machine.nkPEM)
	if err != nil {
		t.Fatal(err)
	}
	tpm := x.machine.TPM()
	saved := &SavedQuote{Quote: agent.Quote{Quote: shown.Quote, HashAlg: tpm.HashAlg(), EncAlg: tpm.EncAlg(), SignAlg: tpm.SignAlg()}, Nonce: "saved"}
	m := &MachineEvidence{Origin: "dir", BootLog: shown.Log, IMAList: shown.IMA, BootLogFile: "dir/log", IMAListFile: "dir/list", Quote: saved}
	x.request.Evidence = m
	found := x.explain(t)
	if found.Answer != AnswerRefused || !found.Event.Explained || found.Evidence.Source != "dir" || found.Evidence.Quote != "verified" || !outcomeOfCheck(t, found, PartBoot).Proven || !noted(found, "when it was saved") {
		t.Errorf("%s: %s, %+v", found.Answer, found.Summary, found.Evidence)
	}
	if x.index("> agent.IntegrityQuote") >= 0 {
		t.Error("the agent was asked all the same")
	}
	// Without a quote everything is a claim.
	m.Quote = nil
	if found = x.explain(t); found.Answer != AnswerRefused || outcomeOfCheck(t, found, PartFiles).Proven || outcomeOfCheck(t, found, PartTPM).Outcome != CheckNotJudged {
		t.Errorf("%s: %+v", found.Answer, found.Checks)
	}
	m.IMAList = m.IMAList[:strings.LastIndex(string(m.IMAList), "10 ")]
	if found = x.explain(t); found.Answer != AnswerUndetermined || !strings.Contains(found.Summary, "no quote proves it") {
		t.Errorf("%s: %s", found.Answer, found.Summary)
	}
	// A quote that is refused makes them worth nothing.
	saved.Nonce, m.Quote = "another", saved
	if found = x.explain(t); !slices.Equal(checks(found), []string{"quote.nonce"}) {
		t.Errorf("%v", checks(found))
	}
	// Half of the evidence.
	m.Quote, m.IMAList = nil, nil
	if found = x.explain(t); outcomeOfCheck(t, found, PartFiles).Outcome != CheckNotJudged || outcomeOfCheck(t, found, PartBoot).Outcome != CheckPassed {
		t.Errorf("%+v", found.Checks)
	}
	m.BootLog, m.IMAList = nil, shown.IMA
	if found = x.explain(t); outcomeOfCheck(t, found, PartLog).Outcome != CheckNotJudged || found.Answer != AnswerRefused {
		t.Errorf("%+v", found.Checks)
	}
}

// TestExplainRecordedBoots: policies of one recorded boot, evidence of the
// others: what really changed is found (testdata/evidence/README.md).
func TestExplainRecordedBoots(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"sb-on-cmdline-changed": measuredboot.CheckCommandLine,
		"sb-on-initrd-changed":  measuredboot.CheckInitrd,
		"sb-off":                measuredboot.CheckSecureBoot,
		"sb-on-ima-violation":   runtime.CheckNotInPolicy,
		"sb-on-reboot":          "",
	} {
		dir := filepath.Join("..", "testdata", "evidence", name)
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
		boot, err := recorded.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		x := newExplained(t)
		if err := x.machine.Boot(boot); err != nil {
			t.Fatal(err)
		}
		found := x.explain(t)
		if got := checks(found); want != "" && !slices.Contains(got, want) || want == "" && slices.ContainsFunc(got, func(c string) bool { return strings.HasPrefix(c, "measured") }) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
)

const (
	oldPolicy = `{"meta": {"version": 1, "generator": 3}, "release": 7}`
	oldBoot   = `{"has_secureboot": true}`
)

// enrolledWorld has an enrolment of the agent, with policies of its own.
func enrolledWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	v, ip, port, boot := verifier.KeyShare("b2xk"), "10.9.9.9", verifier.Port(9999), oldBoot
	a := w.enrol(testID, verifier.AddRequest{V: &v, CloudagentIP: &ip, CloudagentPort: &port, VerifierIP: "old", VerifierPort: 1, Metadata: "{}",
		TPMPolicy: `{"22": ["00"], "mask": "0x40ffff"}`, AcceptTPMHashAlgs: []string{"sha256"}, RuntimePolicy: "x", MBPolicy: &boot})
	a.State, a.AttestationCount = verifier.GetQuote, 12
	w.vs = nil
	w.runtime[testID], w.mb[testID] = oldPolicy, &boot
	w.used[testID] = [2]string{testID, testID}
	return w
}

func TestUpdateInOrder(t *testing.T) {
	t.Parallel()
	w := enrolledWorld(t)
	w.pending = 2
	r := goodAdd()
	r.VerifyKey = true
	result, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: r})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"> registrar.version", "ServerVersion", "> registrar.Agent", "RegistrarRecord",
		"dial 10.0.0.7:9002 pinned=true", "> agent.version", "AgentVersion", "PolicyMask",
		"> verifier.version", "ServerVersion", "> verifier.Agent", "VerifierStatus",
		"> agent.IdentityQuote", "QuoteReceived", "QuoteVerified", "EKVerified", "IdentityProven",
		"> verifier.RuntimePolicy", "> verifier.MBPolicy",
		"> agent.PostU", "UDelivered",
		"DeleteStarted", "> verifier.Delete", "> verifier.Agent", "DeleteRetry", "> verifier.Agent", "DeleteRetry", "> verifier.Agent", "Deleted",
		"> verifier.Add", "Enrolled", "> verifier.Agent", "VerifierStatus", "Added", "> agent.VerifyKey", "KeyVerified", "hang up",
	}
	if diff := cmp.Diff(want, w.log); diff != "" {
		t.Errorf("order of calls and events (-want +got):\n%s", diff)
	}
	if !result.Replaced || !result.KeyVerified || result.State != "Start" {
		t.Errorf("unexpected result %+v", result)
	}
	if d := first[Deleted](w); !d.Polled || d.Tries != 2 || d.Absent {
		t.Errorf("unexpected event %+v", d)
	}
}

func TestUpdateUnchecked(t *testing.T) {
	t.Parallel()
	w := enrolledWorld(t)
	if _, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: goodAdd(), NoCheck: true}); err != nil {
		t.Fatal(err)
	}
	if first[DeleteStarted](w).Agent != nil || w.index("VerifierStatus") < w.index("Deleted") {
		t.Errorf("told of the old record: %q", w.log)
	}
}

func TestUpdateOfAnAgentThatIsNotEnrolled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		request UpdateRequest
		added   bool
		deleted Deleted
	}{
		{"refused", UpdateRequest{}, false, Deleted{}},
		{"created", UpdateRequest{Create: true}, true, Deleted{ID: testID, Absent: true}},
		{"classic", UpdateRequest{AddRequest: AddRequest{Compat: true}}, true, Deleted{ID: testID, Absent: true}},
		{"classic, unchecked", UpdateRequest{AddRequest: AddRequest{Compat: true}, NoCheck: true}, true, Deleted{ID: testID, Absent: true, AtDelete: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			compat := test.request.Compat
			test.request.AddRequest = goodAdd()
			test.request.Compat = compat
			result, err := w.tenant(t).Update(context.Background(), test.request)
			if test.added != (err == nil) || !test.added && !errors.Is(err, ErrNotFound) {
				t.Fatalf("error %v", err)
			}
			if got := first[Deleted](w); got != test.deleted {
				t.Errorf("event %+v, want %+v", got, test.deleted)
			}
			if !test.added {
				if slices.Contains(w.calls(), "agent.IdentityQuote") {
					t.Error("the agent was asked for a quote all the same")
				}
				return
			}
			if result.Replaced || w.enrolled[testID] == nil || slices.Contains(w.calls(), "verifier.Delete") {
				t.Errorf("unexpected result %+v, calls %q", result, w.calls())
			}
			if got := w.index("NotEnrolled") >= 0; got == test.request.NoCheck {
				t.Errorf("told that it is not enrolled: %t", got)
			}
		})
	}
}

// TestUpdateChecksFirst spoils everything that can be checked while the old
// enrolment is active: it must stay, and the agent must not be given anything.
func TestUpdateChecksFirst(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		arrange func(w *world, r *AddRequest)
		check   func(error) bool
	}{
		{"payload", func(_ *world, r *AddRequest) { r.Payload.MaxSize = 10 }, isInvalid(PayloadTooLarge)},
		{"tpm_policy", func(_ *world, r *AddRequest) { r.Policies.TPM = "{x" }, isInvalid(InvalidTPMPolicy)},
		{"registrar", func(w *world, _ *AddRequest) { w.before = on("registrar.Agent", 0, noConnection()) }, isKind(client.Unreachable)},
		{"verifier", func(w *world, _ *AddRequest) { w.before = on("verifier.Agent", 0, noConnection()) }, isKind(client.Unreachable)},
		{"quote", func(w *world, _ *AddRequest) { w.quote = func(q *agent.Quote) { q.Quote = "r:" } }, isCheck("format")},
		{"EK", func(w *world, _ *AddRequest) { w.record.EKTPM = otherEK(w) }, isEKCheck("key-match")},
		{"runtime policy name", func(_ *world, r *AddRequest) { r.Policies.RuntimeName = "web" }, is(ErrNotFound)},
		{"measured-boot policy name", func(_ *world, r *AddRequest) { r.Policies.MeasuredBootName = "web" }, is(ErrNotFound)},
		{"measured-boot policy name is taken", func(w *world, r *AddRequest) {
			w.mb["web"] = nil
			r.Policies.MeasuredBootName, r.Policies.MeasuredBoot = "web", &Input{Name: "mb.json", Content: []byte("{}")}
		}, is(ErrConflict)},
		{"policy that goes with the agent", func(_ *world, r *AddRequest) { r.Policies.RuntimeName = testID }, isInvalid(InvalidPolicyName)},
		{"policy name cannot be checked", func(w *world, r *AddRequest) {
			r.Policies.RuntimeName, w.before = "web", on("verifier.RuntimePolicy", 0, refusal(client.Unauthorized, 403, ""))
		}, isKind(client.Unauthorized)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, r := enrolledWorld(t), goodAdd()
			test.arrange(w, &r)
			_, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: r})
			if err == nil || !test.check(err) {
				t.Errorf("error %v (%T) is not the one named", err, err)
			}
			var report *UndoneError
			if errors.As(err, &report) {
				t.Errorf("something was undone: %+v", report)
			}
			for _, call := range []string{"verifier.Delete", "verifier.Add", "agent.PostU"} {
				if slices.Contains(w.calls(), call) {
					t.Errorf("%s was called", call)
				}
			}
			if a := w.enrolled[testID]; a == nil || a.AttestationCount != 12 {
				t.Errorf("the old enrolment is now %v", a)
			}
		})
	}
}

// restored holds the second request of a run against the old enrolment.
func restored(t *testing.T, w *world) verifier.AddRequest {
	t.Helper()
	if w.enrolled[testID] == nil {
		t.Fatalf("the agent is not enrolled; calls %q", w.calls())
	}
	sent := w.posted[len(w.posted)-1]
	if *sent.CloudagentIP != "10.9.9.9" || *sent.CloudagentPort != 9999 || sent.VerifierIP != "old" || sent.VerifierPort != 1 ||
		!slices.Equal(sent.AcceptTPMHashAlgs, []string{"sha256"}) || sent.AcceptTPMSigningAlgs == nil ||
		sent.AKTPM != w.record.AIKTPM || sent.MTLSCert == nil {
		t.Errorf("not the old enrolment: %+v", sent)
	}
	return sent
}

func TestUpdateRestores(t *testing.T) {
	t.Parallel()
	refuse := on("verifier.Add", 1, refusal(client.Refused, 400, "no"))
	tests := []struct {
		name    string
		arrange func(w *world, r *AddRequest)
		hold    func(t *testing.T, w *world, sent verifier.AddRequest)
		// lost are words of what could not be put back.
		lost []string
	}{
		{"own policies", func(w *world, _ *AddRequest) { w.before = refuse }, func(t *testing.T, w *world, sent verifier.AddRequest) {
			if sent.V == nil || *sent.V != "b2xk" || sent.Metadata != "{}" || sent.TPMPolicy != `{"22": ["00"], "mask": "0x40ffff"}` {
				t.Errorf("unexpected request %+v", sent)
			}
			if w.runtime[testID] != oldPolicy || *w.mb[testID] != oldBoot {
				t.Errorf("policies are now %v, %v", w.runtime, w.mb)
			}
		}, []string{"keys for IMA signatures"}},
		{"the only named policies", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.runtime, w.mb = map[string]string{"web": oldPolicy}, map[string]*string{"boot": nil}
			w.used[testID] = [2]string{"web", "boot"}
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.RuntimePolicyName != "web" || sent.RuntimePolicy != "" || sent.MBPolicyName != "boot" || sent.MBPolicy != nil || sent.V == nil {
				t.Errorf("unexpected request %+v", sent)
			}
		}, []string{"keys for IMA signatures"}},
		{"one of several named runtime policies", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.runtime = map[string]string{"web": oldPolicy, "db": oldPolicy}
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.RuntimePolicyName != "" || sent.RuntimePolicy != "" || sent.V != nil {
				t.Errorf("unexpected request %+v", sent)
			}
			if got := maskOf(sent.TPMPolicy); got != 0x40fbff || !strings.Contains(sent.TPMPolicy, `"22":["00"]`) {
				t.Errorf("tpm_policy %s", sent.TPMPolicy)
			}
		}, []string{"its runtime policy", "keys for IMA signatures", "its share of the payload's key"}},
		{"one of several named measured-boot policies", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.mb = map[string]*string{"a": nil, "b": nil}
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.MBPolicyName != "" || sent.MBPolicy != nil || sent.V != nil || sent.TPMPolicy != `{"22": ["00"], "mask": "0x40ffff"}` {
				t.Errorf("unexpected request %+v", sent)
			}
		}, []string{"keys for IMA signatures", "its measured-boot policy", "its share of the payload's key"}},
		{"an agent that has not opened its payload", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.enrolled[testID].AttestationCount = 0
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.V == nil {
				t.Errorf("unexpected request %+v", sent)
			}
		}, []string{"keys for IMA signatures", "its old payload"}},
		{"a stopped agent", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.enrolled[testID].State = verifier.TenantQuoteFailed
		}, func(t *testing.T, w *world, _ verifier.AddRequest) {
			if w.enrolled[testID].State != verifier.TenantQuoteFailed {
				t.Errorf("state %v", w.enrolled[testID].State)
			}
		}, []string{"keys for IMA signatures"}},
		{"no policies at all", func(w *world, _ *AddRequest) {
			w.before = refuse
			a := w.enrolled[testID]
			a.TPMPolicy, a.HasRuntimePolicy, a.HasMBRefstate = `{"mask": "0x0"}`, 0, 0
			w.runtime, w.mb = map[string]string{"web": oldPolicy, "db": oldPolicy}, map[string]*string{}
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.V == nil || sent.RuntimePolicy != "" || sent.MBPolicy != nil {
				t.Errorf("unexpected request %+v", sent)
			}
		}, nil},
		{"a certificate package", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.enrolled[testID].MetaData = `{"cert_serial": 2}`
		}, func(t *testing.T, _ *world, sent verifier.AddRequest) {
			if sent.Metadata != `{"cert_serial": 2}` {
				t.Errorf("metadata %s", sent.Metadata)
			}
		}, []string{"keys for IMA signatures", "the key that signs revocation notices"}},
		{"the new enrolment is not shown", func(w *world, _ *AddRequest) {
			w.before = func(call string, nth int) error {
				if call == "verifier.Agent" && nth >= 2 && nth <= 6 {
					return refusal(client.Refused, 503, "")
				}
				return nil
			}
		}, func(t *testing.T, w *world, sent verifier.AddRequest) {
			if len(w.posted) != 2 || *sent.V != "b2xk" || w.runtime[testID] != oldPolicy {
				t.Errorf("requests %v, policies %v", w.posted, w.runtime)
			}
		}, []string{"keys for IMA signatures"}},
		{"the deletion takes too long", func(w *world, _ *AddRequest) { w.pending = 7 }, func(t *testing.T, w *world, sent verifier.AddRequest) {
			if len(w.posted) != 1 || *sent.V != "b2xk" {
				t.Errorf("requests %v", w.posted)
			}
		}, []string{"keys for IMA signatures"}},
		{"putting back needs several tries", func(w *world, _ *AddRequest) {
			w.before = func(call string, nth int) error {
				switch {
				case call == "verifier.Add" && nth == 1:
					return refusal(client.Refused, 400, "no")
				case call == "verifier.Add" && nth < 4:
					return timedOut()
				}
				return nil
			}
		}, func(t *testing.T, w *world, sent verifier.AddRequest) {
			if len(w.posted) != 1 || *sent.V != "b2xk" {
				t.Errorf("requests %v", w.posted)
			}
		}, []string{"keys for IMA signatures"}},
		{"the old one was still going", func(w *world, _ *AddRequest) {
			w.pending = 3
			w.before = on("verifier.Agent", 3, refusal(client.Unauthorized, 403, ""))
		}, func(t *testing.T, w *world, sent verifier.AddRequest) {
			if len(w.posted) != 1 || *sent.V != "b2xk" {
				t.Errorf("requests %v", w.posted)
			}
		}, []string{"keys for IMA signatures"}},
		{"the answer to putting back is lost", func(w *world, _ *AddRequest) {
			w.before = refuse
			w.after = on("verifier.Add", 2, timedOut())
		}, func(t *testing.T, w *world, _ verifier.AddRequest) {
			if *w.enrolled[testID].V != "b2xk" {
				t.Errorf("enrolled %+v", w.enrolled[testID].Record)
			}
		}, []string{"keys for IMA signatures"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, r := enrolledWorld(t), goodAdd()
			test.arrange(w, &r)
			_, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: r})
			var report *UndoneError
			if !errors.As(err, &report) || !slices.Contains(report.Undone, "the old enrolment was put back") {
				t.Fatalf("error %v, report %+v; calls %q", err, report, w.calls())
			}
			test.hold(t, w, restored(t, w))
			var lost []string
			for _, l := range report.Left {
				if what, ok := strings.CutPrefix(l.What, "not put back: "); ok {
					lost = append(lost, what)
				}
			}
			if len(lost) != len(test.lost) {
				t.Fatalf("lost %q, want %q", lost, test.lost)
			}
			for i, want := range test.lost {
				if !strings.Contains(lost[i], want) {
					t.Errorf("lost %q, want %q", lost[i], want)
				}
			}
			if !w.warned(WarnRestored) || w.warned(WarnIncomplete) != (len(test.lost) > 0) {
				t.Error("warnings do not tell of it")
			}
		})
	}
}

func TestUpdateCannotRestore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		before func(string, int) error
		left   string
	}{
		{"refused", on("verifier.Add", 0, refusal(client.Refused, 400, "no")), "is not attested any more"},
		{"verifier gone", func(call string, nth int) error {
			if call == "verifier.Add" || call == "verifier.Agent" && nth > 1 {
				return timedOut()
			}
			return nil
		}, "the old enrolment could not be put back"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := enrolledWorld(t)
			w.before = test.before
			_, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: goodAdd()})
			var report *UndoneError
			if !errors.As(err, &report) || !slices.ContainsFunc(report.Left, func(l Leftover) bool { return strings.Contains(l.What, test.left) }) {
				t.Fatalf("error %v, report %+v", err, report)
			}
			if !slices.ContainsFunc(report.Left, func(l Leftover) bool { return len(l.Command) > 0 }) {
				t.Errorf("no command helps: %+v", report.Left)
			}
		})
	}
}

// TestUpdateInterrupted ends the context in the middle of each call: the agent
// must never be left without an enrolment, and never with a half new one.
func TestUpdateInterrupted(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, interruptAt int, effect bool) (w *world, calls int, err error) {
		w, r := enrolledWorld(t), goodAdd()
		w.pending = 1
		r.VerifyKey = true
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		hook := func(string, int) error {
			if calls++; calls != interruptAt {
				return nil
			}
			cancel()
			return &client.Error{Kind: client.Canceled, Err: context.Canceled}
		}
		if effect {
			w.after = hook
		} else {
			w.before = hook
		}
		_, err = w.tenant(t).Update(ctx, UpdateRequest{AddRequest: r})
		return w, calls, err
	}
	_, calls, err := run(t, -1, false)
	if err != nil || calls < 14 {
		t.Fatalf("%d calls without an interrupt, then %v", calls, err)
	}
	for _, effect := range []bool{false, true} {
		for at := 1; at <= calls; at++ {
			t.Run(fmt.Sprintf("call %d, effect %t", at, effect), func(t *testing.T) {
				t.Parallel()
				w, got, err := run(t, at, effect)
				if err == nil && got < at {
					return // with effects fewer calls count
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("error %v does not say that it was interrupted; calls %q", err, w.calls())
				}
				a := w.enrolled[testID]
				if a == nil || a.V == nil || *a.V != "b2xk" {
					t.Errorf("enrolled is %v; calls %q", a, w.calls())
				}
				if w.runtime[testID] != oldPolicy {
					t.Errorf("policies %v; calls %q", w.runtime, w.calls())
				}
			})
		}
	}
}

// TestUpdateDeletesNothing: a deletion that the verifier refuses, or that is
// lost on the way, leaves the old enrolment, which must not be posted again.
func TestUpdateDeletesNothing(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"refused": refusal(client.Unauthorized, 403, ""), "lost": timedOut()} {
		w := enrolledWorld(t)
		w.before = on("verifier.Delete", 0, err)
		_, got := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: goodAdd()})
		var step *StepError
		if !errors.As(got, &step) || step.Step != StepDelete || len(w.posted) > 0 || *w.enrolled[testID].V != "b2xk" {
			t.Errorf("%s: error %v, requests %v", name, got, w.posted)
		}
		var report *UndoneError
		if !errors.As(got, &report) || slices.Contains(report.Undone, "the old enrolment is still there") != (name == "lost") {
			t.Errorf("%s: report %+v", name, report)
		}
	}
}

func TestUpdateCannotStopAgain(t *testing.T) {
	t.Parallel()
	w := enrolledWorld(t)
	w.enrolled[testID].State = verifier.TenantQuoteFailed
	w.before = func(call string, nth int) error {
		switch {
		case call == "verifier.Add" && nth == 1:
			return refusal(client.Refused, 400, "no")
		case call == "verifier.Stop":
			return noConnection()
		}
		return nil
	}
	_, err := w.tenant(t).Update(context.Background(), UpdateRequest{AddRequest: goodAdd()})
	var report *UndoneError
	if !errors.As(err, &report) || !slices.ContainsFunc(report.Left, func(l Leftover) bool { return strings.Contains(l.What, "was stopped before and is attested now") }) {
		t.Errorf("report %+v", report)
	}
}

// TestInterruptedWhileWaiting ends the context in each of the pauses.
func TestInterruptedWhileWaiting(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		step   Step
		before func(string, int) error
	}{
		"QuoteRetry":  {StepQuote, on("agent.IdentityQuote", 1, noConnection())},
		"DeleteRetry": {StepWaitDeleted, nil},
		"AddRetry":    {StepWaitAdded, on("verifier.Agent", 4, refusal(client.Refused, 503, ""))},
		"KeyRetry":    {StepVerifyKey, on("agent.VerifyKey", 1, noConnection())},
		"Waiting":     {StepWait, nil},
	}
	for event, test := range tests {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			w, r := enrolledWorld(t), goodAdd()
			w.pending, w.before = 1, test.before
			r.VerifyKey, r.WaitAttested = true, true
			tenant := w.tenant(t)
			ctx, cancel := context.WithCancel(context.Background())
			emit := tenant.Emit
			tenant.Emit = func(e Event) {
				if emit(e); eventName(e) == event {
					cancel()
				}
			}
			_, err := tenant.Update(ctx, UpdateRequest{AddRequest: r})
			var step *StepError
			if !errors.Is(err, context.Canceled) || !errors.As(err, &step) || step.Step != test.step {
				t.Errorf("error %v", err)
			}
			if a := w.enrolled[testID]; a == nil || *a.V != "b2xk" {
				t.Errorf("enrolled %v; calls %q", a, w.calls())
			}
		})
	}
}

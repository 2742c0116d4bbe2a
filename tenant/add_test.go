package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// goodAdd is a request that the world of newWorld grants.
func goodAdd() AddRequest {
	return AddRequest{
		ID: testID, VerifierHost: "10.0.0.1", VerifierPort: 8881,
		AcceptHash: []string{"sha512", "sha384", "sha256"}, AcceptEnc: []string{"ecc", "rsa"}, AcceptSign: []string{"ecdsa", "rsassa"},
		Payload: PayloadInput{Plain: &Input{Name: "f.zip", Content: []byte("secret files")}, MaxSize: 1 << 20},
	}
}

func TestAddInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := goodAdd()
	r.VerifyKey, r.WaitAttested = true, true
	w.shows = func(a *verifier.Agent, nth int) {
		if a.State = verifier.GetQuote; nth > 3 {
			a.AttestationCount = 2
		}
	}
	result, err := w.tenant(t).Add(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"> registrar.version", "ServerVersion", "> registrar.Agent", "RegistrarRecord",
		"dial 10.0.0.7:9002 pinned=true", "> agent.version", "AgentVersion", "PolicyMask",
		"> agent.IdentityQuote", "QuoteReceived", "QuoteVerified", "EKVerified", "IdentityProven",
		"> verifier.version", "ServerVersion", "> verifier.Agent",
		"> agent.PostU", "UDelivered", "> verifier.Add", "Enrolled", "> verifier.Agent", "VerifierStatus", "Added",
		"> agent.VerifyKey", "KeyVerified", "Waiting", "> verifier.Agent", "> verifier.Agent", "Attested", "hang up",
	}
	if diff := cmp.Diff(want, w.log); diff != "" {
		t.Errorf("order of calls and events (-want +got):\n%s", diff)
	}
	wantResult := &AddResult{ID: testID, Address: "10.0.0.7:9002", Verifier: "10.0.0.1:8881", State: "Get Quote", Payload: true, KeyVerified: true, EK: EKByCertificate, Attestations: 2}
	if diff := cmp.Diff(wantResult, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	sent := w.posted[0]
	if sent.AKTPM != w.record.AIKTPM || sent.MTLSCert == nil || *sent.MTLSCert != certPEM || sent.SupportedVersion != "2.5" {
		t.Error("the verifier was not sent the AK, certificate and version that were checked")
	}
	if sent.V == nil || *sent.CloudagentIP != agentIP || *sent.CloudagentPort != 9002 || sent.TPMPolicy != `{"mask": "0x0"}` || sent.Metadata != "{}" {
		t.Errorf("unexpected request %+v", sent)
	}
	if text, _ := json.Marshal(result); strings.Contains(string(text), string(*sent.V)) {
		t.Error("the result holds V")
	}
	if text := fmt.Sprintf("%+v %#v %v", w.events, w.events, w.posted); strings.Contains(text, string(*sent.V)) {
		t.Error("events or requests print V")
	}
}

func TestAddInThePushModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disabled := "disabled"
	w.record.MTLSCert, w.record.IP, w.record.Port, w.record.RegCount, w.gone = &disabled, nil, nil, 2, true
	r := goodAdd()
	r.Payload, r.Push = PayloadInput{}, true
	w.shows = func(a *verifier.Agent, _ int) { a.State = verifier.NoState }
	result, err := w.tenant(t).Add(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"registrar.version", "registrar.Agent", "verifier.version", "verifier.Agent", "verifier.Add", "verifier.Agent"}
	if diff := cmp.Diff(want, w.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if w.index("EKVerified") < 0 || w.index("EKVerified") > w.index("> verifier.Add") {
		t.Error("the EK was not verified before the agent was enrolled")
	}
	sent := w.posted[0]
	if sent.V != nil || sent.CloudagentIP != nil || sent.CloudagentPort != nil || sent.SupportedVersion != "2.6" {
		t.Errorf("unexpected request %+v", sent)
	}
	if result.State != "" || !result.Push || result.Payload || result.EK != EKByCertificate {
		t.Errorf("unexpected result %+v", result)
	}
	if !w.warned(WarnRegCount) {
		t.Error("no warning about a second registration")
	}
}

func TestAddToUserAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := goodAdd()
	r.Host, r.Port, r.PolledHost, r.APIVersion = "[2001:db8::1]", 9100, "[2001:db8::2]", "2.2"
	if _, err := w.tenant(t).Add(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if w.index("dial 2001:db8::1:9100 pinned=true") < 0 || slices.Contains(w.calls(), "agent.version") {
		t.Errorf("unexpected calls %q", w.log)
	}
	if sent := w.posted[0]; *sent.CloudagentIP != "2001:db8::2" || *sent.CloudagentPort != 9100 || sent.SupportedVersion != "2.2" {
		t.Errorf("unexpected request %+v", sent)
	}
}

// failure is one thing that goes wrong while an agent is added.
type failure struct {
	name    string
	arrange func(w *world, r *AddRequest, t *Tenant)
	// step and check say how the failure is named.
	step  Step
	check func(err error) bool
	// undone and left are words that the report must have; none: the error is
	// no *UndoneError.
	undone, left string
	// enrolled says that the agent is enrolled afterwards.
	enrolled bool
	// never lists calls that must not have been made.
	never []string
}

func isCheck(check quote.Check) func(error) bool {
	return func(err error) bool {
		var v *quote.VerificationError
		return errors.As(err, &v) && v.Check == check
	}
}

func isEKCheck(check ek.Check) func(error) bool {
	return func(err error) bool {
		var v *ek.VerificationError
		return errors.As(err, &v) && v.Check == check
	}
}

func isInvalid(kind InvalidKind) func(error) bool {
	return func(err error) bool {
		var v *InvalidError
		return errors.As(err, &v) && v.Kind == kind
	}
}

func isKind(kind client.Kind) func(error) bool {
	return func(err error) bool { return client.KindOf(err) == kind }
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isRefused(state, eventID string) func(error) bool {
	return func(err error) bool {
		var v *RefusedError
		return errors.As(err, &v) && v.State == state && v.EventID == eventID
	}
}

// isScript: the script could not be asked, which says nothing about the agent.
func isScript(kind ek.ScriptKind) func(error) bool {
	return func(err error) bool {
		var refused *RefusedError
		var script *ek.ScriptError
		return errors.As(err, &script) && script.Kind == kind && !errors.As(err, &refused) && strings.Contains(err.Error(), script.Path)
	}
}

func fails(hook func(string, int) error) func(*world, *AddRequest, *Tenant) {
	return func(w *world, _ *AddRequest, _ *Tenant) { w.before = hook }
}

// secrets are the calls that carry a share of the key.
var secrets = []string{"agent.PostU", "verifier.Add"}

const agentHoldsU = "the agent holds its share of a key"

func addFailures() []failure {
	badState := func(state verifier.State, event string, from int) func(*verifier.Agent, int) {
		return func(a *verifier.Agent, nth int) {
			if nth >= from {
				a.State, a.LastEventID = state, &event
			}
		}
	}
	return []failure{
		{name: "registrar down", arrange: fails(on("registrar.Agent", 0, noConnection())), step: StepRegistrar, check: isKind(client.Unreachable), never: secrets},
		{name: "registrar speaks no version of ours", arrange: fails(on("registrar.version", 0, &client.NoCommonVersionError{})), step: StepRegistrar,
			check: func(err error) bool { var v *client.NoCommonVersionError; return errors.As(err, &v) }, never: secrets},
		{name: "not registered", arrange: func(w *world, r *AddRequest, _ *Tenant) { r.ID = "another" }, check: is(ErrNotFound), never: secrets},
		{name: "record without AK", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.AIKTPM = "" }, step: StepRegistrar, never: append(secrets, "agent.IdentityQuote")},
		{name: "no address", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.IP = nil }, check: isInvalid(NoContactAddress), never: secrets},
		{name: "no certificate", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.MTLSCert = nil }, check: isInvalid(PlainAgentRefused), never: append(secrets, "agent.version")},
		{name: "TLS switched off by the agent", arrange: func(w *world, _ *AddRequest, _ *Tenant) { *w.record.MTLSCert = "disabled" }, check: isInvalid(PlainAgentRefused), never: append(secrets, "agent.version")},
		{name: "agent cannot be dialled", arrange: func(_ *world, _ *AddRequest, t *Tenant) {
			t.Dial = func(AgentEndpoint) (Agent, Connection, func(), error) { return nil, nil, nil, noConnection() }
		}, step: StepAgentVersion, check: isKind(client.Unreachable), never: secrets},
		{name: "agent refuses our certificate", arrange: fails(on("agent.version", 0, &client.Error{Kind: client.ClientRefused})), step: StepAgentVersion, check: isKind(client.ClientRefused), never: secrets},
		{name: "agent does not answer", arrange: fails(on("agent.IdentityQuote", 0, timedOut())), step: StepQuote, check: isKind(client.TimedOut), never: secrets},
		{name: "agent is overloaded", arrange: fails(on("agent.IdentityQuote", 0, refusal(client.Refused, 503, ""))), step: StepQuote, check: isKind(client.Refused), never: secrets},
		{name: "agent refuses a quote", arrange: fails(on("agent.IdentityQuote", 0, refusal(client.Refused, 500, "Unable to retrieve quote"))), step: StepQuote, check: isKind(client.Refused), never: secrets},
		{name: "wrong nonce", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.quote = func(q *agent.Quote) { q.Quote, _ = w.machine.tpm.QuoteString("another", []int{16}, "sha256") }
		}, step: StepVerifyQuote, check: isCheck(quote.CheckNonce), never: secrets},
		{name: "wrong transport key", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.quote = func(q *agent.Quote) { q.PubKeyPEM += "\n" }
		}, step: StepVerifyQuote, check: isCheck(quote.CheckPCR16Binding), never: secrets},
		{name: "PCR 16 not quoted", arrange: func(w *world, _ *AddRequest, t *Tenant) {
			t.Rand = zeros{}
			w.quote = func(q *agent.Quote) {
				q.Quote, _ = w.machine.tpm.QuoteString(strings.Repeat("A", 20), []int{0}, "sha256")
			}
		}, step: StepVerifyQuote, check: isCheck(quote.CheckPCR16Missing), never: secrets},
		{name: "another TPM", arrange: func(w *world, _ *AddRequest, t *Tenant) {
			t.Rand = zeros{}
			w.quote = func(q *agent.Quote) {
				q.Quote, _ = w.machine.other.QuoteString(strings.Repeat("A", 20), []int{16}, "sha256")
			}
		}, step: StepVerifyQuote, check: isCheck(quote.CheckSignature), never: secrets},
		{name: "AK cannot be read", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.AIKTPM = "!" }, step: StepVerifyQuote, check: isCheck(quote.CheckAK), never: secrets},
		{name: "hash not accepted", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.AcceptHash = []string{"sha512"} }, step: StepVerifyQuote, check: isCheck(quote.CheckAcceptedHash), never: secrets},
		{name: "encryption not accepted", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.AcceptEnc = []string{"rsa"} }, step: StepVerifyQuote, check: isCheck(quote.CheckAcceptedEnc), never: secrets},
		{name: "signature not accepted", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.AcceptSign = []string{"rsassa"} }, step: StepVerifyQuote, check: isCheck(quote.CheckAcceptedSign), never: secrets},
		{name: "EK without certificate", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.EKCert = nil }, step: StepVerifyEK, check: isEKCheck(ek.CheckNoCertificate), never: secrets},
		{name: "EK of an emulator", arrange: func(w *world, _ *AddRequest, _ *Tenant) { e := "emulator"; w.record.EKCert = &e }, step: StepVerifyEK, check: isEKCheck(ek.CheckCertificate), never: secrets},
		{name: "EK certificate is not base64", arrange: func(w *world, _ *AddRequest, _ *Tenant) { e := "!"; w.record.EKCert = &e }, step: StepVerifyEK, check: isEKCheck(ek.CheckCertificate), never: secrets},
		{name: "EK cannot be read", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.EKTPM = "!" }, step: StepVerifyEK, check: isEKCheck(ek.CheckPublic), never: secrets},
		{name: "EK of unknown make", arrange: func(_ *world, _ *AddRequest, t *Tenant) { t.EK.StoreDir = emptyDir }, step: StepVerifyEK, check: isEKCheck(ek.CheckStore), never: secrets},
		{name: "EK certificate of another TPM", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.record.EKTPM = otherEK(w) }, step: StepVerifyEK, check: isEKCheck(ek.CheckKeyMatch), never: secrets},
		{name: "EK certificates have run out", arrange: func(_ *world, _ *AddRequest, t *Tenant) {
			t.Now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
		}, step: StepVerifyEK, check: isEKCheck(ek.CheckDates), never: secrets},
		{name: "EK script missing", arrange: func(_ *world, _ *AddRequest, t *Tenant) { t.EK.Script = "/nowhere/script" }, step: StepVerifyEK, check: isScript(ek.ScriptNotFound), never: secrets},
		{name: "EK script is a device", arrange: func(_ *world, _ *AddRequest, t *Tenant) { t.EK.Script = "/dev/null" }, step: StepVerifyEK, check: isScript(ek.ScriptNotFound), never: secrets},
		{name: "verifier down", arrange: fails(on("verifier.Agent", 1, noConnection())), step: StepEnrol, check: isKind(client.Unreachable), never: secrets},
		{name: "verifier refuses us", arrange: fails(on("verifier.Agent", 1, refusal(client.Unauthorized, 403, "Forbidden"))), step: StepEnrol, check: isKind(client.Unauthorized), never: secrets},
		{name: "verifier of the push model", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.gone = true }, check: isInvalid(PushVerifier), never: secrets},
		{name: "enrolled already", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.enrol(testID, verifier.AddRequest{}) }, step: StepEnrol, check: is(ErrConflict), enrolled: true, never: append(secrets, "verifier.Delete")},
		{name: "agent refuses U", arrange: fails(on("agent.PostU", 0, refusal(client.Refused, 400, "bad"))), step: StepPostU, check: isKind(client.Refused), never: []string{"verifier.Add"}},
		{name: "answer to U is lost", arrange: fails(on("agent.PostU", 0, timedOut())), step: StepPostU, check: isKind(client.TimedOut), left: agentHoldsU, never: []string{"verifier.Add"}},
		{name: "enrolled by another in the meantime", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.before = func(call string, _ int) error {
				if call == "verifier.Add" {
					w.enrol(testID, verifier.AddRequest{})
				}
				return nil
			}
		}, step: StepEnrol, check: is(ErrConflict), left: agentHoldsU, enrolled: true, never: []string{"verifier.Delete"}},
		{name: "verifier refuses the agent", arrange: fails(on("verifier.Add", 0, refusal(client.Refused, 400, "mTLS certificate for agent is required!"))), step: StepEnrol, check: isKind(client.Refused), left: agentHoldsU, never: []string{"verifier.Delete"}},
		{name: "unknown policy name", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.Policies.RuntimeName = "web" }, step: StepEnrol, check: is(ErrNotFound), left: agentHoldsU, never: []string{"verifier.Delete"}},
		{name: "enrolling leaves its empty policy", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.Policies.MeasuredBootName = "boot" }, step: StepEnrol, check: is(ErrNotFound), undone: "runtime policy " + testID, left: agentHoldsU, never: []string{"verifier.Delete"}},
		{name: "answer to enrolling is lost", arrange: func(w *world, _ *AddRequest, _ *Tenant) { w.after = on("verifier.Add", 0, timedOut()) }, step: StepEnrol, check: isKind(client.TimedOut), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "enrolling did not arrive", arrange: fails(on("verifier.Add", 0, timedOut())), step: StepEnrol, check: isKind(client.TimedOut), left: agentHoldsU, never: []string{"verifier.Delete"}},
		{name: "enrolling fails on the server", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.after = on("verifier.Add", 0, refusal(client.Refused, 500, ""))
		}, step: StepEnrol, check: isKind(client.Refused), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "answer is lost, and another has enrolled it", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.before = func(call string, _ int) error {
				if call == "verifier.Add" {
					w.enrol(testID, verifier.AddRequest{})
					return timedOut()
				}
				return nil
			}
		}, step: StepEnrol, check: isKind(client.TimedOut), left: "by somebody else", enrolled: true, never: []string{"verifier.Delete"}},
		{name: "answer is lost, and the verifier with it", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.before = func(call string, nth int) error {
				if call == "verifier.Add" || call == "verifier.Agent" && nth > 1 {
					return timedOut()
				}
				return nil
			}
		}, step: StepEnrol, check: isKind(client.TimedOut), left: "may be enrolled"},
		{name: "never shown", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.before = func(call string, nth int) error {
				if call == "verifier.Agent" && nth > 1 {
					return notFound("agent id not found")
				}
				return nil
			}
		}, step: StepWaitAdded, check: is(ErrTimedOut), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "verifier refuses to show", arrange: fails(on("verifier.Agent", 2, refusal(client.Unauthorized, 401, ""))), step: StepWaitAdded, check: isKind(client.Unauthorized), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "verifier fails, and undoing too", arrange: func(w *world, _ *AddRequest, _ *Tenant) {
			w.before = func(call string, nth int) error {
				if call == "verifier.Agent" && nth > 1 || call == "verifier.Delete" {
					return refusal(client.Refused, 503, "")
				}
				return nil
			}
		}, step: StepWaitAdded, check: is(ErrTimedOut), left: "the agent is enrolled: deleting it", enrolled: true},
		{name: "key not derived", arrange: func(w *world, r *AddRequest, _ *Tenant) { r.VerifyKey, w.withholdV = true, true }, step: StepVerifyKey, check: is(ErrTimedOut), left: "stays enrolled, and its attestation is stopped", enrolled: true, never: []string{"verifier.Delete"}},
		{name: "key not derived, attestation failed", arrange: func(w *world, r *AddRequest, _ *Tenant) {
			r.VerifyKey, w.withholdV, w.shows = true, true, badState(verifier.InvalidQuote, "ima.pcr_mismatch", 3)
		}, step: StepVerifyKey, check: isRefused("Invalid Quote", "ima.pcr_mismatch"), left: "stays enrolled, and its attestation is stopped", enrolled: true, never: []string{"verifier.Delete"}},
		{name: "key not derived, stopping fails", arrange: func(w *world, r *AddRequest, _ *Tenant) {
			r.VerifyKey, w.withholdV, w.before = true, true, on("verifier.Stop", 0, noConnection())
		}, step: StepVerifyKey, check: is(ErrTimedOut), left: "telling the verifier to stop failed", enrolled: true, never: []string{"verifier.Delete"}},
		{name: "agent refuses us when asked for the key", arrange: func(w *world, r *AddRequest, _ *Tenant) {
			r.VerifyKey, w.before = true, on("agent.VerifyKey", 0, &client.Error{Kind: client.ClientRefused, Err: errors.New("alert")})
		}, step: StepVerifyKey, check: isKind(client.ClientRefused), left: "attestation is stopped", enrolled: true},
		{name: "attestation fails", arrange: func(w *world, r *AddRequest, _ *Tenant) {
			r.WaitAttested, w.shows = true, badState(verifier.Failed, "internal.verifier.not_reachable", 4)
		}, step: StepWait, check: isRefused("Failed", "internal.verifier.not_reachable"), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "never attested", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.WaitAttested = true }, step: StepWait, check: is(ErrTimedOut), undone: "deleted from the verifier", left: agentHoldsU},
		{name: "key derived, but never attested", arrange: func(_ *world, r *AddRequest, _ *Tenant) { r.VerifyKey, r.WaitAttested = true, true }, step: StepWait, check: is(ErrTimedOut), undone: "deleted from the verifier", left: "the agent has the payload"},
		{name: "deleted by another while waiting", arrange: func(w *world, r *AddRequest, _ *Tenant) {
			r.WaitAttested = true
			w.before = func(call string, nth int) error {
				if call == "verifier.Agent" && nth == 3 {
					w.forget(testID)
				}
				return nil
			}
		}, step: StepWait, check: isKind(client.NotFound), left: agentHoldsU},
	}
}

func TestAddFailures(t *testing.T) {
	t.Parallel()
	for _, f := range addFailures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), goodAdd()
			tenant := w.tenant(t)
			f.arrange(w, &r, tenant)
			result, err := tenant.Add(context.Background(), r)
			if err == nil || result != nil {
				t.Fatalf("got %v, %v; want a failure and no result", result, err)
			}
			f.hold(t, w, err)
			if (w.enrolled[testID] != nil) != f.enrolled {
				t.Errorf("enrolled afterwards: %t", !f.enrolled)
			}
			if at := w.index("dial 10.0.0.7:9002 pinned=true"); at >= 0 && w.index("hang up") < 0 {
				t.Error("the connection to the agent was not given up")
			}
		})
	}
}

// hold holds an error and the log against what the failure says.
func (f failure) hold(t *testing.T, w *world, err error) {
	t.Helper()
	if f.check != nil && !f.check(err) {
		t.Errorf("error %v (%T) is not the one named", err, err)
	}
	var step *StepError
	if f.step != "" && (!errors.As(err, &step) || step.Step != f.step) {
		t.Errorf("error %v is not of step %q", err, f.step)
	}
	var report *UndoneError
	if errors.As(err, &report) != (f.undone != "" || f.left != "") {
		t.Fatalf("report of undoing: %v", report)
	}
	if report != nil {
		var left []string
		for _, l := range report.Left {
			left = append(left, l.What)
		}
		if got := strings.Join(report.Undone, "; "); !strings.Contains(got, f.undone) || f.undone == "" && got != "" {
			t.Errorf("undone: %q, want %q", got, f.undone)
		}
		if got := strings.Join(left, "; "); !strings.Contains(got, f.left) || f.left == "" && got != "" {
			t.Errorf("left: %q, want %q", got, f.left)
		}
	}
	calls := w.calls()
	for _, call := range f.never {
		if slices.Contains(calls, call) {
			t.Errorf("%s was called", call)
		}
	}
	if text := err.Error(); strings.HasSuffix(text, ".") || strings.Contains(text, "\n") || text == "" {
		t.Errorf("text of the error: %q", text)
	}
	proven := w.index("IdentityProven")
	for _, call := range secrets {
		if at := w.index("> " + call); at >= 0 && (proven < 0 || proven > at) {
			t.Errorf("%s was called before the identity was proven", call)
		}
	}
	if step != nil && (step.Step == StepVerifyQuote || step.Step == StepVerifyEK) && len(step.Nonce) != 20 {
		t.Errorf("the error does not tell the nonce: %q", step.Nonce)
	}
}

// zeros are random numbers that are none.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestAddInterrupted ends the context in the middle of each call of a whole
// run, before and after the call has had its effect.
func TestAddInterrupted(t *testing.T) {
	t.Parallel()
	cause := errors.New("interrupted")
	run := func(t *testing.T, interruptAt int, effect bool) (w *world, calls int, err error) {
		w, r := newWorld(t), goodAdd()
		r.VerifyKey, r.WaitAttested = true, true
		r.Policies.Runtime = &Input{Name: "p.json", Content: []byte(goodRuntime)}
		w.shows = func(a *verifier.Agent, nth int) {
			if nth > 5 {
				a.AttestationCount = 1
			}
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		hook := func(string, int) error {
			if calls++; calls != interruptAt {
				return nil
			}
			cancel(cause)
			return &client.Error{Kind: client.Canceled, Err: context.Canceled}
		}
		if effect {
			w.after = hook
		} else {
			w.before = hook
		}
		_, err = w.tenant(t).Add(ctx, r)
		return w, calls, err
	}
	_, calls, err := run(t, -1, false)
	if err != nil || calls < 12 {
		t.Fatalf("%d calls without an interrupt, then %v", calls, err)
	}
	for _, effect := range []bool{false, true} {
		for at := 1; at <= calls; at++ {
			t.Run(fmt.Sprintf("call %d, effect %t", at, effect), func(t *testing.T) {
				t.Parallel()
				w, _, err := run(t, at, effect)
				if err == nil && effect && at > calls-3 {
					return // the last answers were there all the same
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("error %v does not say that it was interrupted; calls %q", err, w.calls())
				}
				if w.enrolled[testID] != nil {
					t.Errorf("the agent stays enrolled; calls %q", w.calls())
				}
				if len(w.runtime) > 0 {
					t.Errorf("policies stay: %v", w.runtime)
				}
				var report *UndoneError
				if told := errors.As(err, &report); told != slices.Contains(w.calls(), "agent.PostU") {
					t.Errorf("report %v; calls %q", report, w.calls())
				}
			})
		}
	}
}

func TestUndoHasALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant(t)
	tenant.UndoLimit = 20 * time.Millisecond
	tenant.After = nil
	tenant.Retry.Max = 1
	w.before = func(call string, nth int) error {
		if call == "verifier.Agent" && nth > 1 || call == "verifier.Delete" {
			return refusal(client.Refused, 503, "")
		}
		return nil
	}
	_, err := tenant.Add(context.Background(), goodAdd())
	var report *UndoneError
	if !errors.As(err, &report) || len(report.Left) == 0 || !slices.Equal(report.Left[0].Command, []string{"keylime_tenant", "delete", testID}) {
		t.Fatalf("error %v, report %+v", err, report)
	}
}

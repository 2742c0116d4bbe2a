package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	wireagent "github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

const (
	zero = "0000000000000000000000000000000000000000000000000000000000000000"
	ones = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
)

func ptr[T any](v T) *T { return &v }

// boots makes the agent a machine that has booted as recorded.
func (a *fakeAgent) boots(t *testing.T) *string {
	t.Helper()
	boot, err := recorded.Named(recorded.SecureBoot)
	check(t, err)
	log, err := eventlog.Parse(boot.Log)
	check(t, err)
	registers, err := log.Replay("sha256")
	check(t, err)
	check(t, a.tpm.SetPCRs("sha256", registers))
	a.boot.Log = boot.Log
	policy, err := measuredboot.Create(log, measuredboot.CreateOptions{})
	check(t, err)
	return ptr(string(policy.Marshal()))
}

// TestFailures spoils one thing of an agent, or of what it is held against, at
// a time, and wants the very event and state.
func TestFailures(t *testing.T) {
	t.Parallel()
	const bootMask = `{"mask": "0xfbff"}`
	spoiled := func(spoil func(*wireagent.IntegrityQuote)) func(*testing.T, *fakeAgent, *wire.AddRequest) {
		return func(_ *testing.T, a *fakeAgent, _ *wire.AddRequest) { a.spoil = spoil }
	}
	answering := func(path string, code int, body string) func(*testing.T, *fakeAgent, *wire.AddRequest) {
		return func(_ *testing.T, a *fakeAgent, _ *wire.AddRequest) {
			a.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, path) {
					return false
				}
				w.WriteHeader(code)
				fmt.Fprint(w, body)
				return true
			}
		}
	}
	booting := func(change func(a *fakeAgent, r *wire.AddRequest)) func(*testing.T, *fakeAgent, *wire.AddRequest) {
		return func(t *testing.T, a *fakeAgent, r *wire.AddRequest) {
			r.MBPolicy, r.TPMPolicy = a.boots(t), bootMask
			change(a, r)
		}
	}
	for name, c := range map[string]struct {
		event string
		spoil func(*testing.T, *fakeAgent, *wire.AddRequest)
	}{
		"hash not accepted":       {"qoute_validation.invalid_hash_alg", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.AcceptTPMHashAlgs = []string{"sha512"} }},
		"encryption not accepted": {"qoute_validation.invalid_enc_alg", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.AcceptTPMEncryptionAlgs = []string{"rsa"} }},
		"signing not accepted":    {"qoute_validation.invalid_sign_alg", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.AcceptTPMSigningAlgs = []string{"rsassa"} }},
		"no transport key":        {"qoute_validation.no_pubkey", spoiled(func(q *wireagent.IntegrityQuote) { q.PubKeyPEM = "" })},
		"another nonce":           {"qoute_validation.quote_validation", func(_ *testing.T, a *fakeAgent, _ *wire.AddRequest) { a.nonce = "old" }},
		"another AK":              {"qoute_validation.quote_validation", func(t *testing.T, a *fakeAgent, _ *wire.AddRequest) { a.other = newTPM(t) }},
		"part of the list":        {"qoute_validation.invalid_ima_entry_nb", spoiled(func(q *wireagent.IntegrityQuote) { q.IMAEntry = ptr(7) })},
		"another transport key":   {"pcr_validation.invalid_pcr_16", func(_ *testing.T, a *fakeAgent, _ *wire.AddRequest) { a.unbound = true }},
		"PCR 16 not quoted": {"pcr_validation.missing_pcr_16", func(_ *testing.T, a *fakeAgent, r *wire.AddRequest) {
			a.drop, r.TPMPolicy = []int{16}, `{"mask": "0x800000"}`
		}},
		"a value not listed": {"pcr_validation.invalid_pcr_23", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) {
			r.TPMPolicy = `{"23": ["` + ones + `"], "mask": "0x800000"}`
		}},
		"a register not asked": {"pcr_validation.missing_pcrs", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) {
			r.TPMPolicy = `{"23": ["` + zero + `"], "mask": "0x0"}`
		}},
		"PCR 10 without a list": {"pcr_validation.unused_pcr_10", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.TPMPolicy = `{"mask": "0x400"}` }},
		"a list of another machine": {"ima.pcr_mismatch", func(t *testing.T, a *fakeAgent, r *wire.AddRequest) {
			boot, err := recorded.Named(recorded.SecureBoot)
			check(t, err)
			a.boot.IMA, r.TPMPolicy = boot.IMA, `{"mask": "0x400"}`
			check(t, a.tpm.Extend("sha256", 10, make([]byte, 32)))
			r.RuntimePolicy = base64.StdEncoding.EncodeToString([]byte(excludeAll))
		}},
		"no boot log":             {"pcr_validation.unused_pcr_0", booting(func(a *fakeAgent, _ *wire.AddRequest) { a.boot.Log = nil })},
		"a boot log that is none": {"measured_boot.parser.tpm2_eventlog.error", booting(func(a *fakeAgent, _ *wire.AddRequest) { a.boot.Log = []byte("no log") })},
		"a boot log not in base64": {"measured_boot.parser.log.base64decode", booting(func(a *fakeAgent, _ *wire.AddRequest) {
			a.spoil = func(q *wireagent.IntegrityQuote) { q.MBLog = ptr("*") }
		})},
		"a broken log and no policy": {"measured_boot.parser.tpm2_eventlog.error", booting(func(a *fakeAgent, r *wire.AddRequest) { a.boot.Log, r.MBPolicy = []byte("no log"), nil })},
		"a register behind the log": {"measured_boot.invalid_pcr_4", booting(func(a *fakeAgent, _ *wire.AddRequest) {
			check(a.t, a.tpm.SetPCRs("sha256", map[int][]byte{4: make([]byte, 32)}))
		})},
		"a boot register missing":    {"measured_boot.missing_pcrs", booting(func(a *fakeAgent, _ *wire.AddRequest) { a.drop = []int{14} })},
		"a boot register not listed": {"pcr_validation.invalid_pcr_4", booting(func(_ *fakeAgent, r *wire.AddRequest) { r.TPMPolicy = `{"4": ["` + ones + `"], "mask": "0xfbff"}` })},
		"a policy that is no JSON":   {"pcr_validation.invalid_mb_policy", booting(func(_ *fakeAgent, r *wire.AddRequest) { r.MBPolicy = ptr("{") })},
		"a policy that is null":      {"pcr_validation.invalid_mb_policy", booting(func(_ *fakeAgent, r *wire.AddRequest) { r.MBPolicy = ptr("null") })},
		"a policy that is none":      {"measured_boot.policy_example", booting(func(_ *fakeAgent, r *wire.AddRequest) { r.MBPolicy = ptr(`{"pk": 1}`) })},
		"the policy of another boot": {"measured_boot.policy_example", booting(func(_ *fakeAgent, r *wire.AddRequest) {
			r.MBPolicy = ptr(strings.ReplaceAll(*r.MBPolicy, "shim_authcode_sha256\": \"0x", "shim_authcode_sha256\": \"0xff"))
		})},
		"no such route":      {"internal.verifier.no_quote", answering("quotes/integrity", 404, `{"code": 404, "status": "x", "results": {}}`)},
		"an unclear answer":  {"internal.verifier.exception", answering("quotes/integrity", 200, "<html>")},
		"no quote string":    {"internal.verifier.exception", spoiled(func(q *wireagent.IntegrityQuote) { q.Quote.Quote = "x:y:z" })},
		"always 500":         {"internal.verifier.not_reachable", answering("quotes/integrity", 500, `{"code": 500, "status": "x", "results": {}}`)},
		"V refused":          {"internal.verifier.no_v", answering("keys/vkey", 400, `{"code": 400, "status": "x", "results": {}}`)},
		"V always 500":       {"internal.verifier.not_reachable_v", answering("keys/vkey", 500, `{"code": 500, "status": "x", "results": {}}`)},
		"no mask":            {"internal.verifier.exception", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.TPMPolicy = "{}" }},
		"no policy at all":   {"internal.verifier.exception", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.TPMPolicy = "x" }},
		"an AK not base64":   {"internal.verifier.exception", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.AKTPM = "*" }},
		"an AK that is none": {"internal.verifier.exception", func(_ *testing.T, _ *fakeAgent, r *wire.AddRequest) { r.AKTPM = "AAAA" }},
		"another certificate": {"internal.verifier.not_reachable", func(t *testing.T, _ *fakeAgent, r *wire.AddRequest) {
			r.MTLSCert = &newFakeAgent(t).certPEM
		}},
		"no version in common": {"internal.verifier.version_not_supported", func(_ *testing.T, a *fakeAgent, _ *wire.AddRequest) { a.version = "9.9" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a := newWorld(t, nil), newFakeAgent(t)
			request := a.enrol()
			a.with(func(a *fakeAgent) { c.spoil(t, a, &request) })
			w.want(200, "Success", "POST", path("a"), request)
			r := w.until("a", failed)
			state := wire.InvalidQuote
			if strings.HasPrefix(c.event, "internal.") {
				state = wire.Failed
			}
			if r.OperationalState != state || *r.LastEventID != c.event || *r.SeverityLevel != 6 || r.AttestationStatus != "FAIL" {
				t.Errorf("state %s, event %s, severity %d, %s", r.OperationalState, *r.LastEventID, *r.SeverityLevel, r.AttestationStatus)
			}
			if got := a.seen(func(a *fakeAgent) []string { return a.received }); len(got) > 0 {
				t.Error("V was released")
			}
		})
	}
}

// excludeAll is a runtime policy that judges no file.
const excludeAll = `{"meta": {"version": 1, "generator": 2}, "release": 0, "digests": {}, "excludes": [".*"], "keyrings": {},
 "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`

func TestGoodAgent(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	request := a.enrol()
	a.with(func(a *fakeAgent) {
		request.MBPolicy, request.TPMPolicy = a.boots(t), `{"23": ["`+zero+`"], "mask": "0x80fbff"}`
	})
	w.want(200, "Success", "POST", path("a"), request)
	r := w.attested("a", 3)
	if r.LastEventID != nil || r.SeverityLevel != nil || r.HashAlg != "sha256" || r.EncAlg != "ecc256" || r.SignAlg != "ecdsa" ||
		r.HasMBRefstate != 1 || r.HasRuntimePolicy != 0 || r.LastSuccessfulAttestation == 0 || r.AttestationPeriod != "1s" {
		t.Errorf("record %+v", r)
	}
	received := func() []string { return a.seen(func(a *fakeAgent) []string { return a.received }) }
	if got := received(); len(got) != 1 || got[0] != string(*request.V) {
		t.Errorf("V came %d times", len(got))
	}
	if masks := a.seen(func(a *fakeAgent) []string { return a.masks }); masks[0] != "0x80fbff" {
		t.Errorf("asked for %q", masks[0])
	}
	// An agent that comes back with another transport key gets V again.
	nk, err := softtpm.NewTransportKey()
	check(t, err)
	down := true
	a.with(func(a *fakeAgent) {
		a.nk = nk
		a.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			if was := down; was {
				down = false
				say(w, 500, "away", struct{}{})
				return true
			}
			return false
		}
	})
	eventually(t, "V came again", func() bool { return len(received()) == 2 })
}

func TestVersionGoesUpOnly(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	a.with(func(a *fakeAgent) { a.version = "2.3" })
	request := a.enrol()
	request.SupportedVersion = "2.2"
	w.want(200, "Success", "POST", path("a"), request)
	w.attested("a", 1)
	a.with(func(a *fakeAgent) { a.version = "2.5" })
	w.attested("a", w.record("a").AttestationCount+2)
	a.with(func(a *fakeAgent) { a.version = "2.4" })
	if r := w.until("a", failed); *r.LastEventID != "internal.verifier.version_not_supported" {
		t.Errorf("event %s", *r.LastEventID)
	}
}

// TestNotices: all agents are told that one has failed.
func TestNotices(t *testing.T) {
	t.Parallel()
	w, bad, good := newWorld(t, nil), newFakeAgent(t), newFakeAgent(t)
	w.want(200, "Success", "POST", path("good"), good.enrol())
	w.want(200, "Success", "POST", path("bad"), bad.enrol())
	w.attested("bad", 1)
	w.attested("good", 1)
	bad.with(func(a *fakeAgent) { a.nonce = "old" })
	for name, a := range map[string]*fakeAgent{"bad": bad, "good": good} {
		notices := func() []string { return a.seen(func(a *fakeAgent) []string { return a.notices }) }
		eventually(t, name+" is told", func() bool { return len(notices()) > 0 })
		var n struct{ Type, AgentID, EventID string }
		check(t, json.Unmarshal([]byte(strings.NewReplacer("agent_id", "agentid", "event_id", "eventid").Replace(notices()[0])), &n))
		if n.Type != "revocation" || n.AgentID != "bad" || n.EventID != "qoute_validation.quote_validation" {
			t.Errorf("notice %+v", n)
		}
	}
}

func TestStopReactivateDelete(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	w.want(200, "Success", "POST", path("a"), a.enrol())
	w.attested("a", 1)
	w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	w.attested("a", w.record("a").AttestationCount+1)
	w.want(200, "Success", "PUT", path("a", "/stop"), nil)
	stopped := w.record("a")
	if stopped.OperationalState != wire.TenantQuoteFailed || stopped.AttestationStatus != "FAIL" {
		t.Errorf("stopped: %s, %s", stopped.OperationalState, stopped.AttestationStatus)
	}
	// As with upstream, reactivating after a stop says yes and does nothing.
	w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	if r := w.record("a"); r.OperationalState != wire.TenantQuoteFailed {
		t.Errorf("reactivated after a stop: %s", r.OperationalState)
	}
	w.want(200, "Success", "DELETE", path("a"), nil)
	w.want(404, "agent id not found", "DELETE", path("a"), nil)

	// From a failure it works.
	a.with(func(a *fakeAgent) { a.nonce = "old" })
	w.want(200, "Success", "POST", path("a"), a.enrol())
	w.until("a", failed)
	a.with(func(a *fakeAgent) { a.nonce = "" })
	w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	if r := w.attested("a", 1); r.LastEventID == nil {
		t.Error("the old event is gone")
	}
	// While the agent is being asked, deletion is accepted and done afterwards.
	entered, release := make(chan bool), make(chan bool)
	a.with(func(a *fakeAgent) {
		a.answer = func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/quotes/") {
				return false // the notice of the failure before may still come
			}
			close(entered)
			<-release
			panic(http.ErrAbortHandler)
		}
	})
	<-entered
	w.want(202, "Accepted", "DELETE", path("a"), nil)
	close(release)
	eventually(t, "deleted", func() bool { return w.call("GET", path("a"), nil).HTTP == 404 })
}

func TestStateIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "verifier.json")
	a := newFakeAgent(t)
	keep := func(o *verifier.Options) { o.StateFile = file }
	count := 0
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, keep)
		w.want(200, "Success", "POST", path("a"), a.enrol())
		w.want(201, "Created", "POST", "/v2.6/mbpolicies/m", wire.MBPolicyRequest{MBPolicy: ptr("{}")})
		count = w.attested("a", 1).AttestationCount
	})
	t.Run("after", func(t *testing.T) {
		w := newWorld(t, keep)
		w.want(200, "Success", "GET", "/v2.6/mbpolicies/m", nil)
		w.attested("a", count+1)
	})
}

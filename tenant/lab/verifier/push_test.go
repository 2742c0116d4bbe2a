package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wireagent "github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

// hands is a clock that is set by hand.
type hands struct {
	mu  sync.Mutex
	now time.Time
}

func (c *hands) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *hands) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// visitor is an agent that attests itself, and what may be wrong with that.
type visitor struct {
	w     *world
	clock *hands
	tpm   *softtpm.TPM
	key   string
	list  []byte
}

func newVisitor(t *testing.T, change func(*verifier.Options)) *visitor {
	t.Helper()
	v := &visitor{clock: &hands{now: time.Unix(1_700_000_000, 0)}, tpm: newTPM(t)}
	v.w = newWorld(t, func(o *verifier.Options) {
		o.Push, o.Interval, o.Now = true, 2*time.Second, v.clock.Now
		if change != nil {
			change(o)
		}
	})
	nk, err := sharedNK()
	check(t, err)
	v.key, err = softtpm.TransportKeyPEM(&nk.PublicKey)
	check(t, err)
	check(t, v.tpm.BindTransportKey(v.key))
	return v
}

// request is the body with which a tenant adds it.
func (v *visitor) request() wire.AddRequest {
	host, port, cert := "127.0.0.1", wire.Port(9002), "disabled"
	return wire.AddRequest{CloudagentIP: &host, CloudagentPort: &port, TPMPolicy: `{"mask": "0x0"}`, Metadata: "{}",
		AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"ecc"}, AcceptTPMSigningAlgs: []string{"ecdsa"},
		AKTPM: base64.StdEncoding.EncodeToString(v.tpm.AKPublic()), MTLSCert: &cert, SupportedVersion: "2.6"}
}

func (v *visitor) add(change func(*wire.AddRequest)) {
	v.w.t.Helper()
	r := v.request()
	if change != nil {
		change(&r)
	}
	v.w.want(200, "Success", "POST", path("a"), r)
}

// show makes the evidence for a challenge.
func (v *visitor) show(r wireagent.IntegrityRequest) *wireagent.IntegrityQuote {
	v.w.t.Helper()
	mask, err := strconv.ParseUint(strings.TrimPrefix(r.Mask, "0x"), 16, 32)
	check(v.w.t, err)
	registers := []int{16}
	for n := range 16 {
		if mask&(1<<n) != 0 {
			registers = append(registers, n)
		}
	}
	slices.Sort(registers)
	text, err := v.tpm.QuoteString(r.Nonce, registers, "sha256")
	check(v.w.t, err)
	q := &wireagent.IntegrityQuote{Quote: wireagent.Quote{Quote: text, HashAlg: "sha256", EncAlg: "ecc256", SignAlg: "ecdsa", PubKeyPEM: v.key}}
	if v.list != nil {
		lines := strings.SplitAfter(string(v.list), "\n")
		list, entry := strings.Join(lines[min(r.IMAEntry, len(lines)-1):], ""), r.IMAEntry
		q.IMAList, q.IMAEntry = &list, &entry
	}
	return q
}

// attest attests the agent once; spoil may change what it shows.
func (v *visitor) attest(spoil func(*wireagent.IntegrityQuote)) error {
	v.w.t.Helper()
	r, err := v.w.server.Challenge("a")
	check(v.w.t, err)
	q := v.show(r)
	if spoil != nil {
		spoil(q)
	}
	return v.w.server.Attest(v.w.t.Context(), "a", q)
}

// status wants a word of the verifier and a number of good attestations.
func (v *visitor) status(word string, count int) wire.Record {
	v.w.t.Helper()
	r := v.w.record("a")
	if r.AttestationStatus != word || r.AttestationCount != count {
		v.w.t.Errorf("%s after %d good attestations, want %s after %d", r.AttestationStatus, r.AttestationCount, word, count)
	}
	return r
}

// replay answers another challenge than it was given.
func (v *visitor) replay(q *wireagent.IntegrityQuote) {
	*q = *v.show(wireagent.IntegrityRequest{Nonce: "anothernonce", Mask: "0x0"})
}

// TestPushVersion: a verifier in push mode has no list of versions (PROTOCOL.md
// 2.2), and serves API 2 all the same.
func TestPushVersion(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	for _, path := range []string{"/version", "/versions"} {
		a := v.w.want(410, "Gone", "GET", path, nil)
		if a.body != "{\n    \"code\": 410,\n    \"status\": \"Gone\",\n    \"results\": {}\n}" {
			t.Errorf("%q", a.body)
		}
	}
	v.w.want(200, "Success", "GET", "/v2.6/agents/", nil)
}

// TestPushRecord holds the record against that of a real verifier (golden case
// 727): no address, the state of an agent that is asked, and no algorithms.
func TestPushRecord(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	r := v.status("PENDING", 0)
	if r.IP != nil || r.Port != nil || r.OperationalState != wire.GetQuote || r.AttestationPeriod != "2s" || r.MaximumAttestationInterval != "10s" {
		t.Errorf("%+v", r)
	}
	check(t, v.attest(nil))
	r = v.status("PASS", 1)
	if r.HashAlg != "" || r.EncAlg != "" || r.SignAlg != "" || r.LastReceivedQuote != v.clock.Now().Unix() || r.LastSuccessfulAttestation != r.LastReceivedQuote {
		t.Errorf("%+v", r)
	}
	a := v.w.call("GET", path("a"), nil)
	if !strings.HasPrefix(string(a.Results), `{"operational_state": 3, "v": null, "ip": null, "port": null, `) {
		t.Errorf("%s", a.Results)
	}
	v.w.want(200, "Success", "DELETE", path("a"), nil)
	v.w.want(404, "agent id not found", "DELETE", path("a"), nil)
	if _, err := v.w.server.Challenge("a"); !errors.Is(err, verifier.ErrNotEnrolled) {
		t.Error(err)
	}
}

// TestPushStatus walks through the rules of PROTOCOL.md 4.2 and 4.5.
func TestPushStatus(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	v.clock.forward(time.Hour)
	v.status("PENDING", 0) // who never came is not late
	check(t, v.attest(nil))
	v.clock.forward(10 * time.Second)
	v.status("PASS", 1)
	v.clock.forward(time.Second)
	v.status("TIMEOUT", 1)
	check(t, v.attest(nil)) // it comes again
	v.status("PASS", 2)
	v.clock.forward(11 * time.Second)
	v.status("TIMEOUT", 2)
	v.w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	v.clock.forward(time.Hour)
	v.status("PASS", 2) // as upstream: until it comes, nobody looks at the clock
	check(t, v.attest(nil))
	v.clock.forward(11 * time.Second)
	v.status("TIMEOUT", 3)

	if err := v.attest(v.replay); !errors.Is(err, verifier.ErrRefused) {
		t.Fatal(err)
	}
	r := v.status("FAIL", 3)
	if r.LastEventID != nil || r.SeverityLevel != nil || r.LastReceivedQuote == r.LastSuccessfulAttestation {
		t.Errorf("%+v", r)
	}
	v.clock.forward(11 * time.Second)
	v.status("FAIL", 3) // late too, but FAIL counts
	check(t, v.attest(nil))
	v.status("FAIL", 4) // no way back
	v.w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	v.status("FAIL", 4)
	v.w.want(200, "Success", "DELETE", path("a"), nil)
	v.add(nil)
	check(t, v.attest(nil))
	v.status("PASS", 1)
	v.w.want(200, "Success", "PUT", path("a", "/stop"), nil)
	if r := v.status("PASS", 1); r.OperationalState != wire.TenantQuoteFailed {
		t.Errorf("%+v", r)
	}
	check(t, v.attest(nil)) // which does not keep it from coming
	v.status("PASS", 2)
}

// TestPushJudgement: evidence is judged by the same rules as when it is asked
// for.
func TestPushJudgement(t *testing.T) {
	t.Parallel()
	boot, err := recorded.Load("../../../testdata/evidence/sb-on")
	check(t, err)
	good, err := os.ReadFile("../../../testdata/golden/fixtures/rp-good.json")
	check(t, err)
	for _, test := range []struct {
		name  string
		add   func(*wire.AddRequest)
		list  []byte
		spoil func(*visitor, *wireagent.IntegrityQuote)
		event string
	}{
		{name: "nonce", spoil: (*visitor).replay, event: "check \\\"nonce\\\""},
		{name: "transport key", spoil: func(_ *visitor, q *wireagent.IntegrityQuote) { q.PubKeyPEM = "another" }, event: "pcr_validation.invalid_pcr_16"},
		{name: "no transport key", spoil: func(_ *visitor, q *wireagent.IntegrityQuote) { q.PubKeyPEM = "" }, event: "qoute_validation.no_pubkey"},
		{name: "hash", add: func(r *wire.AddRequest) { r.AcceptTPMHashAlgs = []string{"sha512"} }, event: "qoute_validation.invalid_hash_alg"},
		{name: "register", add: func(r *wire.AddRequest) {
			r.TPMPolicy = `{"15": ["` + strings.Repeat("ab", 32) + `"], "mask": "0x8000"}`
		}, event: "pcr_validation.invalid_pcr_15"},
		{name: "no mask", add: func(r *wire.AddRequest) { r.TPMPolicy = `{}` }, event: "there is no mask"},
		{name: "IMA list", add: func(r *wire.AddRequest) {
			r.TPMPolicy, r.RuntimePolicy = `{"mask": "0x400"}`, base64.StdEncoding.EncodeToString(good)
		}, list: boot.IMA, event: "ima.pcr_mismatch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, nil)
			if v.list = test.list; v.list != nil {
				check(t, v.tpm.Extend("sha256", 10, make([]byte, 32)))
			}
			v.add(test.add)
			r, err := v.w.server.Challenge("a")
			if err == nil {
				q := v.show(r)
				if test.spoil != nil {
					test.spoil(v, q)
				}
				err = v.w.server.Attest(t.Context(), "a", q)
			}
			if !errors.Is(err, verifier.ErrRefused) || !strings.Contains(err.Error(), test.event) {
				t.Errorf("%v, want %s", err, test.event)
			}
			v.status("FAIL", 0)
		})
	}
}

// TestPushNewPolicy: a policy that changes while the agent is enrolled counts
// from the next attestation on.
func TestPushNewPolicy(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	refuses := `{"scrtm_and_bios": [], "pk": [], "kek": [], "db": [], "dbx": [], "vendor_db": [], "kernels": []}`
	empty := "{}"
	v.w.want(201, "Created", "POST", "/v2.6/mbpolicies/boot", wire.MBPolicyRequest{MBPolicy: &empty})
	v.add(func(r *wire.AddRequest) { r.MBPolicyName = "boot" })
	check(t, v.attest(nil))
	v.w.want(201, "Created", "PUT", "/v2.6/mbpolicies/boot", wire.MBPolicyRequest{MBPolicy: &refuses})
	if err := v.attest(nil); !errors.Is(err, verifier.ErrRefused) || !strings.Contains(err.Error(), "measured_boot.") {
		t.Errorf("%v", err)
	}
}

// TestPushOrder: evidence counts once, and only if it was asked for.
func TestPushOrder(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	if err := v.w.server.Attest(t.Context(), "a", &wireagent.IntegrityQuote{}); !errors.Is(err, verifier.ErrNotEnrolled) {
		t.Error(err)
	}
	v.add(nil)
	if err := v.w.server.Attest(t.Context(), "a", &wireagent.IntegrityQuote{}); !errors.Is(err, verifier.ErrNoChallenge) {
		t.Error(err)
	}
	first, err := v.w.server.Challenge("a")
	check(t, err)
	old := v.show(first)
	second, err := v.w.server.Challenge("a")
	check(t, err)
	check(t, v.w.server.Attest(t.Context(), "a", v.show(second)))
	if err := v.w.server.Attest(t.Context(), "a", old); !errors.Is(err, verifier.ErrNoChallenge) {
		t.Error(err)
	}
	_, err = v.w.server.Challenge("a")
	check(t, err)
	if err := v.w.server.Attest(t.Context(), "a", old); !errors.Is(err, verifier.ErrRefused) {
		t.Errorf("an old quote: %v", err)
	}
}

// TestPushState: what is known of an agent outlives the verifier, and one of
// the push model is never polled.
func TestPushState(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	keep := func(o *verifier.Options) { o.StateFile = file }
	v := newVisitor(t, keep)
	v.add(nil)
	check(t, v.attest(nil))
	check(t, v.w.server.Close())
	text, err := os.ReadFile(file)
	check(t, err)
	if !json.Valid(text) || !strings.Contains(string(text), `"accept_attestations": true`) {
		t.Errorf("%s", text)
	}
	for _, push := range []bool{true, false} {
		again := newVisitor(t, func(o *verifier.Options) { keep(o); o.Push = push })
		again.tpm, again.clock.now = v.tpm, v.clock.now.Add(11*time.Second)
		again.status("TIMEOUT", 1)
		check(t, again.w.server.Close())
	}
}

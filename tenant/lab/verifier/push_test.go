package verifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	// certifier proves possession; another TPM's AK does not do.
	certifier *softtpm.TPM
	list      []byte
	log       []byte
	booted    time.Time
	// offer may change what it says that it can show.
	offer func(*wire.Offer)

	mu    sync.Mutex
	lines []string
}

func newVisitor(t *testing.T, change func(*verifier.Options)) *visitor {
	t.Helper()
	v := &visitor{clock: &hands{now: time.Unix(1_700_000_000, 0)}, tpm: newTPM(t), booted: time.Unix(1_600_000_000, 0)}
	v.certifier = v.tpm
	v.w = newWorld(t, func(o *verifier.Options) {
		o.Push, o.Interval, o.Now = true, 2*time.Second, v.clock.Now
		o.Log = func(line string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.lines = append(v.lines, line)
		}
		if change != nil {
			change(o)
		}
	})
	return v
}

// logged says that a line with a text was logged.
func (v *visitor) logged(text string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.lines, func(line string) bool { return strings.Contains(line, text) })
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

// said is an answer of API 3.
type said struct {
	code   int
	header http.Header
	body   wire.Body
	text   string
}

// call sends a resource as an agent does, without a certificate.
func (v *visitor) call(method, path, token, kind string, attributes any) said {
	v.w.t.Helper()
	document, err := wire.NewBody(kind, "", attributes)
	check(v.w.t, err)
	text, err := json.Marshal(document)
	check(v.w.t, err)
	return v.send(method, path, token, text)
}

func (v *visitor) send(method, path, token string, text []byte) said {
	v.w.t.Helper()
	r := httptest.NewRequest(method, "/v3.0"+path, bytes.NewReader(text))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	rec := httptest.NewRecorder()
	v.w.server.Handler(true).ServeHTTP(rec, r)
	a := said{code: rec.Code, header: rec.Header(), text: rec.Body.String()}
	if rec.Code < 300 {
		check(v.w.t, json.Unmarshal(rec.Body.Bytes(), &a.body))
	}
	return a
}

// open asks for a session.
func (v *visitor) open() (id string, challenge []byte) {
	v.w.t.Helper()
	a := v.call("POST", "/sessions", "", wire.ResourceSession, wire.SessionRequest{AgentID: "a", Supported: []wire.Authentication{{Class: "pop", Type: "tpm_pop"}}})
	var s wire.SessionRecord
	check(v.w.t, a.body.Read(wire.ResourceSession, &s))
	challenge, err := base64.StdEncoding.DecodeString(s.Requested[0].Chosen.Challenge)
	check(v.w.t, err)
	return a.body.Data.ID, challenge
}

// prove proves possession in a session.
func (v *visitor) prove(id string, challenge []byte) said {
	v.w.t.Helper()
	attest, signature, err := v.certifier.CertifyAK(challenge)
	check(v.w.t, err)
	return v.call("PATCH", "/sessions/"+id, "", wire.ResourceSession, wire.SessionRequest{AgentID: "a", Provided: []wire.Authentication{{Class: "pop", Type: "tpm_pop",
		Data: &wire.EvidenceData{Message: base64.StdEncoding.EncodeToString(attest), Signature: base64.StdEncoding.EncodeToString(signature)}}}})
}

// token is the header of a new session.
func (v *visitor) token() string {
	v.w.t.Helper()
	id, challenge := v.open()
	var s wire.SessionRecord
	a := v.prove(id, challenge)
	check(v.w.t, a.body.Read(wire.ResourceSession, &s))
	if a.code != 200 || s.Evaluation != "pass" || !strings.HasPrefix(string(s.Token), id+".") {
		v.w.t.Fatalf("%d %s", a.code, a.text)
	}
	return "Bearer " + string(s.Token)
}

// capabilities are what it can show.
func (v *visitor) capabilities() wire.Offer {
	all := make([]int, 24)
	for n := range all {
		all[n] = n
	}
	no, yes, n := false, true, strings.Count(string(v.list), "\n")
	o := wire.Offer{SystemInfo: wire.SystemInfo{BootTime: &v.booted}, Supported: []wire.Evidence{{Class: "certification", Type: "tpm_quote", Capabilities: &wire.Capabilities{
		ComponentVersion: "2.0", SignatureSchemes: []string{"ecdsa"}, HashAlgorithms: []string{"sha1", "sha256"}, AvailableSubjects: wire.Subjects{"sha1": all, "sha256": all},
		CertificationKeys: []wire.CertificationKey{{KeyClass: "asymmetric", KeyAlgorithm: "ecc", KeySize: 256, ServerIdentifier: "ak", AllowedHashes: []string{"sha256"}}}}}}}
	if v.log != nil {
		o.Supported = append(o.Supported, wire.Evidence{Class: "log", Type: "uefi_log", Capabilities: &wire.Capabilities{SupportsPartialAccess: &no, Appendable: &no, Formats: []string{wire.FormatBinary}}})
	}
	if v.list != nil {
		o.Supported = append(o.Supported, wire.Evidence{Class: "log", Type: "ima_log", Capabilities: &wire.Capabilities{EntryCount: &n, SupportsPartialAccess: &yes, Appendable: &yes, Formats: []string{wire.FormatText}}})
	}
	if v.offer != nil {
		v.offer(&o)
	}
	return o
}

const ofAgent = "/agents/a/attestations"

func (v *visitor) begin(token string) said {
	v.w.t.Helper()
	return v.call("POST", ofAgent, token, wire.ResourceAttestation, v.capabilities())
}

// shows makes the evidence that an answer asks for.
func (v *visitor) shows(a said) []wire.Evidence {
	v.w.t.Helper()
	var asked wire.AttestationRecord
	check(v.w.t, a.body.Read(wire.ResourceAttestation, &asked))
	b64 := base64.StdEncoding.EncodeToString
	var items []wire.Evidence
	for _, r := range asked.Requested {
		item := wire.Evidence{Class: r.Class, Type: r.Type}
		switch r.Type {
		case wire.TypeTPMQuote:
			nonce, err := base64.StdEncoding.DecodeString(r.Chosen.Challenge)
			check(v.w.t, err)
			attest, signature, blob, err := v.tpm.Quote(nonce, r.Chosen.SelectedSubjects["sha256"], "sha256")
			check(v.w.t, err)
			item.Data = &wire.EvidenceData{Message: b64(attest), Signature: b64(signature), SubjectData: wire.Blob(b64(blob))}
		case wire.TypeUEFILog:
			text := b64(v.log)
			item.Data = &wire.EvidenceData{Entries: &text}
		case wire.TypeIMALog:
			text := strings.Join(strings.SplitAfter(string(v.list), "\n")[*r.Chosen.StartingOffset:], "")
			item.Data = &wire.EvidenceData{Entries: &text}
		}
		items = append(items, item)
	}
	return items
}

func (v *visitor) show(token, which string, items []wire.Evidence) said {
	v.w.t.Helper()
	return v.call("PATCH", ofAgent+"/"+which, token, wire.ResourceAttestation, wire.Collected{Collected: items})
}

// attest attests the agent once, and tells what the verifier thinks of it; spoil
// may change what it shows.
func (v *visitor) attest(spoil func([]wire.Evidence)) string {
	v.w.t.Helper()
	token := v.token()
	a := v.begin(token)
	if a.code != 201 {
		v.w.t.Fatalf("%d %s", a.code, a.text)
	}
	items := v.shows(a)
	if spoil != nil {
		spoil(items)
	}
	if a = v.show(token, "latest", items); a.code != 202 {
		v.w.t.Fatalf("%d %s", a.code, a.text)
	}
	evaluation := ""
	eventually(v.w.t, "judged", func() bool {
		latest := v.latest()
		evaluation = latest.Evaluation
		return latest.Stage == wire.StageComplete
	})
	v.clock.forward(2 * time.Second)
	return evaluation
}

// good and bad attest it once, and want to see it accepted or refused.
func (v *visitor) good() {
	v.w.t.Helper()
	if e := v.attest(nil); e != "pass" {
		v.w.t.Fatalf("%s %q", e, v.lines)
	}
}

func (v *visitor) bad(spoil func([]wire.Evidence)) {
	v.w.t.Helper()
	if e := v.attest(spoil); e != "fail" {
		v.w.t.Fatal(e)
	}
}

// latest is what an administrator is told of the last attestation.
func (v *visitor) latest() wire.AttestationRecord {
	v.w.t.Helper()
	a := v.asAdmin(ofAgent + "/latest")
	var record wire.AttestationRecord
	check(v.w.t, a.body.Read(wire.ResourceAttestation, &record))
	return record
}

func (v *visitor) asAdmin(path string) said {
	v.w.t.Helper()
	r := httptest.NewRequest("GET", "/v3.0"+path, nil)
	rec := httptest.NewRecorder()
	v.w.handler.ServeHTTP(rec, r)
	a := said{code: rec.Code, text: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.body) // a list is read by who asks for it
	return a
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

// replay shows a quote for another challenge.
func (v *visitor) replay(items []wire.Evidence) {
	b64 := base64.StdEncoding.EncodeToString
	attest, signature, blob, err := v.tpm.Quote([]byte("another challenge"), []int{16}, "sha256")
	check(v.w.t, err)
	items[0].Data = &wire.EvidenceData{Message: b64(attest), Signature: b64(signature), SubjectData: wire.Blob(b64(blob))}
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
	v.good()
	r = v.status("PASS", 1)
	if r.HashAlg != "" || r.EncAlg != "" || r.SignAlg != "" || r.LastReceivedQuote != 1_700_000_000 || r.LastSuccessfulAttestation != r.LastReceivedQuote {
		t.Errorf("%+v", r)
	}
	a := v.w.call("GET", path("a"), nil)
	if !strings.HasPrefix(string(a.Results), `{"operational_state": 3, "v": null, "ip": null, "port": null, `) {
		t.Errorf("%s", a.Results)
	}
	token := v.token()
	v.w.want(200, "Success", "DELETE", path("a"), nil)
	v.w.want(404, "agent id not found", "DELETE", path("a"), nil)
	if a := v.begin(token); a.code != 404 || !strings.Contains(a.text, "No enrolled agent with ID 'a'.") {
		t.Error(a)
	}
}

// TestPushStatus walks through the rules of PROTOCOL.md 4.2 and 4.5.
func TestPushStatus(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	v.clock.forward(time.Hour)
	v.status("PENDING", 0) // who never came is not late
	v.good()               // and two seconds pass
	v.clock.forward(8 * time.Second)
	v.status("PASS", 1)
	v.clock.forward(time.Second)
	v.status("TIMEOUT", 1)
	v.good() // it comes again
	v.status("PASS", 2)
	v.clock.forward(11 * time.Second)
	v.status("TIMEOUT", 2)
	v.w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	v.clock.forward(time.Hour)
	v.status("PASS", 2) // as upstream: until it comes, nobody looks at the clock
	v.good()
	v.clock.forward(11 * time.Second)
	v.status("TIMEOUT", 3)

	v.bad(v.replay)
	r := v.status("FAIL", 3)
	if r.LastEventID != nil || r.SeverityLevel != nil || r.LastReceivedQuote == r.LastSuccessfulAttestation {
		t.Errorf("%+v", r)
	}
	v.clock.forward(11 * time.Second)
	v.status("FAIL", 3) // late too, but FAIL counts
	v.good()
	v.status("FAIL", 4) // no way back
	v.w.want(200, "Success", "PUT", path("a", "/reactivate"), nil)
	v.status("FAIL", 4)
	v.w.want(200, "Success", "DELETE", path("a"), nil)
	v.add(nil)
	v.good()
	v.status("PASS", 1)
	v.w.want(200, "Success", "PUT", path("a", "/stop"), nil)
	if r := v.status("PASS", 1); r.OperationalState != wire.TenantQuoteFailed {
		t.Errorf("%+v", r)
	}
	v.good() // which does not keep it from coming
	v.status("PASS", 2)
}

// TestPushJudgement: evidence is judged by the same rules as when it is asked
// for; one thing is spoilt each time.
func TestPushJudgement(t *testing.T) {
	t.Parallel()
	boot, err := recorded.Load("../../../testdata/evidence/sb-on")
	check(t, err)
	good, err := os.ReadFile("../../../testdata/golden/fixtures/rp-good.json")
	check(t, err)
	files := func(r *wire.AddRequest) { r.RuntimePolicy = base64.StdEncoding.EncodeToString(good) }
	flip := func(text string) string {
		raw, _ := base64.StdEncoding.DecodeString(text)
		raw[len(raw)-1] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	empty := "{}"
	refuses := `{"scrtm_and_bios": [], "pk": [], "kek": [], "db": [], "dbx": [], "vendor_db": [], "kernels": []}`
	for _, test := range []struct {
		name  string
		add   func(*wire.AddRequest)
		boot  recorded.Boot
		spoil func(*visitor, []wire.Evidence)
		event string
	}{
		{name: "nonce", spoil: (*visitor).replay, event: "check \\\"nonce\\\""},
		{name: "signature", spoil: func(_ *visitor, items []wire.Evidence) { items[0].Data.Signature = flip(items[0].Data.Signature) }, event: "check \\\"signature\\\""},
		{name: "attestation", spoil: func(_ *visitor, items []wire.Evidence) { items[0].Data.Message = flip(items[0].Data.Message) }, event: "check \\\"signature\\\""},
		{name: "AK", spoil: func(v *visitor, items []wire.Evidence) {
			v.tpm = newTPM(v.w.t)
			v.replay(items)
		}, event: "check \\\"signature\\\""},
		{name: "register", add: func(r *wire.AddRequest) { r.TPMPolicy = `{"15": ["` + strings.Repeat("ab", 32) + `"], "mask": "0x0"}` }, event: "pcr_validation.invalid_pcr_15"},
		{name: "IMA list", add: files, boot: recorded.Boot{IMA: boot.IMA}, spoil: func(_ *visitor, items []wire.Evidence) {
			text := strings.Replace(*items[1].Data.Entries, "a", "b", 1)
			items[1].Data.Entries = &text
		}, event: "ima."},
		{name: "boot log", add: func(r *wire.AddRequest) { r.MBPolicy = &refuses }, boot: recorded.Boot{Log: boot.Log}, event: "measured_boot."},
		{name: "boot log is none", add: func(r *wire.AddRequest) { r.MBPolicy = &empty }, boot: recorded.Boot{Log: []byte("log")}, event: "measured_boot.parser."},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, nil)
			v.list, v.log = test.boot.IMA, test.boot.Log
			v.add(test.add)
			v.bad(func(items []wire.Evidence) {
				if test.spoil != nil {
					test.spoil(v, items)
				}
			})
			if !v.logged(test.event) {
				t.Errorf("%q, want %s", v.lines, test.event)
			}
			v.status("FAIL", 0)
		})
	}
}

// TestPushNewPolicy: a policy that changes while the agent is enrolled counts
// from the next attestation on.
func TestPushNewPolicy(t *testing.T) {
	t.Parallel()
	boot, err := recorded.Load("../../../testdata/evidence/sb-on")
	check(t, err)
	v := newVisitor(t, nil)
	v.log = boot.Log
	refuses := `{"scrtm_and_bios": [], "pk": [], "kek": [], "db": [], "dbx": [], "vendor_db": [], "kernels": []}`
	empty := "{}"
	v.w.want(201, "Created", "POST", "/v2.6/mbpolicies/boot", wire.MBPolicyRequest{MBPolicy: &empty})
	v.add(func(r *wire.AddRequest) { r.MBPolicyName = "boot" })
	v.good()
	v.w.want(201, "Created", "PUT", "/v2.6/mbpolicies/boot", wire.MBPolicyRequest{MBPolicy: &refuses})
	v.bad(nil)
	if !v.logged("measured_boot.") {
		t.Errorf("%q", v.lines)
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
	v.good()
	check(t, v.w.server.Close())
	text, err := os.ReadFile(file)
	check(t, err)
	if !json.Valid(text) || !strings.Contains(string(text), `"accept_attestations": true`) {
		t.Errorf("%s", text)
	}
	for _, push := range []bool{true, false} {
		again := newVisitor(t, func(o *verifier.Options) { keep(o); o.Push = push })
		again.tpm, again.certifier, again.clock.now = v.tpm, v.tpm, v.clock.Now().Add(9*time.Second)
		again.status("TIMEOUT", 1)
		if push {
			if latest := again.latest(); latest.Evaluation != "pass" || latest.Evidence[0].Data.Message == "" {
				t.Errorf("%+v", latest)
			}
		}
		check(t, again.w.server.Close())
	}
}

package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/keylime/keylime-tenant/client/verifier"
)

// TestPushOffer: what an agent cannot show is found out before it shows anything.
func TestPushOffer(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../../../testdata/golden/fixtures/rp-good.json")
	check(t, err)
	empty := "{}"
	quoting := func(change func(*wire.Capabilities)) func(*wire.Offer) {
		return func(o *wire.Offer) { change(o.Supported[0].Capabilities) }
	}
	files := func(r *wire.AddRequest) { r.RuntimePolicy = base64.StdEncoding.EncodeToString(good) }
	for _, test := range []struct {
		name  string
		add   func(*wire.AddRequest)
		offer func(*wire.Offer)
		says  string
	}{
		{"no quote", nil, func(o *wire.Offer) { o.Supported = nil }, "tpm_quote"},
		{"hash", func(r *wire.AddRequest) { r.AcceptTPMHashAlgs = []string{"sha512"} }, nil, "check keys, schemes, hashes and PCRs"},
		{"bank", nil, quoting(func(c *wire.Capabilities) { delete(c.AvailableSubjects, "sha256") }), "check keys"},
		{"hash of the key", nil, quoting(func(c *wire.Capabilities) { c.CertificationKeys[0].AllowedHashes = []string{"sha1"} }), "check keys"},
		{"scheme", func(r *wire.AddRequest) { r.AcceptTPMSigningAlgs = []string{"rsassa"} }, nil, "check keys"},
		{"scheme of the key", nil, quoting(func(c *wire.Capabilities) { c.CertificationKeys[0].AllowedSchemes = []string{"rsassa"} }), "check keys"},
		{"kind of key", nil, quoting(func(c *wire.Capabilities) { c.CertificationKeys[0].KeyAlgorithm = "rsa" }), "check keys"},
		{"register", func(r *wire.AddRequest) { r.TPMPolicy = `{"15": ["` + strings.Repeat("ab", 32) + `"]}` }, quoting(func(c *wire.Capabilities) { c.AvailableSubjects["sha256"] = []int{1} }), "check keys"},
		{"no boot log", func(r *wire.AddRequest) { r.MBPolicy = &empty }, nil, "uefi_log"},
		{"no IMA list", files, nil, "ima_log"},
		{"whole IMA list only", files, func(o *wire.Offer) {
			o.Supported = append(o.Supported, wire.Evidence{Class: "log", Type: "ima_log", Capabilities: &wire.Capabilities{Formats: []string{wire.FormatText}}})
		}, "partial access"},
	} {
		v := newVisitor(t, nil)
		v.offer = test.offer
		v.add(test.add)
		if a := v.begin(v.token()); a.code != 422 || !strings.Contains(a.text, "invalid_resource_data") || !strings.Contains(a.text, test.says) {
			t.Errorf("%s: %d %s", test.name, a.code, a.text)
		}
	}
}

// TestPushForm: evidence that has not the form asked for is refused, and may be
// given again.
func TestPushForm(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../../../testdata/golden/fixtures/rp-good.json")
	check(t, err)
	v := newVisitor(t, nil)
	v.list = []byte("one\ntwo\n")
	v.add(func(r *wire.AddRequest) { r.RuntimePolicy = base64.StdEncoding.EncodeToString(good) })
	token := v.token()
	asked := v.begin(token)
	for name, spoil := range map[string]func([]wire.Evidence) []wire.Evidence{
		"fewer":     func(items []wire.Evidence) []wire.Evidence { return items[:1] },
		"order":     func(items []wire.Evidence) []wire.Evidence { slices.Reverse(items); return items },
		"no data":   func(items []wire.Evidence) []wire.Evidence { items[0].Data = nil; return items },
		"no PCRs":   func(items []wire.Evidence) []wire.Evidence { items[0].Data.SubjectData = ""; return items },
		"no base64": func(items []wire.Evidence) []wire.Evidence { items[0].Data.SubjectData = "%"; return items },
		"other PCRs": func(items []wire.Evidence) []wire.Evidence {
			v.replay(items)
			return items
		},
		"short list": func(items []wire.Evidence) []wire.Evidence {
			text := "one\n"
			items[1].Data.Entries = &text
			return items
		},
	} {
		if a := v.show(token, "0", spoil(v.shows(asked))); a.code != 422 || !strings.Contains(a.text, "evidence_collected") {
			t.Errorf("%s: %d %s", name, a.code, a.text)
		}
	}
	if a := v.show(token, "0", v.shows(asked)); a.code != 202 {
		t.Errorf("%d %s", a.code, a.text)
	}
}

// TestPushSession: who a caller is, is known by proof alone.
func TestPushSession(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	id, challenge := v.open()
	if a := v.prove(id, challenge); a.code != 200 || !strings.Contains(a.text, `"fail"`) || strings.Contains(a.text, "token\"") {
		t.Errorf("an agent that nobody has enrolled: %d %s", a.code, a.text)
	}
	v.add(nil)
	id, challenge = v.open()
	if a := v.prove("another", challenge); a.code != 404 {
		t.Error(a)
	}
	if a := v.prove(id, []byte("another challenge")); a.code != 401 || !v.logged("nonce") {
		t.Errorf("%d %q", a.code, v.lines)
	}
	if a := v.prove(id, challenge); a.code != 404 {
		t.Errorf("a session that has failed goes on: %d", a.code)
	}
	id, challenge = v.open()
	v.certifier = newTPM(t)
	if a := v.prove(id, challenge); a.code != 401 {
		t.Errorf("another AK: %d", a.code)
	}
	v.certifier = v.tpm
	id, challenge = v.open()
	v.clock.forward(61 * time.Second)
	if a := v.prove(id, challenge); a.code == 200 && !strings.Contains(a.text, `"fail"`) {
		t.Errorf("late: %d %s", a.code, a.text)
	}
	for name, request := range map[string]wire.SessionRequest{"no id": {}, "no way": {AgentID: "a"}} {
		if a := v.call("POST", "/sessions", "", wire.ResourceSession, request); a.code != 400 {
			t.Errorf("%s: %d", name, a.code)
		}
	}
	for name, request := range map[string]struct {
		wire.SessionRequest
		code int
	}{"no id": {wire.SessionRequest{}, 400}, "another id": {wire.SessionRequest{AgentID: "b"}, 400}, "no proof": {wire.SessionRequest{AgentID: "a"}, 401}} {
		id, _ := v.open() // each its own: one that has failed is gone
		if a := v.call("PATCH", "/sessions/"+id, "", wire.ResourceSession, request.SessionRequest); a.code != request.code {
			t.Errorf("%s: %d", name, a.code)
		}
	}

	token := v.token()
	for name, header := range map[string]string{"none": "", "another": token + "x", "no bearer": "Basic eA=="} {
		if a := v.begin(header); a.code != 401 && a.code != 403 {
			t.Errorf("%s: %d", name, a.code)
		}
	}
	if a := v.call("POST", "/agents/b/attestations", token, wire.ResourceAttestation, v.capabilities()); a.code != 403 {
		t.Errorf("another agent's: %d", a.code)
	}
	if a := v.send("GET", ofAgent, token, nil); a.code != 403 {
		t.Errorf("an agent reads: %d", a.code)
	}
	if a := v.send("GET", ofAgent, "", nil); a.code != 403 {
		t.Errorf("nobody reads: %d", a.code)
	}
	// Its own record an agent may read, and nothing else of API 2.
	for path, code := range map[string]int{"/v2.6/agents/a": 200, "/v2.6/agents/b": 403, "/v2.6/agents/": 403} {
		for header, want := range map[string]int{token: code, token + "x": 401} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", header)
			rec := httptest.NewRecorder()
			v.w.server.Handler(true).ServeHTTP(rec, r)
			if rec.Code != want {
				t.Errorf("%s: %d, want %d", path, rec.Code, want)
			}
		}
	}
	second := v.token()
	if a := v.begin(token); a.code != 401 {
		t.Errorf("an older session goes on: %d", a.code)
	}
	v.clock.forward(181 * time.Second)
	if a := v.begin(second); a.code != 401 {
		t.Errorf("a session without an end: %d", a.code)
	}
	// Who asks too often is told how long to wait.
	for n := range 16 {
		a := v.call("POST", "/sessions", "", wire.ResourceSession, wire.SessionRequest{AgentID: "b", Supported: []wire.Authentication{{Type: "tpm_pop"}}})
		if (a.code == 429) != (n == 15) || n == 15 && a.header.Get("Retry-After") != "60" {
			t.Errorf("%d: %d %v", n, a.code, a.header)
		}
	}
}

// TestPushGoodExtends: a session lives on with every good attestation.
func TestPushGoodExtends(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	token := v.token()
	for n := range 3 {
		a := v.begin(token)
		if a.code != 201 {
			t.Fatalf("%d: %d %s", n, a.code, a.text)
		}
		if a = v.show(token, fmt.Sprint(n), v.shows(a)); a.code != 202 || a.body.Meta["seconds_to_next_attestation"] != 2.0 {
			t.Fatalf("%d %s", a.code, a.text)
		}
		eventually(t, "judged", func() bool { return v.latest().Stage == wire.StageComplete })
		v.clock.forward(2 * time.Minute)
	}
}

// TestPushOrder: evidence counts once, if it was asked for, and in time.
func TestPushOrder(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	token := v.token()
	if a := v.show(token, "latest", nil); a.code != 404 {
		t.Errorf("%d %s", a.code, a.text)
	}
	first := v.begin(token)
	old := v.shows(first)
	second := v.begin(token) // the first is given up
	if a := v.show(token, "0", old); a.code != 403 || !strings.Contains(a.text, "old_attestation") {
		t.Errorf("%d %s", a.code, a.text)
	}
	if a := v.show(token, "1", v.shows(second)); a.code != 202 {
		t.Errorf("%d %s", a.code, a.text)
	}
	eventually(t, "judged", func() bool { return v.latest().Stage == wire.StageComplete })
	if a := v.show(token, "1", old); a.code != 403 || !strings.Contains(a.text, "evidence_immutable") {
		t.Errorf("%d %s", a.code, a.text)
	}
	if a := v.begin(token); a.code != 429 || a.header.Get("Retry-After") != "2" {
		t.Errorf("%d %v", a.code, a.header)
	}
	v.clock.forward(2 * time.Second)
	third := v.begin(token)
	if a := v.show(token, "2", old); a.code != 202 {
		t.Errorf("%d %s", a.code, a.text)
	}
	eventually(t, "judged", func() bool { return v.latest().Stage == wire.StageComplete })
	if e := v.latest().Evaluation; e != "fail" {
		t.Errorf("an old quote: %s", e)
	}
	_ = third
	v.clock.forward(2 * time.Second)
	token = v.token()
	late := v.begin(token)
	v.clock.forward(31 * time.Minute)
	if a := v.show(v.token(), "3", v.shows(late)); a.code != 403 || !strings.Contains(a.text, "challenges_expired") {
		t.Errorf("%d %s", a.code, a.text)
	}
	for path, code := range map[string]int{"/agents/a": 404, "/nothing": 404, ofAgent + "/77": 404, "/agents/b/attestations": 404} {
		if a := v.asAdmin(path); a.code != code {
			t.Errorf("%s: %d", path, a.code)
		}
	}
	if a := v.send("PUT", ofAgent, "", nil); a.code != 405 {
		t.Errorf("%d", a.code)
	}
	if a := v.send("POST", ofAgent, v.token(), []byte("no JSON")); a.code != 400 {
		t.Errorf("%d", a.code)
	}
}

// TestPushKept: of attestations that pass, the first of a boot and the last two
// are kept; those that fail stay.
func TestPushKept(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	v.add(nil)
	kept := func(want string) {
		t.Helper()
		var list struct{ Data []wire.Resource }
		check(t, json.Unmarshal([]byte(v.asAdmin(ofAgent).text), &list))
		var names []string
		for _, r := range list.Data {
			self := r.Links["self"].(string)
			names = append(names, self[strings.LastIndex(self, "/")+1:])
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("kept are %q, want %q", got, want)
		}
	}
	kept("")
	for range 4 {
		v.good()
	}
	kept("0 3")
	v.bad(v.replay)
	v.good()
	kept("0 3 4 5")
	v.booted = v.booted.Add(time.Hour)
	v.good()
	v.good()
	kept("0 3 4 6 7")
}

// FuzzPush: no body makes the routes of API 3 fail otherwise than with a refusal.
func FuzzPush(f *testing.F) {
	f.Add(uint8(0), []byte(`{"data": {"type": "session", "attributes": {"agent_id": "a", "authentication_supported": [{"authentication_type": "tpm_pop"}]}}}`))
	f.Add(uint8(1), []byte(`{"data": {"type": "session", "attributes": {"agent_id": "a", "authentication_provided": [{"authentication_type": "tpm_pop", "data": {"message": "AAAA", "signature": "AAAA"}}]}}}`))
	f.Add(uint8(2), []byte(`{"data": {"type": "attestation", "attributes": {"evidence_supported": [{"evidence_type": "tpm_quote", "capabilities": {"available_subjects": {"sha256": [16]}}}]}}}`))
	f.Add(uint8(3), []byte(`{"data": {"type": "attestation", "attributes": {"evidence_collected": [{"evidence_class": "certification", "evidence_type": "tpm_quote", "data": {"subject_data": "AAAA"}}]}}}`))
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		v := newVisitor(t, nil)
		v.add(nil)
		token := v.token()
		if a := v.begin(token); a.code != 201 {
			t.Fatal(a.code)
		}
		id, _ := v.open()
		switch route % 4 {
		case 0:
			v.send("POST", "/sessions", "", body)
		case 1:
			v.send("PATCH", "/sessions/"+id, "", body)
		case 2:
			v.send("POST", ofAgent, token, body)
		case 3:
			v.send("PATCH", ofAgent+"/latest", token, body)
		}
	})
}

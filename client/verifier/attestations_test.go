package verifier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// document is an answer to one path.
type document struct {
	status int
	body   string
	header map[string]string
}

// serveDocuments answers by path, and keeps what was sent.
func serveDocuments(t *testing.T, answers map[string]document) (*verifier.Client, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), content)))
		a, known := answers[r.Method+" "+r.RequestURI]
		if !known {
			a.status = 404
		}
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().(*net.TCPAddr)
	transport, err := client.New(client.Config{Name: client.VerifierName, Host: addr.IP.String(), Port: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	return verifier.New(transport), &asked
}

// recordedAttestation is the answer of a real verifier (testdata/push).
func recordedAttestation(t testing.TB, index int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("../../testdata/push/%d.json", index))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// data is the resource in a document.
func data(t *testing.T, body string) string {
	t.Helper()
	var d struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	return string(d.Data)
}

const none = `{"errors": [{"status": "404", "code": "not_found", "detail": "No attestation exists for agent 'a'."}], "jsonapi": {"version": "1.1"}}`

// TestAttestation reads what a real verifier has said.
func TestAttestation(t *testing.T) {
	t.Parallel()
	c, asked := serveDocuments(t, map[string]document{
		"GET /v3.0/agents/a/attestations/latest": {status: 201, body: recordedAttestation(t, 1)},
		"GET /v3.0/agents/a/attestations/0":      {status: 201, body: recordedAttestation(t, 0)}})
	a, err := c.Attestation(t.Context(), "a", verifier.Latest)
	if err != nil {
		t.Fatal(err)
	}
	quoted, ima := verifier.Find(a.Evidence, verifier.TypeTPMQuote), verifier.Find(a.Evidence, verifier.TypeIMALog)
	if a.Index != 1 || a.Evaluation != verifier.EvaluationFail || a.Stage != verifier.StageComplete || a.EvidenceReceivedAt == nil || a.SystemInfo.BootTime == nil ||
		quoted.Chosen.HashAlgorithm != "sha256" || len(quoted.Chosen.SelectedSubjects["sha256"]) != 16 || quoted.Chosen.SelectedSubjects["sha1"] != nil || quoted.Data.SubjectData == "" ||
		*ima.Chosen.StartingOffset != 53 || *ima.Data.EntryCount != 1 || !strings.Contains(*ima.Data.Entries, "/usr/local/bin/unknown") || verifier.Find(a.Evidence, "other") != nil {
		t.Errorf("%+v", a.AttestationRecord)
	}
	if a, err = c.Attestation(t.Context(), "a", 0); err != nil || a.Index != 0 || a.Evaluation != verifier.EvaluationPass {
		t.Errorf("%v, %+v", err, a)
	}
	if len(*asked) != 2 || (*asked)[0] != "GET /v3.0/agents/a/attestations/latest" {
		t.Errorf("%q", *asked)
	}
}

// TestAttestationErrors holds each refusal to its cause.
func TestAttestationErrors(t *testing.T) {
	t.Parallel()
	const list, latest = "GET /v3.0/agents/a/attestations", "GET /v3.0/agents/a/attestations/latest"
	for name, test := range map[string]struct {
		answers map[string]document
		list    bool
		is      error
		kind    client.Kind
	}{
		"none":                {answers: map[string]document{latest: {status: 404, body: none}}, is: verifier.ErrNoAttestations},
		"none, list":          {answers: map[string]document{list: {status: 500}, latest: {status: 404, body: none}}, list: true, is: verifier.ErrNoAttestations},
		"none, sound list":    {answers: map[string]document{list: {status: 200, body: `{"data": [], "jsonapi": {}}`}}, list: true, is: verifier.ErrNoAttestations},
		"several":             {answers: map[string]document{list: {status: 500}, latest: {status: 201, body: recordedAttestation(t, 1)}}, list: true, is: verifier.ErrNoList},
		"pull mode":           {is: verifier.ErrNoPush},
		"pull mode, list":     {list: true, is: verifier.ErrNoPush},
		"old":                 {answers: map[string]document{latest: {status: 400, body: `{"code": 400, "status": "API version not supported", "results": {}}`}}, is: verifier.ErrNoPush},
		"not enrolled":        {answers: map[string]document{latest: {status: 404, body: `{"errors": [{"detail": "No enrolled agent with ID 'a'."}]}`}}, kind: client.NotFound},
		"gone":                {answers: map[string]document{latest: {status: 404, body: `{"errors": [{"detail": "No attestation 3 exists for agent 'a'."}]}`}}, kind: client.NotFound},
		"not allowed":         {answers: map[string]document{latest: {status: 403, body: `{"errors": [{"title": "Forbidden", "detail": "no"}]}`}}, kind: client.Unauthorized},
		"no JSON":             {answers: map[string]document{latest: {status: 200, body: "<html>"}}, kind: client.Unreadable},
		"no data":             {answers: map[string]document{latest: {status: 200, body: `{"code": 200}`}}, kind: client.Unreadable},
		"no list":             {answers: map[string]document{list: {status: 200, body: `{"code": 200}`}}, list: true, kind: client.Unreadable},
		"data of another way": {answers: map[string]document{list: {status: 200, body: `{"data": 7}`}}, list: true, kind: client.Unreadable},
		"another type":        {answers: map[string]document{latest: {status: 200, body: `{"data": {"type": "session", "attributes": {}}}`}}, kind: client.Unreadable},
		"no attributes":       {answers: map[string]document{latest: {status: 200, body: `{"data": {"type": "attestation"}}`}}, kind: client.Unreadable},
		"bad attributes":      {answers: map[string]document{latest: {status: 200, body: `{"data": {"type": "attestation", "attributes": {"evidence": 1}}}`}}, kind: client.Unreadable},
		"bad item":            {answers: map[string]document{list: {status: 200, body: `{"data": [{"type": "session"}]}`}}, list: true, kind: client.Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serveDocuments(t, test.answers)
			var err error
			if test.list {
				_, err = c.Attestations(t.Context(), "a")
			} else {
				_, err = c.Attestation(t.Context(), "a", verifier.Latest)
			}
			if err == nil || test.is != nil && !errors.Is(err, test.is) || test.is == nil && client.KindOf(err) != test.kind {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAttestations: in order, whatever the order of the answer; one alone comes
// without brackets.
func TestAttestations(t *testing.T) {
	t.Parallel()
	first, second := recordedAttestation(t, 0), recordedAttestation(t, 1)
	for body, want := range map[string]int{`{"data": [` + data(t, second) + "," + data(t, first) + `]}`: 2, first: 1} {
		c, _ := serveDocuments(t, map[string]document{"GET /v3.0/agents/a/attestations": {status: 200, body: body}})
		all, err := c.Attestations(t.Context(), "a")
		if err != nil || len(all) != want || all[0].Index != 0 {
			t.Errorf("%v, %d", err, len(all))
		}
	}
}

// TestSession walks through the proof of possession.
func TestSession(t *testing.T) {
	t.Parallel()
	const opened = `{"data": {"type": "session", "id": "s", "attributes": {"agent_id": "a", "authentication_requested": [{"authentication_class": "pop", "authentication_type": "tpm_pop", "chosen_parameters": {"challenge": "bm9uY2U="}}], "created_at": "2026-11-25T21:59:23.131048+00:00"}}}`
	const proved = `{"data": {"type": "session", "id": "s", "attributes": {"agent_id": "a", "evaluation": "pass", "token": "s.secret", "token_expires_at": "2026-11-25T22:02:23.131048+00:00"}}}`
	const failed = `{"data": {"type": "session", "id": "s", "attributes": {"agent_id": "a", "evaluation": "fail"}}}`
	c, asked := serveDocuments(t, map[string]document{"POST /v3.0/sessions": {status: 200, body: opened}, "PATCH /v3.0/sessions/s": {status: 200, body: proved}})
	s, challenge, err := c.OpenSession(t.Context(), "a")
	if err != nil || string(challenge) != "nonce" || s.ID != "s" {
		t.Fatal(err)
	}
	if s, err = c.ProveSession(t.Context(), s.ID, "a", []byte("attest"), []byte("signature")); err != nil || string(s.Token) != "s.secret" || s.TokenExpiresAt == nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %s", s, s.SessionRecord, s.Token); strings.Contains(text, "secret") {
		t.Errorf("the token shows in %s", text)
	}
	want := []string{
		`POST /v3.0/sessions  application/vnd.api+json {"data":{"type":"session","attributes":{"agent_id":"a","authentication_supported":[{"authentication_class":"pop","authentication_type":"tpm_pop"}]}}}`,
		`PATCH /v3.0/sessions/s  application/vnd.api+json {"data":{"type":"session","id":"s","attributes":{"agent_id":"a","authentication_provided":[{"authentication_class":"pop","authentication_type":"tpm_pop","data":{"message":"YXR0ZXN0","signature":"c2lnbmF0dXJl"}}]}}}`}
	for i := range want {
		if (*asked)[i] != want[i] {
			t.Errorf("%s\nwant %s", (*asked)[i], want[i])
		}
	}
	for name, test := range map[string]struct {
		open, prove document
		is          error
		kind        client.Kind
	}{
		"no challenge":      {open: document{status: 200, body: `{"data": {"type": "session", "id": "s", "attributes": {}}}`}, kind: client.Unreadable},
		"bad challenge":     {open: document{status: 200, body: strings.Replace(opened, "bm9uY2U=", "%", 1)}, kind: client.Unreadable},
		"too often":         {open: document{status: 429, body: `{"errors": [{"detail": "Rate limit"}]}`, header: map[string]string{"Retry-After": "7"}}, kind: client.Refused},
		"not proved":        {open: document{status: 200, body: opened}, prove: document{status: 401, body: failed}, is: verifier.ErrNotProved},
		"not enrolled":      {open: document{status: 200, body: opened}, prove: document{status: 200, body: failed}, is: verifier.ErrNotProved},
		"session over":      {open: document{status: 200, body: opened}, prove: document{status: 404, body: `{"errors": [{"detail": "Session not found"}]}`}, kind: client.NotFound},
		"no token":          {open: document{status: 200, body: opened}, prove: document{status: 200, body: strings.Replace(proved, "s.secret", "", 1)}, kind: client.Unreadable},
		"neither of either": {open: document{status: 200, body: opened}, prove: document{status: 200, body: strings.Replace(proved, `"pass"`, `"maybe"`, 1)}, kind: client.Unreadable},
	} {
		c, _ := serveDocuments(t, map[string]document{"POST /v3.0/sessions": test.open, "PATCH /v3.0/sessions/s": test.prove})
		s, _, err := c.OpenSession(t.Context(), "a")
		if err == nil {
			_, err = c.ProveSession(t.Context(), s.ID, "a", nil, nil)
		}
		if err == nil || test.is != nil && !errors.Is(err, test.is) || test.is == nil && client.KindOf(err) != test.kind {
			t.Errorf("%s: %v", name, err)
		}
		if after := verifier.RetryAfter(err); (after == 7*time.Second) != (test.open.header != nil) {
			t.Errorf("%s: %v", name, after)
		}
	}
}

// TestBeginAndShow: offer and evidence go out with the token, and what is asked
// for, and the pause, come in.
func TestBeginAndShow(t *testing.T) {
	t.Parallel()
	const begun = `{"data": {"type": "attestation", "attributes": {"stage": "awaiting_evidence", "evidence_requested": [{"evidence_class": "certification", "evidence_type": "tpm_quote", "chosen_parameters": {"challenge": "bm9uY2U=", "selected_subjects": {"sha256": [10], "sha1": null}}}], "system_info": {}}, "links": {"self": "/3/agents/a/attestations/4"}}}`
	const shown = `{"data": {"type": "attestation", "attributes": {"stage": "evaluating_evidence", "system_info": {}}, "links": {"self": "/v3.0/agents/a/attestations/4"}}, "meta": {"seconds_to_next_attestation": 9}}`
	c, asked := serveDocuments(t, map[string]document{"POST /v3.0/agents/a/attestations": {status: 201, body: begun}, "PATCH /v3.0/agents/a/attestations/4": {status: 202, body: shown}})
	a, err := c.Begin(t.Context(), "a", "token", verifier.Offer{})
	if err != nil || a.Index != 4 || len(a.Requested) != 1 || a.Requested[0].Chosen.SelectedSubjects["sha256"][0] != 10 {
		t.Fatalf("%v, %+v", err, a)
	}
	a, next, err := c.Show(t.Context(), "a", "token", a.Index, nil)
	if err != nil || next != 9*time.Second || a.Stage != verifier.StageEvaluating {
		t.Fatalf("%v, %v, %+v", err, next, a)
	}
	for _, line := range *asked {
		if !strings.Contains(line, " Bearer token application/vnd.api+json {") {
			t.Error(line)
		}
	}
	if _, _, err = c.Show(t.Context(), "a", "token", verifier.Latest, nil); client.KindOf(err) != client.NotFound || strings.Contains(err.Error(), "token") {
		t.Error(err)
	}
}

// FuzzAttestation: no answer makes the reader fail otherwise than with an error.
func FuzzAttestation(f *testing.F) {
	for n := range 2 {
		f.Add([]byte(recordedAttestation(f, n)))
	}
	f.Add([]byte(`{"data": {"type": "attestation", "attributes": {"evidence": [{"data": {"subject_data": {}}, "chosen_parameters": {"selected_subjects": [1]}}]}, "links": {"self": 7}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var body verifier.Body
		if json.Unmarshal(text, &body) != nil {
			return
		}
		var record verifier.AttestationRecord
		if err := body.Read(verifier.ResourceAttestation, &record); err != nil {
			return
		}
		for _, kind := range []string{verifier.TypeTPMQuote, verifier.TypeIMALog} {
			verifier.Find(record.Evidence, kind)
		}
	})
}

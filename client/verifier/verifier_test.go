package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// serve answers every call, and tells the last that was asked.
func serve(t *testing.T, status int, results string) (*verifier.Client, *string) {
	t.Helper()
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		asked = strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(content))
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, `{"code": `+strconv.Itoa(status)+`, "status": "text", "results": `+results+`}`)
		}
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

// record is a record as a real verifier 7.14.3 sends it (testdata/golden).
const record = `{"operational_state": 3, "v": "c2VjcmV0", "ip": "127.0.0.1", "port": 9002, "tpm_policy": "{\"mask\": \"0xfbff\"}", "meta_data": "{}", ` +
	`"has_mb_refstate": 1, "has_runtime_policy": 0, "accept_tpm_hash_algs": ["sha512", "sha384", "sha256"], "accept_tpm_encryption_algs": ["ecc", "rsa"], ` +
	`"accept_tpm_signing_algs": ["ecschnorr", "rsassa"], "hash_alg": "sha256", "enc_alg": "rsa2048", "sign_alg": "rsassa", "verifier_id": "default", ` +
	`"verifier_ip": "127.0.0.1", "verifier_port": 8881, "severity_level": null, "last_event_id": null, "attestation_count": 7, "last_received_quote": 1795629600, ` +
	`"last_successful_attestation": 1795629600, "attestation_status": "PASS", "attestation_period": "2s", "maximum_attestation_interval": "10s"}`

func TestAgent(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, record)
	a, _, err := c.Agent(context.Background(), "id")
	if err != nil {
		t.Fatal(err)
	}
	if *asked != "GET /v2.6/agents/id" {
		t.Error(*asked)
	}
	if a.ID != "id" || a.State != verifier.GetQuote || string(*a.V) != "c2VjcmV0" || *a.IP != "127.0.0.1" || *a.Port != 9002 || a.HasMBRefstate != 1 || a.VerifierPort != 8881 ||
		a.SeverityLevel != nil || a.LastEventID != nil || a.AttestationCount != 7 || a.LastReceivedQuote != 1795629600 || a.AttestationStatus != "PASS" || string(a.Raw) != record {
		t.Errorf("%+v", a.Record)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", a, *a, a, a), fmt.Sprintf("%v %+v %s", a.Record, a.Record, a.V)} {
		if strings.Contains(text, "c2VjcmV0") || strings.Contains(text, "34 99 50 86") {
			t.Errorf("V shows in %s", text)
		}
	}
	// The wire type writes the verifier's own order, for the lab.
	var want strings.Builder
	if err := json.Unmarshal([]byte(record), new(map[string]any)); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a.Record)
	if err != nil {
		t.Fatal(err)
	}
	for token, decoder := json.Token(nil), json.NewDecoder(strings.NewReader(record)); err == nil; token, err = decoder.Token() {
		fmt.Fprint(&want, token, ",")
	}
	var got strings.Builder
	err = nil
	for token, decoder := json.Token(nil), json.NewDecoder(strings.NewReader(string(text))); err == nil; token, err = decoder.Token() {
		fmt.Fprint(&got, token, ",")
	}
	if got.String() != want.String() {
		t.Errorf("order %s\nwant  %s", got.String(), want.String())
	}
}

// TestPushAgent: no state, no address.
func TestPushAgent(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, 200, `{"operational_state": null, "v": null, "ip": null, "port": null, "attestation_status": "TIMEOUT"}`)
	a, _, err := c.Agent(context.Background(), "id")
	if err != nil || a.State != verifier.NoState || a.State.String() != "" || a.V != nil || a.IP != nil || a.Port != nil || a.AttestationStatus != "TIMEOUT" {
		t.Errorf("%v, %v", a, err)
	}
	if text, err := json.Marshal(a.Record); err != nil || !strings.HasPrefix(string(text), `{"operational_state":null,"v":null,"ip":null,"port":null,`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAgentUnreadable(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{}`, `{"uuids": []}`, `[]`, `null`, `{"operational_state": "Get Quote"}`, `{"operational_state": -2}`, `{"operational_state": 3.5}`,
		`{"operational_state": 3, "attestation_count": "7"}`, `{"operational_state": 3, "port": "9002"}`, `{"operational_state": 3, "verifier_port": []}`, `{"operational_state": 3, "v": 5}`} {
		c, _ := serve(t, 200, bad)
		a, reply, err := c.Agent(context.Background(), "id")
		if client.KindOf(err) != client.Unreadable || a != nil || reply == nil {
			t.Errorf("%s: %v", bad, err)
		}
		c, _ = serve(t, 200, `{"id": `+bad+`}`)
		if agents, _, err := c.Bulk(context.Background(), ""); client.KindOf(err) != client.Unreadable || agents != nil {
			t.Errorf("bulk of %s: %v", bad, err)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"Registered", "Start", "Saved", "Get Quote", "Get Quote (retry)", "Provide V", "Provide V (retry)", "Failed", "Terminated", "Invalid Quote", "Tenant Quote Failed", "unknown state 11"} {
		if got := verifier.State(i).String(); got != want {
			t.Errorf("state %d is %q", i, got)
		}
		var s verifier.State
		text, err := json.Marshal(verifier.State(i))
		if err != nil || string(text) != strconv.Itoa(i) || json.Unmarshal(text, &s) != nil || s != verifier.State(i) {
			t.Errorf("state %d: %s, %v", i, text, err)
		}
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	for results, want := range map[string][]string{
		`{"uuids": [["a"], ["b"]]}`: {"a", "b"}, `{"uuids": ["a", "b"]}`: {"a", "b"}, `{"uuids": []}`: {},
	} {
		c, asked := serve(t, 200, results)
		ids, _, err := c.Agents(context.Background(), "other")
		if err != nil || ids == nil || !slices.Equal(ids, want) || *asked != "GET /v2.6/agents/?verifier=other" {
			t.Errorf("%s: %v, %v, %s", results, ids, err, *asked)
		}
	}
	for _, bad := range []string{`{}`, `{"uuids": null}`, `{"uuids": [null]}`, `{"uuids": [[]]}`, `{"uuids": [5]}`, `{"uuids": {}}`} {
		c, _ := serve(t, 200, bad)
		if ids, _, err := c.Agents(context.Background(), ""); client.KindOf(err) != client.Unreadable || ids != nil {
			t.Errorf("%s: %v, %v", bad, ids, err)
		}
	}
}

// TestBulk: in the order of the answer, not of the alphabet.
func TestBulk(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, `{"z": {"operational_state": 7},  "a": `+record+`, "m": {"operational_state": null}}`)
	agents, _, err := c.Bulk(context.Background(), "")
	if err != nil || *asked != "GET /v2.6/agents/?bulk=True&verifier=" {
		t.Fatal(err, *asked)
	}
	if got := fmt.Sprint(agents); got != "[agent z (Failed) agent a (Get Quote) agent m ()]" {
		t.Error(got)
	}
	if string(agents[1].Raw) != record {
		t.Error("a record is not as received")
	}
	c, _ = serve(t, 200, `{}`)
	if agents, _, err := c.Bulk(context.Background(), ""); err != nil || agents == nil || len(agents) != 0 {
		t.Errorf("none: %v, %v", agents, err)
	}
	for _, bad := range []string{`[]`, `5`, `"x"`} {
		c, _ = serve(t, 200, bad)
		if _, _, err := c.Bulk(context.Background(), ""); client.KindOf(err) != client.Unreadable {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestAdd: the body is the tenant's, key for key (testdata/golden).
func TestAdd(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, `{}`)
	ip, port, v, cert := "127.0.0.1", verifier.Port(9002), verifier.KeyShare("Vg=="), "PEM <&>"
	request := verifier.AddRequest{V: &v, CloudagentIP: &ip, CloudagentPort: &port, VerifierIP: "127.0.0.1", VerifierPort: 8881, TPMPolicy: `{"mask": "0x0"}`,
		Metadata: "{}", RevocationKey: "KEY", AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"rsa"}, AcceptTPMSigningAlgs: []string{"rsassa"},
		AKTPM: "YWs=", MTLSCert: &cert, SupportedVersion: "2.6"}
	if _, err := c.Add(context.Background(), "id", request); err != nil {
		t.Fatal(err)
	}
	const want = `POST /v2.6/agents/id {"v":"Vg==","cloudagent_ip":"127.0.0.1","cloudagent_port":9002,"verifier_ip":"127.0.0.1","verifier_port":8881,"tpm_policy":"{\"mask\": \"0x0\"}",` +
		`"runtime_policy":"","runtime_policy_name":"","runtime_policy_key":"","mb_policy":null,"mb_policy_name":"","ima_sign_verification_keys":"","metadata":"{}","revocation_key":"KEY",` +
		`"accept_tpm_hash_algs":["sha256"],"accept_tpm_encryption_algs":["rsa"],"accept_tpm_signing_algs":["rsassa"],"ak_tpm":"YWs=","mtls_cert":"PEM <&>","supported_version":"2.6"}`
	if *asked != want {
		t.Errorf("asked %s\nwant  %s", *asked, want)
	}
	if text := fmt.Sprintf("%v %+v %#v", request, request, *request.V); strings.Contains(text, "Vg==") || strings.Contains(text, "KEY ") || strings.Contains(text, ":KEY") {
		t.Errorf("a secret shows in %s", text)
	}
	var back verifier.AddRequest
	if err := json.Unmarshal([]byte(`{"v": "Vg==", "cloudagent_port": "9002", "verifier_port": "8881", "mb_policy": null}`), &back); err != nil ||
		*back.V != "Vg==" || *back.CloudagentPort != 9002 || back.VerifierPort != 8881 || back.MBPolicy != nil {
		t.Errorf("%+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"verifier_port": "x"}`), &back); err == nil {
		t.Error("a port that is none was read")
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		pending bool
	}{{200, false}, {202, true}} {
		v, asked := serve(t, c.status, `{}`)
		pending, reply, err := v.Delete(context.Background(), "id")
		if err != nil || pending != c.pending || reply.HTTP != c.status || *asked != "DELETE /v2.6/agents/id" {
			t.Errorf("%d: %v, %v, %s", c.status, pending, err, *asked)
		}
	}
	v, asked := serve(t, 200, `{}`)
	if _, err := v.Stop(context.Background(), "id"); err != nil || *asked != "PUT /v2.6/agents/id/stop" {
		t.Error(err, *asked)
	}
	if _, err := v.Reactivate(context.Background(), "id"); err != nil || *asked != "PUT /v2.6/agents/id/reactivate" {
		t.Error(err, *asked)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	v, asked := serve(t, 200, `{"runtimepolicy names": ["a", "b"], "mbpolicy names": []}`)
	if names, _, err := v.RuntimePolicies(context.Background()); err != nil || !slices.Equal(names, []string{"a", "b"}) || *asked != "GET /v2.6/allowlists/" {
		t.Error(names, err, *asked)
	}
	if names, _, err := v.MBPolicies(context.Background()); err != nil || names == nil || len(names) != 0 || *asked != "GET /v2.6/mbpolicies/" {
		t.Error(names, err, *asked)
	}
	const stored = `{"name": "p 4", "tmp_policy": null, "runtime_policy": "{}", "mb_policy": null}`
	v, asked = serve(t, 200, stored)
	if p, _, err := v.RuntimePolicy(context.Background(), "p 4"); err != nil || p.Name != "p 4" || p.RuntimePolicy != "{}" || p.TmpPolicy != nil || string(p.Raw) != stored || *asked != "GET /v2.6/allowlists/p%204" {
		t.Error(p, err, *asked)
	}
	if p, _, err := v.MBPolicy(context.Background(), "p/4"); err != nil || p.Name != "p 4" || p.MBPolicy != nil || string(p.Raw) != stored || *asked != "GET /v2.6/mbpolicies/p%2F4" {
		t.Error(p, err, *asked)
	}
	v, asked = serve(t, 201, `{}`)
	runtime, text := verifier.RuntimePolicyRequest{TPMPolicy: "{}", RuntimePolicy: "e30="}, "{}"
	const body = ` {"tpm_policy":"{}","runtime_policy":"e30=","runtime_policy_key":""}`
	if _, err := v.AddRuntimePolicy(context.Background(), "p", runtime); err != nil || *asked != "POST /v2.6/allowlists/p"+body {
		t.Error(err, *asked)
	}
	if _, err := v.UpdateRuntimePolicy(context.Background(), "p", runtime); err != nil || *asked != "PUT /v2.6/allowlists/p"+body {
		t.Error(err, *asked)
	}
	if _, err := v.AddMBPolicy(context.Background(), "p", verifier.MBPolicyRequest{MBPolicy: &text}); err != nil || *asked != `POST /v2.6/mbpolicies/p {"mb_policy":"{}"}` {
		t.Error(err, *asked)
	}
	if _, err := v.UpdateMBPolicy(context.Background(), "p", verifier.MBPolicyRequest{}); err != nil || *asked != `PUT /v2.6/mbpolicies/p {"mb_policy":null}` {
		t.Error(err, *asked)
	}
	v, asked = serve(t, 204, "")
	if reply, err := v.DeleteRuntimePolicy(context.Background(), "p"); err != nil || reply.HTTP != 204 || len(reply.Body) != 0 || *asked != "DELETE /v2.6/allowlists/p" {
		t.Error(err, *asked)
	}
	if reply, err := v.DeleteMBPolicy(context.Background(), "p"); err != nil || reply.HTTP != 204 || *asked != "DELETE /v2.6/mbpolicies/p" {
		t.Error(err, *asked)
	}
}

func TestPoliciesUnreadable(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{}`, `{"runtimepolicy names": null, "mbpolicy names": null}`, `{"runtimepolicy names": [5], "mbpolicy names": "x"}`, `[]`,
		`{"runtime_policy": 5, "mb_policy": 5}`, `null`} {
		v, _ := serve(t, 200, bad)
		_, _, a := v.RuntimePolicies(context.Background())
		_, _, b := v.MBPolicies(context.Background())
		_, _, c := v.RuntimePolicy(context.Background(), "p")
		_, _, d := v.MBPolicy(context.Background(), "p")
		for i, err := range []error{a, b, c, d} {
			if client.KindOf(err) != client.Unreadable {
				t.Errorf("%s, call %d: %v", bad, i, err)
			}
		}
	}
}

// TestStatuses: each refusal has its kind, whatever was asked.
func TestStatuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for status, kind := range map[int]client.Kind{400: client.Refused, 401: client.Unauthorized, 403: client.Unauthorized, 404: client.NotFound, 409: client.Conflict, 500: client.Refused, 503: client.Refused} {
		v, _ := serve(t, status, `{}`)
		var errs []error
		one := func(_ *client.Reply, err error) { errs = append(errs, err) }
		one(v.Add(ctx, "a", verifier.AddRequest{}))
		one(v.Stop(ctx, "a"))
		one(v.Reactivate(ctx, "a"))
		one(v.AddRuntimePolicy(ctx, "a", verifier.RuntimePolicyRequest{}))
		one(v.UpdateRuntimePolicy(ctx, "a", verifier.RuntimePolicyRequest{}))
		one(v.DeleteRuntimePolicy(ctx, "a"))
		one(v.AddMBPolicy(ctx, "a", verifier.MBPolicyRequest{}))
		one(v.UpdateMBPolicy(ctx, "a", verifier.MBPolicyRequest{}))
		one(v.DeleteMBPolicy(ctx, "a"))
		pending, reply, err := v.Delete(ctx, "a")
		one(reply, err)
		if pending {
			t.Error("a refused deletion is pending")
		}
		_, reply, err = v.Agent(ctx, "a")
		one(reply, err)
		_, reply, err = v.Agents(ctx, "")
		one(reply, err)
		_, reply, err = v.Bulk(ctx, "")
		one(reply, err)
		_, reply, err = v.RuntimePolicy(ctx, "a")
		one(reply, err)
		_, reply, err = v.MBPolicies(ctx)
		one(reply, err)
		for i, err := range errs {
			var e *client.Error
			if !errors.As(err, &e) || e.Kind != kind || e.HTTP != status || e.Reply == nil || e.Reply.Status != "text" {
				t.Errorf("%d, call %d: %v", status, i, err)
			}
		}
	}
}

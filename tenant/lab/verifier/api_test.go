package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// TestAddRefuses holds the texts of PROTOCOL.md 4.1.
func TestAddRefuses(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	w.want(201, "Created", "POST", "/v2.6/allowlists/taken", wire.RuntimePolicyRequest{RuntimePolicy: b64(excludeAll)})
	w.want(201, "Created", "POST", "/v2.6/mbpolicies/taken", wire.MBPolicyRequest{MBPolicy: ptr("{}")})
	w.want(201, "Created", "POST", "/v2.6/mbpolicies/own", wire.MBPolicyRequest{MBPolicy: ptr("{}")})
	w.want(200, "Success", "POST", path("there"), a.enrol())
	for name, c := range map[string]struct {
		id     string
		code   int
		status string
		change func(*wire.AddRequest)
	}{
		"no certificate":       {"a", 400, "mTLS certificate for agent is required!", func(r *wire.AddRequest) { r.MTLSCert = nil }},
		"certificate disabled": {"a", 400, "mTLS certificate for agent is required!", func(r *wire.AddRequest) { r.MTLSCert = ptr("disabled") }},
		"no address":           {"a", 400, "Exception error: 'cloudagent_ip': this lab's verifier asks agents itself, and must know where", func(r *wire.AddRequest) { r.CloudagentIP = nil }},
		"runtime name taken": {"a", 409, "IMA policy with name taken already exists. Please use a different name or delete the allowlist from the verifier.",
			func(r *wire.AddRequest) { r.RuntimePolicyName, r.RuntimePolicy = "taken", b64(excludeAll) }},
		"runtime name unknown": {"a", 404, "Could not find IMA policy with name none!", func(r *wire.AddRequest) { r.RuntimePolicyName = "none" }},
		"agent there":          {"there", 409, "Agent of uuid there already exists. Please use delete or update.", func(*wire.AddRequest) {}},
		"mb name taken": {"a", 409, "mb_policy with name taken already exists. Please use a different name or delete the mb_policy from the verifier.",
			func(r *wire.AddRequest) { r.MBPolicyName, r.MBPolicy = "taken", ptr("{}") }},
		"mb name unknown":    {"a", 404, "Could not find mb_policy with name none!", func(r *wire.AddRequest) { r.MBPolicyName = "none" }},
		"mb policy left":     {"own", 409, "mb_policy with name own already exists. You can delete the mb_policy from the verifier.", func(r *wire.AddRequest) { r.MBPolicy = ptr("{}") }},
		"not a policy":       {"a", 400, "Runtime policy is malformatted: 'meta' is a required property", func(r *wire.AddRequest) { r.RuntimePolicy = b64("{}") }},
		"a policy not JSON":  {"a", 400, "Runtime policy is not valid JSON!", func(r *wire.AddRequest) { r.RuntimePolicy = b64("{") }},
		"an id that is none": {"a%20b", 400, "agent_id not not valid", func(*wire.AddRequest) {}},
	} {
		request := a.enrol()
		c.change(&request)
		if got := w.call("POST", path(c.id), request); got.HTTP != c.code || got.Status != c.status {
			t.Errorf("%s: %d %q", name, got.HTTP, got.Status)
		}
	}
	for name, spoil := range map[string]struct{ policy, keys string }{
		"an exclude that cannot be compiled": {policy: strings.Replace(excludeAll, `".*"`, `"("`, 1)},
		"a keyring that is none":             {keys: "{"},
	} {
		request := a.enrol()
		request.RuntimePolicy, request.IMASignVerificationKeys = b64(spoil.policy), spoil.keys
		if got := w.call("POST", path("a"), request); got.HTTP != 400 {
			t.Errorf("%s: %d %q", name, got.HTTP, got.Status)
		}
	}
	w.want(400, "Expected non zero content length", "POST", path("a"), nil)
	if got := w.call("POST", path("a"), "{"); got.HTTP != 400 || !strings.HasPrefix(got.Status, "Exception error: ") {
		t.Errorf("not JSON: %d %q", got.HTTP, got.Status)
	}
	whole := map[string]any{}
	raw, err := json.Marshal(a.enrol())
	check(t, err)
	check(t, json.Unmarshal(raw, &whole))
	for _, key := range []string{"tpm_policy", "metadata", "ima_sign_verification_keys", "revocation_key", "accept_tpm_hash_algs", "accept_tpm_encryption_algs",
		"accept_tpm_signing_algs", "ak_tpm", "runtime_policy", "mb_policy_name", "mb_policy"} {
		kept := whole[key]
		delete(whole, key)
		w.want(400, "Exception error: '"+key+"'", "POST", path("a"), whole)
		whole[key] = kept
	}
	whole["runtime_policy"] = nil
	w.want(400, "Exception error: argument should be a bytes-like object or ASCII string, not 'NoneType'", "POST", path("a"), whole)
	// Nothing of all that has left a trace.
	w.want(404, "agent id not found", "GET", path("a"), nil)
	if got := w.call("GET", "/v2.6/allowlists", nil); !strings.Contains(got.body, `"runtimepolicy names": ["taken", "there"]`) {
		t.Errorf("policies %s", got.body)
	}
}

func TestListsAndRecord(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, func(o *verifier.Options) { o.ID = "v1" }), newFakeAgent(t)
	if got := w.call("GET", "/v2.6/agents/", nil); got.body != `{"code": 200, "status": "Success", "results": {"uuids": []}}` {
		t.Errorf("empty list: %s", got.body)
	}
	if got := w.call("GET", "/v2.6/agents?bulk=False", nil); got.body != `{"code": 200, "status": "Success", "results": {}}` {
		t.Errorf("empty bulk: %s", got.body)
	}
	for _, id := range []string{"b", "a"} {
		request := a.enrol()
		request.VerifierIP, request.VerifierPort, request.MBPolicy = "192.0.2.1", 8881, ptr("{}")
		request.RuntimePolicy = b64(excludeAll)
		w.want(200, "Success", "POST", path(id), request)
	}
	for query, want := range map[string]string{"": `[["b"], ["a"]]`, "?verifier=": `[["b"], ["a"]]`, "?verifier=v1": `[["b"], ["a"]]`, "?verifier=v2": `[]`} {
		if got := w.call("GET", "/v2/agents"+query, nil); !strings.Contains(got.body, `{"uuids": `+want+`}`) {
			t.Errorf("%q: %s", query, got.body)
		}
	}
	bulk := w.call("GET", "/v2.6/agents/?bulk=True", nil)
	if !strings.Contains(bulk.body, `"results": {"b": {"operational_state": `) || !strings.Contains(bulk.body, `, "a": {"operational_state": `) {
		t.Errorf("bulk %s", bulk.body)
	}
	order := []string{"operational_state", "v", "ip", "port", "tpm_policy", "meta_data", "has_mb_refstate", "has_runtime_policy", "accept_tpm_hash_algs",
		"accept_tpm_encryption_algs", "accept_tpm_signing_algs", "hash_alg", "enc_alg", "sign_alg", "verifier_id", "verifier_ip", "verifier_port",
		"severity_level", "last_event_id", "attestation_count", "last_received_quote", "last_successful_attestation", "attestation_status",
		"attestation_period", "maximum_attestation_interval"}
	record := w.call("GET", path("a"), nil)
	at := -1
	for _, key := range order {
		next := strings.Index(record.body, `"`+key+`": `)
		if next <= at {
			t.Errorf("%s is missing or out of order in %s", key, record.body)
		}
		at = next
	}
	var r wire.Record
	check(t, json.Unmarshal(record.Results, &r))
	if r.VerifierID != "v1" || r.VerifierIP != "192.0.2.1" || r.VerifierPort != 8881 || r.HasMBRefstate != 1 || r.HasRuntimePolicy != 1 || string(*r.V) == "" {
		t.Errorf("record %+v", r)
	}
	for _, method := range []string{"PUT"} {
		for _, verb := range []string{"/stop", "/reactivate"} {
			w.want(400, "Exception error: No row was found when one was required", method, path("nobody", verb), nil)
		}
	}
	w.want(405, "", "PUT", path("a"), nil)
}

// TestStoredPolicies holds the verbs on stored policies against PROTOCOL.md 4.6
// and 4.7.
func TestStoredPolicies(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	runtime, boot := wire.RuntimePolicyRequest{RuntimePolicy: b64(excludeAll)}, wire.MBPolicyRequest{MBPolicy: ptr(`{"a": 1}`)}
	const r, m = "/v2.6/allowlists/p%20q", "/v2.6/mbpolicies/p"
	w.want(404, "Runtime policy p q not found", "GET", r, nil)
	w.want(404, "Runtime policy with name p q does not already exist, use POST to create", "PUT", r, runtime)
	w.want(404, "Runtime policy p q not found", "DELETE", r, nil)
	w.want(201, "Created", "POST", r, runtime)
	w.want(409, "Runtime policy with name p q already exists", "POST", r, runtime)
	w.want(201, "Created", "PUT", r, runtime)
	w.want(400, "Expected non zero content length", "PUT", r, nil)
	w.want(400, "Exception error: 'runtime_policy'", "PUT", r, wire.RuntimePolicyRequest{})
	w.want(400, "Runtime policy is malformatted: 'meta' is a required property", "PUT", r, wire.RuntimePolicyRequest{RuntimePolicy: b64("{}")})
	got := w.want(200, "Success", "GET", r, nil)
	var stored wire.RuntimePolicyRecord
	check(t, json.Unmarshal(got.Results, &stored))
	if stored.Name != "p q" || stored.RuntimePolicy != excludeAll || !strings.Contains(got.body, `"tmp_policy": null`) {
		t.Errorf("record %s", got.body)
	}
	w.want(404, "Measured boot policy p not found", "GET", m, nil)
	w.want(409, "Measured boot policy with name p does not already exist", "PUT", m, boot)
	w.want(404, "Measured boot policy p not found", "DELETE", m, nil)
	w.want(201, "Created", "POST", m, boot)
	w.want(409, "Measured boot policy with name p already exists", "POST", m, boot)
	w.want(201, "Created", "PUT", m, wire.MBPolicyRequest{})
	if got := w.call("GET", m, nil); !strings.Contains(got.body, `{"name": "p", "mb_policy": null}`) {
		t.Errorf("record %s", got.body)
	}
	if got := w.call("GET", "/v2.6/mbpolicies/", nil); !strings.Contains(got.body, `{"mbpolicy names": ["p"]}`) {
		t.Errorf("list %s", got.body)
	}
	request := a.enrol()
	request.RuntimePolicyName, request.MBPolicyName = "p q", "p"
	w.want(200, "Success", "POST", path("user"), request)
	w.want(409, "Can't delete allowlist as it's currently in use by agent user", "DELETE", r, nil)
	w.want(409, "Can't delete mb_policy as it's currently in use by agent user", "DELETE", m, nil)
	w.want(200, "Success", "PUT", path("user", "/stop"), nil)
	w.want(200, "Success", "DELETE", path("user"), nil)
	for _, p := range []string{r, m} {
		if got := w.call("DELETE", p, nil); got.HTTP != 204 || got.body != "" {
			t.Errorf("DELETE %s: %d %q", p, got.HTTP, got.body)
		}
	}
}

func TestRightsAndVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	guest := w.server.Handler(true)
	for path, want := range map[string]string{
		"/v2.6/agents":     `{"errors": [{"status": "403", "title": "Forbidden", "detail": "Action list_agents requires admin authentication (mTLS certificate)"}]}`,
		"/v2.6/agents/x":   `{"errors": [{"status": "403", "title": "Forbidden", "detail": "Action read_agent requires authentication"}]}`,
		"/version":         `{"code": 200, "status": "Success", "results": {"current_version": "2.6", "supported_versions": ["2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"]}}`,
		"/v3.0/agents/":    "",
		"/v1.0/agents/":    "",
		"/v2.6/no/such/x/": "",
	} {
		rec := httptest.NewRecorder()
		guest.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Body.String() != want {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// evidenceOf is good evidence of a machine, as POST /verify/evidence takes it.
func evidenceOf(t *testing.T, tpm *softtpm.TPM) map[string]any {
	t.Helper()
	text, err := tpm.QuoteString("abc", []int{23}, "sha256")
	check(t, err)
	return map[string]any{"quote": text, "nonce": "abc", "hash_alg": "sha256", "tpm_ek": base64.StdEncoding.EncodeToString(tpm.EKPublic()),
		"tpm_ak": base64.StdEncoding.EncodeToString(tpm.AKPublic()), "tpm_policy": `{"23": ["` + zero + `"]}`}
}

func TestVerifyEvidence(t *testing.T) {
	t.Parallel()
	w, tpm := newWorld(t, nil), newTPM(t)
	const route = "/v2.6/verify/evidence"
	verdict := func(body any) (valid bool, failures string, code int) {
		t.Helper()
		got := w.call("POST", route, body)
		var v struct {
			Valid    bool `json:"valid"`
			Failures []struct {
				Type string `json:"type"`
			} `json:"failures"`
			Claims map[string]any `json:"claims"`
		}
		_ = json.Unmarshal(got.Results, &v)
		for _, f := range v.Failures {
			failures += f.Type + " "
		}
		if v.Valid != (len(v.Claims) > 0) {
			t.Errorf("valid %v with %d claims", v.Valid, len(v.Claims))
		}
		return v.Valid, strings.TrimSpace(failures), got.HTTP
	}
	good := evidenceOf(t, tpm)
	if valid, failures, code := verdict(map[string]any{"type": "tpm", "data": good}); !valid || failures != "" || code != 200 {
		t.Errorf("good evidence: %v %s %d", valid, failures, code)
	}
	w.want(400, "missing parameter 'type'", "POST", route, map[string]any{"data": good})
	w.want(400, "missing parameter 'data'", "POST", route, map[string]any{"type": "tpm"})
	w.want(400, "invalid evidence type", "POST", route, map[string]any{"type": "tee", "data": good})
	for name, c := range map[string]struct {
		key   string
		value any
		want  string
		code  int
	}{
		"no quote":           {"quote", "", "default.missing_param", 400},
		"no policy":          {"tpm_policy", "", "default.missing_policy", 400},
		"another nonce":      {"nonce", "abd", "qoute_validation.invalid_quote", 200},
		"another AK":         {"tpm_ak", base64.StdEncoding.EncodeToString(newTPM(t).AKPublic()), "qoute_validation.invalid_quote", 200},
		"another value":      {"tpm_policy", `{"23": ["` + ones + `"]}`, "pcr_validation.invalid_pcr_23", 200},
		"not quoted":         {"tpm_policy", `{"22": ["` + ones + `"]}`, "pcr_validation.missing_pcrs", 200},
		"a broken log":       {"mb_log", b64("no log"), "measured_boot.parser.tpm2_eventlog.error", 200},
		"a boot policy":      {"mb_policy", `{"pk": 1}`, "measured_boot.policy_example", 200},
		"a boot policy text": {"mb_policy", `{`, "pcr_validation.invalid_mb_policy", 200},
	} {
		data := evidenceOf(t, tpm)
		data[c.key] = c.value
		if valid, failures, code := verdict(map[string]any{"type": "tpm", "data": data}); valid || failures != c.want || code != c.code {
			t.Errorf("%s: %v %q %d", name, valid, failures, code)
		}
	}
	bad := evidenceOf(t, tpm)
	bad["tpm_policy"] = "x"
	if _, _, code := verdict(map[string]any{"type": "tpm", "data": bad}); code != 500 {
		t.Errorf("unreadable policy: %d", code)
	}
}

func TestVerifyIdentity(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t, nil), newFakeAgent(t)
	w.want(200, "Success", "POST", path("a"), a.enrol())
	q := func(change func(url.Values)) string {
		text, err := a.tpm.QuoteString("abc", []int{16}, "sha256")
		check(t, err)
		v := url.Values{"agent_uuid": {"a"}, "quote": {text}, "nonce": {"abc"}, "hash_alg": {"sha256"}}
		change(v)
		return "/v2.2/verify/identity?" + v.Encode()
	}
	if got := w.call("GET", q(func(url.Values) {}), nil); !strings.Contains(got.body, `{"valid": 1}`) {
		t.Errorf("good: %s", got.body)
	}
	for _, p := range []string{"agent_uuid", "quote", "nonce", "hash_alg"} {
		w.want(400, "missing query parameter '"+p+"'", "GET", q(func(v url.Values) { v.Del(p) }), nil)
	}
	w.want(404, "agent id not found", "GET", q(func(v url.Values) { v.Set("agent_uuid", "b") }), nil)
	forged, err := newTPM(t).QuoteString("abc", []int{16}, "sha256")
	check(t, err)
	if got := w.call("GET", q(func(v url.Values) { v.Set("quote", forged) }), nil); !strings.Contains(got.body, `{"valid": 0, "reason": "`) {
		t.Errorf("a forged signature: %s", got.body)
	}
}

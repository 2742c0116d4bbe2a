package verifier

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// identityResult is what GET /verify/identity answers.
type identityResult struct {
	Valid  int    `json:"valid"`
	Reason string `json:"reason,omitempty"`
}

// verifyIdentity answers GET /verify/identity: whether a quote is of an
// enrolled agent. Signature, nonce and register values are checked; unlike
// upstream's, a forged signature is not valid (PROTOCOL.md 6.2).
func (s *Server) verifyIdentity(r *serve.Request) serve.Answer {
	query := r.URL.Query()
	for _, name := range []string{"agent_uuid", "quote", "nonce", "hash_alg"} {
		if query.Get(name) == "" {
			return serve.Failf(http.StatusBadRequest, "missing query parameter '%s'", name)
		}
	}
	s.mu.Lock()
	e := s.agents[query.Get("agent_uuid")]
	var akTPM string
	if e != nil {
		akTPM = e.Request.AKTPM
	}
	s.mu.Unlock()
	if e == nil {
		return serve.Fail(http.StatusNotFound, noSuchAgent)
	}
	ak, err := base64.StdEncoding.DecodeString(akTPM)
	if err != nil {
		return serve.OK(identityResult{Reason: "the AK is not base64"})
	}
	if _, err := quote.Verify(unboundQuote(query), quote.Expect{AK: ak, Nonce: query.Get("nonce"), AnyClock: true}); err != nil {
		return serve.OK(identityResult{Reason: err.Error()})
	}
	return serve.OK(identityResult{Valid: 1})
}

// unboundQuote is the quote of a query, without a transport key.
func unboundQuote(query url.Values) quote.Untrusted {
	return quote.Untrusted{Quote: query.Get("quote"), HashAlg: query.Get("hash_alg")}
}

// evidenceRequest is the body of POST /verify/evidence (PROTOCOL.md 4.8).
type evidenceRequest struct {
	Type *string         `json:"type"`
	Data json.RawMessage `json:"data"`
}

// tpmEvidence is the data of evidence of type tpm. IMAList is the empty list
// where there is none, as upstream has it: PCR 10 tells whether that can be.
type tpmEvidence struct {
	wire.OneshotData
	// MBLog is null in the script of upstream where there is none.
	MBLog *string `json:"mb_log"`
}

// evidenceResult is the verdict on evidence.
type evidenceResult struct {
	Valid    bool            `json:"valid"`
	Claims   json.RawMessage `json:"claims"`
	Failures []failure       `json:"failures"`
}

type failure struct {
	Type    string `json:"type"`
	Context any    `json:"context"`
}

// refused is the verdict that lists why evidence is refused.
func refused(events ...event) evidenceResult {
	result := evidenceResult{Claims: json.RawMessage("{}"), Failures: []failure{}}
	for _, e := range events {
		result.Failures = append(result.Failures, failure{e.ID, e.Context})
	}
	return result
}

// verifyEvidence answers POST /verify/evidence: a verdict on a quote and lists
// without any enrolment. As with upstream there is no check of clock and PCR
// 16; unlike upstream, signatures count and the measured-boot policy is
// evaluated.
func (s *Server) verifyEvidence(r *serve.Request) serve.Answer {
	var request evidenceRequest
	if err := json.Unmarshal(r.Body, &request); err != nil {
		return exception("%v", err)
	}
	switch {
	case request.Type == nil:
		return serve.Fail(http.StatusBadRequest, "missing parameter 'type'")
	case len(request.Data) == 0 || string(request.Data) == "null":
		return serve.Fail(http.StatusBadRequest, "missing parameter 'data'")
	case *request.Type != "tpm":
		return serve.Fail(http.StatusBadRequest, "invalid evidence type")
	}
	var data tpmEvidence
	if err := json.Unmarshal(request.Data, &data); err != nil {
		return exception("%v", err)
	}
	if missing := data.missing(); missing != nil {
		return serve.Answer{Code: http.StatusBadRequest, Results: refused(*missing)}
	}
	rules, err := data.rules()
	if err != nil {
		return serve.Failf(http.StatusInternalServerError, "Internal Server Error: Failed to process attestation data: %v", err)
	}
	ak, err := base64.StdEncoding.DecodeString(data.TPMAK)
	if err != nil {
		return serve.Failf(http.StatusInternalServerError, "Internal Server Error: Failed to process attestation data: tpm_ak is not base64")
	}
	verified, err := quote.Verify(quote.Untrusted{Quote: data.Quote, HashAlg: data.HashAlg}, quote.Expect{AK: ak, Nonce: data.Nonce, AnyClock: true})
	if err != nil {
		return serve.OK(refused(event{ofQuote + "invalid_quote", message{Message: err.Error()}}))
	}
	events, err := rules.judge(r.Context(), verified, evidence{list: &data.IMAList, log: data.MBLog})
	if err != nil {
		return serve.Failf(http.StatusInternalServerError, "Internal Server Error: Failed to process attestation data: %v", err)
	}
	if len(events) > 0 {
		return serve.OK(refused(events...))
	}
	return serve.OK(evidenceResult{Valid: true, Claims: request.Data, Failures: []failure{}})
}

// missing is the event for what must be there and is not.
func (d tpmEvidence) missing() *event {
	for _, p := range []struct{ name, value string }{{"quote", d.Quote}, {"nonce", d.Nonce}, {"hash_alg", d.HashAlg}, {"tpm_ek", d.TPMEK}, {"tpm_ak", d.TPMAK}} {
		if p.value == "" {
			return &event{ofDefault + "missing_param", message{Message: fmt.Sprintf("missing parameter \"%s\"", p.name)}}
		}
	}
	if d.TPMPolicy == "" && d.RuntimePolicy == "" && d.MBPolicy == "" {
		return &event{ofDefault + "missing_policy", message{Message: "missing policy: one of tpm_policy, runtime_policy and mb_policy is needed"}}
	}
	return nil
}

// rules are what the evidence is to be judged by.
func (d tpmEvidence) rules() (r rules, err error) {
	r.tpm.values = map[int][]string{}
	if strings.TrimSpace(d.TPMPolicy) != "" {
		if r.tpm, err = parseTPMPolicy(d.TPMPolicy); err != nil {
			return r, err
		}
	}
	if d.MBPolicy != "" {
		r.boot = &d.MBPolicy
	}
	var text *string
	if d.RuntimePolicy != "" {
		policy := []byte(d.RuntimePolicy)
		if dsse.IsEnvelope(policy) {
			if policy, err = dsse.Payload(policy); err != nil {
				return r, err
			}
		}
		opened := string(policy)
		text = &opened
	}
	r.runtime = func() (*runtime.Evaluator, error) { return newEvaluator(text, "") }
	return r, nil
}

package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/keylime/keylime-tenant/client"
)

// OneshotVersion is the version of the API with which POST /verify/evidence
// came (PROTOCOL.md 4.8).
func OneshotVersion() client.Version { return client.Version{Major: 2, Minor: 4} }

// OneshotRequest is the body of POST /v2.4+/verify/evidence (PROTOCOL.md 4.8)
// for a TPM.
type OneshotRequest struct {
	// Type is "tpm"; [Client.VerifyEvidence] sets it.
	Type string      `json:"type"`
	Data OneshotData `json:"data"`
}

// OneshotData is what a machine shows without being enrolled, and what it is
// to be held against. Quote to TPMAK are necessary, and one of the policies;
// "" stands for what there is none of. A list that is not a string, as the
// script of upstream sends for a machine without IMA, makes the verifier fail.
type OneshotData struct {
	// Quote has the form that agents send (PROTOCOL.md 5.2).
	Quote   string `json:"quote"`
	Nonce   string `json:"nonce"`
	HashAlg string `json:"hash_alg"`
	// TPMEK and TPMAK are base64 of a TPM2B_PUBLIC.
	TPMEK string `json:"tpm_ek"`
	TPMAK string `json:"tpm_ak"`
	// TPMPolicy and MBPolicy are JSON; RuntimePolicy is JSON or a DSSE envelope,
	// whose signature the verifier does not check here.
	TPMPolicy     string `json:"tpm_policy"`
	RuntimePolicy string `json:"runtime_policy"`
	MBPolicy      string `json:"mb_policy"`
	// IMAList is the list in its ASCII form, MBLog base64 of the boot log.
	IMAList string `json:"ima_measurement_list"`
	MBLog   string `json:"mb_log"`
}

// OneshotVerdict is the answer to evidence. The claims, which repeat what was
// sent, are left out.
type OneshotVerdict struct {
	Valid    bool             `json:"valid"`
	Failures []OneshotFailure `json:"failures"`
}

// OneshotFailure is one reason for which evidence is refused.
type OneshotFailure struct {
	// Type is the id of an event (PROTOCOL.md 13).
	Type string `json:"type"`
	// Context is a JSON object, or a string.
	Context json.RawMessage `json:"context"`
}

// VerifyEvidence asks for a verdict on evidence of a TPM. The route is public:
// no client certificate is needed. A verdict that is not said in so many words
// (valid must be true or false, not 1) is a *[client.Error] of kind Unreadable;
// parameters that are missing are one of kind Refused, HTTP 400, a runtime
// policy that the verifier cannot read, or evidence it stumbles over, HTTP 500.
//
// Keylime 7.14 takes a quote with a wrong signature for one without registers
// (PROTOCOL.md 6.2), and says valid if only a runtime policy is to be checked:
// hold the quote against the AK before.
func (c *Client) VerifyEvidence(ctx context.Context, data OneshotData) (*OneshotVerdict, *client.Reply, error) {
	var results struct {
		Valid    *bool            `json:"valid"`
		Failures []OneshotFailure `json:"failures"`
	}
	call := client.Call{Method: http.MethodPost, Path: "/verify/evidence", Body: OneshotRequest{Type: "tpm", Data: data}, Into: &results}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if results.Valid == nil {
		return nil, reply, c.transport.Unreadable(call, reply, errors.New("the results do not say whether the evidence is valid"))
	}
	if *results.Valid && len(results.Failures) > 0 {
		return nil, reply, c.transport.Unreadable(call, reply, errors.New("the results say that the evidence is valid, and list failures"))
	}
	return &OneshotVerdict{Valid: *results.Valid, Failures: results.Failures}, reply, nil
}

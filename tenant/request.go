package tenant

import (
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// AddRequest is everything that adding an agent needs. Files have been read by
// the caller: the bytes are judged here, before the first packet.
type AddRequest struct {
	ID string
	// Host and Port are where the tenant reaches the agent; "" and 0 take the
	// registrar's record.
	Host string
	Port int
	// PolledHost is where the verifier is to reach it; "" means as the tenant.
	PolledHost string
	// VerifierHost and VerifierPort are what the record of the verifier says
	// about itself.
	VerifierHost string
	VerifierPort int
	// Push: the agent attests of its own accord and is not contacted.
	Push bool
	// APIVersion is the version to speak with the agent; "" negotiates.
	APIVersion string

	Payload  PayloadInput
	Policies PolicyInput

	// AcceptHash, AcceptEnc and AcceptSign are the algorithms that a quote may
	// use, here and on the verifier.
	AcceptHash, AcceptEnc, AcceptSign []string

	// VerifyKey waits until the agent has proven that it holds K.
	VerifyKey bool
	// WaitAttested waits until the verifier has accepted a quote, at most
	// WaitLimit (0: one minute).
	WaitAttested bool
	WaitLimit    time.Duration

	// Compat keeps the leniency of the Python tenant where TENANT-CLI.md
	// section D does: what is an error otherwise becomes a [Warning].
	Compat bool
}

// AddResult is the outcome of adding an agent.
type AddResult struct {
	ID string `json:"agent_id"`
	// Address is where the agent was reached, "" in the push model.
	Address string `json:"address,omitempty"`
	// Verifier is the verifier that now attests it.
	Verifier string `json:"verifier"`
	// State is the verifier's word for the agent's state, "" in the push model.
	State string `json:"operational_state,omitempty"`
	Push  bool   `json:"push"`
	// Payload says that a payload or key was delivered.
	Payload bool `json:"payload_delivered"`
	// KeyVerified says that the agent proved that it holds the key.
	KeyVerified bool `json:"key_verified"`
	// EK says how the TPM's endorsement key was vouched for.
	EK EKOutcome `json:"ek"`
	// Attestations is the number of quotes accepted so far.
	Attestations int `json:"attestation_count"`
	// Replaced says that an earlier enrolment was replaced.
	Replaced bool `json:"replaced,omitempty"`
}

// plan is a request after every check that needs no server. Only prepare makes
// one, so that nothing unchecked can be sent.
type plan struct {
	AddRequest
	version  *client.Version
	policies checkedPolicies
	payload  sealedPayload
	// notes are told when the agent's version is settled.
	notes notes
}

// prepare checks a request as far as that is possible without a server, and
// seals the payload. What was noted is told here only if that fails.
func (t *Tenant) prepare(r AddRequest) (*plan, error) {
	p := &plan{AddRequest: r}
	if err := t.check(p); err != nil {
		t.tell(p.notes)
		return nil, err
	}
	return p, nil
}

func (t *Tenant) check(p *plan) error {
	r := p.AddRequest
	if err := CheckAgentID(r.ID); err != nil {
		return err
	}
	p.Host, p.PolledHost = unbracketed(r.Host), unbracketed(r.PolledHost)
	if r.APIVersion != "" {
		v, err := client.ParseVersion(r.APIVersion)
		if err != nil {
			return &InvalidError{Kind: InvalidVersion, Object: "agent API version " + quoted(r.APIVersion), Cause: err.Error(), Err: err,
				Hint: "it looks like 2.2"}
		}
		p.version = &v
	}
	if r.VerifyKey && !r.Payload.Given() {
		return &InvalidError{Kind: VerifyNeedsPayload, Object: "--verify", Cause: "there is no payload whose key could be verified",
			Hint:    "give the agent something with --file, --key or --cert",
			Classic: "--verify only works when a payload is provided to the agent via -k, -f, or --cert"}
	}
	var err error
	if p.policies, err = t.checkPolicies(r.ID, r.Policies, r.AcceptHash, r.Compat, &p.notes); err != nil {
		return err
	}
	if r.Push && !r.Compat && p.policies.demandNothing() {
		p.notes.add(Warning{Kind: WarnPushNothing, ID: r.ID, Object: "policies", Text: "without any policy a verifier in push mode (7.14.3) asks the agent for no quote and never attests it",
			Hint: "hold it against something: --runtime-policy, --mb-policy or --tpm-policy"})
	}
	if p.payload, err = t.sealPayload(r, &p.notes); err != nil {
		return err
	}
	if p.payload.keys == nil { // withheld, or a key file without keys
		p.VerifyKey = false
	}
	return nil
}

// unbracketed is an IPv6 address without the brackets that it may be given in.
func unbracketed(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}

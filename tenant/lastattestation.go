package tenant

import (
	"context"
	"errors"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// LastAttestation is the newest attestation of an agent of the push model, as
// the verifier tells it.
type LastAttestation struct {
	// Number is how many attestations the agent has begun: they are numbered, and
	// the verifier does not keep all.
	Number int `json:"number"`
	// Stage and Evaluation are the verifier's words: awaiting_evidence,
	// evaluating_evidence or verification_complete; pending, pass or fail.
	Stage      string `json:"stage"`
	Evaluation string `json:"evaluation"`
	// FailureReason is broken_evidence_chain or policy_violation; Keylime 7.14.3
	// keeps it to itself.
	FailureReason string `json:"failure_reason,omitempty"`
	// Begun is when it was begun, Received when its evidence came, by the
	// verifier's clock.
	Begun    *time.Time `json:"begun,omitempty"`
	Received *time.Time `json:"received,omitempty"`
	// Unavailable is why there is nothing else here, "" if there is.
	Unavailable string `json:"unavailable,omitempty"`
}

// LastAttestation asks the verifier for the newest attestation of an agent, in one
// request. It is nil for an agent of the pull model, for one that has never
// attested itself, and where the verifier serves no attestations. A verifier that
// refuses makes no failure of a status: the result says why.
func (t *Tenant) LastAttestation(ctx context.Context, s *AgentStatus) *LastAttestation {
	source, serves := t.Verifier.(Attestations)
	if s.Verifier == nil || !s.Verifier.Push || !serves {
		return nil
	}
	a, err := source.Attestation(ctx, s.ID, verifier.Latest)
	switch {
	case errors.Is(err, verifier.ErrNoPush), errors.Is(err, verifier.ErrNoAttestations), interrupted(ctx) != nil:
		return nil
	case err != nil:
		return &LastAttestation{Unavailable: stepText(err)}
	}
	return &LastAttestation{Number: a.Index + 1, Stage: a.Stage, Evaluation: a.Evaluation, FailureReason: a.FailureReason,
		Begun: a.CapabilitiesReceivedAt, Received: a.EvidenceReceivedAt}
}

// Words say what has become of the attestation.
func (a *LastAttestation) Words() string {
	text := a.Evaluation
	switch {
	case a.Stage == verifier.StageAwaiting:
		text = "its evidence is awaited"
	case a.Stage == verifier.StageEvaluating:
		text = "its evidence is being judged"
	case a.Evaluation == verifier.EvaluationPass:
		text = "passed"
	case a.Evaluation == verifier.EvaluationFail:
		text = "failed"
	}
	if reason := failureText(a.FailureReason); reason != "" {
		text += ": " + reason
	}
	return text
}

package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// AgentStatus is everything that both servers say about one agent, and what it
// comes to.
type AgentStatus struct {
	Schema string    `json:"schema"`
	Time   time.Time `json:"time"`
	AgentHealth
	// Registrar and Verifier are the records, nil where there is none.
	Registrar *RegistrarAgent `json:"registrar"`
	Verifier  *VerifierAgent  `json:"verifier"`
	// Attestation is the newest one of an agent of the push model, where it was
	// asked for ([Tenant.LastAttestation]).
	Attestation *LastAttestation `json:"attestation,omitempty"`
}

// AgentStatus reads what both servers hold of an agent. maxAge is as of
// [Judge].
//
// That only one of them knows the agent is a result. So is a server that cannot
// be asked while the other answers: the error says which then, beside the
// result. Errors: *[InvalidError]; *[NotFoundError] if neither knows it;
// *[BothError]; *[StepError].
func (t *Tenant) AgentStatus(ctx context.Context, id string, maxAge time.Duration) (*AgentStatus, error) {
	registered, registrarErr := t.RegistrarStatus(ctx, id)
	var invalid *InvalidError
	if errors.As(registrarErr, &invalid) {
		return nil, registrarErr
	}
	if cause := interrupted(ctx); cause != nil {
		return nil, &StepError{Step: StepRegistrar, ID: id, Err: cause}
	}
	enrolled, verifierErr := t.verifierStatus(ctx, id)
	if isNotFound(registrarErr) && isNotFound(verifierErr) {
		return nil, &NotFoundError{What: "agent", Name: id, Server: ServerRegistrar, Err: errors.Join(registrarErr, verifierErr),
			Hint: "keylime_tenant status lists the agents of both servers"}
	}
	if registered == nil && enrolled == nil && !isNotFound(registrarErr) && !isNotFound(verifierErr) {
		return nil, &BothError{Verifier: verifierErr, Registrar: registrarErr}
	}
	now := t.now()
	s := &AgentStatus{Schema: SchemaAgent, Time: now.UTC().Truncate(time.Second), Registrar: registered}
	known := answer(registered != nil, registrarErr)
	if enrolled != nil {
		s.AgentHealth = enrolledHealth(enrolled, ageOf(enrolled, now), maxAge, known)
		s.Verifier = verifierAgent(enrolled, now)
		// One document has one judgement, that with maxAge.
		s.Verifier.Health, s.Verifier.Reason = Judge(enrolled, now, maxAge)
	} else {
		s.AgentHealth = unenrolledHealth(id, known, answer(false, verifierErr))
	}
	return s, missed(registrarErr, verifierErr)
}

// answer is what a server says to the question whether it knows an agent, nil
// if it could not be asked.
func answer(known bool, err error) *bool {
	if err != nil && !isNotFound(err) {
		return nil
	}
	return &known
}

// missed is the failure of the server that could not be asked, nil if both
// have answered.
func missed(errs ...error) error {
	for _, err := range errs {
		if err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// isNotFound says that a server does not know what it was asked about.
func isNotFound(err error) bool {
	return err != nil && (errors.Is(err, ErrNotFound) || client.KindOf(err) == client.NotFound)
}

// BothError: neither server could be asked.
type BothError struct{ Verifier, Registrar error }

func (e *BothError) Error() string {
	return fmt.Sprintf("neither server can be asked\n%s\n%s", stepText(e.Verifier), stepText(e.Registrar))
}

// Unwrap lets errors.As find the failures; the verifier's comes first.
func (e *BothError) Unwrap() []error { return []error{e.Verifier, e.Registrar} }

// stepText is a failure without the name of its step, which all share.
func stepText(err error) string {
	var step *StepError
	if errors.As(err, &step) {
		err = step.Err
	}
	return strings.TrimSpace(err.Error())
}

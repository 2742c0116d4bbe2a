package tenant

import (
	"context"
	"fmt"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// Add places an agent under attestation.
//
// Before the first packet it checks the whole request: ids and names, every
// policy, the payload, which is sealed then. Before anything secret leaves, it
// checks the agent:
//
//   - the registrar holds an active record of it; a TLS certificate in it is
//     pinned;
//   - its quote is genuine, answers a fresh nonce, uses accepted algorithms,
//     and binds its transport key (see [quote.Verify]);
//   - its EK is vouched for (see [EKRules]); in the push model too, where there
//     is no quote to be had;
//   - the verifier has no enrolment of it yet.
//
// Then U goes to the agent, sealed to the transport key just verified, and V,
// the policies, and the very AK and certificate that were checked go to the
// verifier. Add waits until the verifier shows the agent, and if asked until
// the agent has derived the key (VerifyKey) and until a quote was accepted
// (WaitAttested).
//
// A failure or an interrupt after the first change takes back what was done,
// within [Tenant.UndoLimit], and the error is an *[UndoneError] that says what
// was undone and what is left. That holds for WaitAttested as well: Add leaves
// either an agent that was attested, or none. The exception is VerifyKey, as
// in the Python tenant: when the key is not derived the verifier is told to
// stop, and the enrolment stays.
//
// The errors inside: *[InvalidError] for the request; *[NotFoundError] for an
// agent that is not registered or a policy name that is unknown; *[ConflictError]
// for an enrolment or policy that exists; *[RefusedError] for an EK script that
// refuses and for an agent whose attestation fails; *[WaitError] for what did
// not come in time; *quote.VerificationError, *ek.VerificationError,
// *client.NoCommonVersionError and *[client.Error], all within a *[StepError]
// that names the step.
func (t *Tenant) Add(ctx context.Context, r AddRequest) (*AddResult, error) {
	p, err := t.prepare(r)
	if err != nil {
		return nil, err
	}
	e := &enrolment{t: t, plan: p}
	return e.run(ctx, e.notYetEnrolled)
}

// enrolment is one run of Add or Update. It knows what has been changed, so
// that it can be taken back.
type enrolment struct {
	t    *Tenant
	plan *plan

	record *registrar.Agent
	// host and port are where the agent is reached.
	host string
	port int
	// agent and conn are nil in the push model.
	agent   Agent
	conn    Connection
	release func()
	version client.Version
	// agentVersions are those that the agent speaks, nil if it was not asked or
	// does not tell.
	agentVersions []client.Version

	// old is the enrolment that is replaced, nil if there is none.
	old *oldEnrolment

	// uGiven, removed and posted say what has been changed: the agent's key,
	// the old enrolment, the new one.
	uGiven          bool
	removed, posted outcome
	// absent: the verifier was asked after a lost answer and has no enrolment.
	absent bool
	// keyProven says that the agent has shown that it holds K.
	keyProven bool
	// stays says that the new enrolment is kept although the run has failed.
	stays bool
}

// outcome is what is known of a change that was asked for.
type outcome int

const (
	notAsked outcome = iota
	refused          // it has not happened
	unsure           // the answer is lost: it may have happened
	done
)

// run goes through the steps of an enrolment. before checks what the verifier
// holds, after everything else that can be checked and before the first change.
func (e *enrolment) run(ctx context.Context, before func(context.Context) error) (*AddResult, error) {
	defer e.hangUp()
	result := &AddResult{ID: e.plan.ID, Push: e.plan.Push}
	if err := e.steps(ctx, before, result); err != nil {
		return nil, e.undo(ctx, err)
	}
	return result, nil
}

func (e *enrolment) steps(ctx context.Context, before func(context.Context) error, result *AddResult) error {
	if err := e.lookUp(ctx); err != nil {
		return err
	}
	if err := e.meet(ctx); err != nil {
		return err
	}
	e.t.emit(e.plan.policies.mask)
	e.t.tell(e.plan.notes)
	if e.old != nil {
		if err := e.old.read(ctx, e); err != nil {
			return err
		}
	}
	agent, err := e.prove(ctx)
	if err != nil {
		return err
	}
	result.EK = agent.ek
	if err := e.askVerifier(ctx); err != nil {
		return err
	}
	if err := before(ctx); err != nil {
		return err
	}
	result.Payload = e.plan.payload.keys != nil
	if err := e.keyForOld(); err != nil {
		return err
	}
	if err = e.giveU(ctx, agent); err != nil {
		return err
	}
	if err := e.replace(ctx); err != nil {
		return err
	}
	result.Replaced = e.old.present()
	if err := e.post(ctx); err != nil {
		return err
	}
	shown, err := e.waitShown(ctx)
	if err != nil {
		return err
	}
	if e.plan.VerifyKey {
		if err := e.verifyKey(ctx); err != nil {
			return err
		}
		e.keyProven, result.KeyVerified = true, true
	}
	if e.plan.WaitAttested {
		if shown, err = e.waitAttested(ctx, shown); err != nil {
			return err
		}
	}
	e.finish(result, shown)
	return nil
}

func (e *enrolment) finish(result *AddResult, shown *verifier.Agent) {
	if e.conn != nil {
		result.Address = e.conn.Addr()
	}
	result.Verifier = e.t.VerifierConn.Addr()
	result.Attestations = shown.AttestationCount
	if !e.plan.Push {
		result.State = shown.State.String()
	}
}

func (e *enrolment) hangUp() {
	if e.release != nil {
		e.release()
	}
}

// fail names the step in which something failed.
func (e *enrolment) fail(step Step, err error) *StepError {
	failed := &StepError{Step: step, ID: e.plan.ID, Err: err}
	if e.record != nil {
		failed.RegCount = e.record.RegCount
	}
	return failed
}

// askVerifier settles the version, and refuses a verifier of the other model or
// one that is too old for what it is to enforce.
func (e *enrolment) askVerifier(ctx context.Context) error {
	if err := e.t.askVerifier(ctx); err != nil {
		return e.fail(StepEnrol, err)
	}
	if e.t.verifierVersion.Gone && !e.plan.Push && !e.plan.Compat {
		return &InvalidError{Kind: PushVerifier, Object: "verifier " + e.t.VerifierConn.Addr(),
			Cause: "it runs in push mode and would never ask this agent for a quote", Hint: "add --push-model, or name a verifier in pull mode with --cv"}
	}
	// An old verifier would take the name, and enforce nothing.
	if name, v := e.plan.policies.measuredBootName, e.t.verifierVersion.Version; name != "" && verifier.Before23(v) {
		return &InvalidError{Kind: InvalidMBPolicy, Object: string(MBKind) + " " + quoted(name),
			Cause: fmt.Sprintf("the verifier %s speaks API %s, which has no measured-boot policies under a name", e.t.VerifierConn.Addr(), v), Hint: "give the file alone: --mb-policy FILE"}
	}
	return nil
}

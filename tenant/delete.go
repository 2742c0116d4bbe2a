package tenant

import (
	"context"
	"fmt"

	"github.com/keylime/keylime-tenant/client"
)

// DeleteRequest ends the attestation of an agent.
type DeleteRequest struct {
	ID string
	// NoCheck does not read the verifier's record before.
	NoCheck bool
	// MustExist makes an agent that is not enrolled a *[NotFoundError].
	MustExist bool
	// WaitGone asks until the record is gone even when the verifier says that
	// it has deleted it at once. A verifier that has only accepted the deletion
	// is always asked.
	WaitGone bool
}

// Delete ends the attestation of an agent: the verifier forgets it, together
// with the policies named like it. The registrar keeps its record. The requests
// go to the verifier that the caller chose, whatever address the record holds.
//
// An agent that is not enrolled is a result, unless MustExist. Errors:
// *[InvalidError], *[NotFoundError], and *[StepError] with the cause, which is
// a *[WaitError] when the verifier has accepted the deletion but not done it.
func (t *Tenant) Delete(ctx context.Context, r DeleteRequest) (*DeleteResult, error) {
	if err := CheckAgentID(r.ID); err != nil {
		return nil, err
	}
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepDelete, ID: r.ID, Err: err}
	}
	missing := func(err error) error {
		return &NotFoundError{What: "agent", Name: r.ID, Server: ServerVerifier, Err: err, Hint: "keylime_tenant cvlist shows the agents that are enrolled"}
	}
	started := DeleteStarted{ID: r.ID}
	if !r.NoCheck {
		found, reply, err := t.Verifier.Agent(ctx, r.ID)
		switch {
		case client.KindOf(err) == client.NotFound:
			t.emit(NotEnrolled{ID: r.ID})
			if r.MustExist {
				return nil, missing(err)
			}
			t.emit(Deleted{ID: r.ID, Absent: true})
			return &DeleteResult{ID: r.ID, Absent: true}, nil
		case err != nil:
			return nil, &StepError{Step: StepStatus, ID: r.ID, Err: err}
		}
		t.emit(VerifierStatus{ID: r.ID, Agent: found, Reply: reply})
		started.Agent = found
	}
	t.emit(started)
	gone, _, err := t.unenrol(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if gone.Absent && r.MustExist {
		return nil, missing(nil)
	}
	if r.WaitGone && !gone.Absent && !gone.Polled {
		if gone, err = t.pollGone(ctx, r.ID); err != nil {
			return nil, err
		}
		gone.Polled = false
	}
	t.emit(gone)
	return &DeleteResult{ID: r.ID, Absent: gone.Absent, Tries: gone.Tries}, nil
}

// unenrol deletes an enrolment and, if the verifier has only accepted that,
// waits until it is gone. asked is what is known of the deletion.
func (t *Tenant) unenrol(ctx context.Context, id string) (gone Deleted, asked outcome, err error) {
	pending, _, err := t.Verifier.Delete(ctx, id)
	switch {
	case client.KindOf(err) == client.NotFound:
		return Deleted{ID: id, Absent: true, AtDelete: true}, done, nil
	case err != nil:
		return Deleted{}, outcomeOf(err), &StepError{Step: StepDelete, ID: id, Err: err}
	case pending:
		gone, err = t.pollGone(ctx, id)
		return gone, done, err
	}
	return Deleted{ID: id}, done, nil
}

// pollGone asks for a record until there is none.
func (t *Tenant) pollGone(ctx context.Context, id string) (Deleted, error) {
	for tries := 0; ; {
		_, _, err := t.Verifier.Agent(ctx, id)
		if client.KindOf(err) == client.NotFound {
			return Deleted{ID: id, Polled: true, Tries: tries}, nil
		}
		if err != nil && !passing(err) {
			return Deleted{}, &StepError{Step: StepWaitDeleted, ID: id, Tries: tries, Err: err}
		}
		tries++
		if tries >= t.Retry.Max {
			return Deleted{}, &StepError{Step: StepWaitDeleted, ID: id, Tries: tries, Err: &WaitError{ID: id, Tries: tries, Err: err,
				Cause: fmt.Sprintf("the verifier has accepted the deletion but not done it after %d tries", tries),
				Hint:  "keylime_tenant cvstatus " + id + " shows whether it is gone"}}
		}
		delay := t.Retry.Delay(tries)
		t.emit(DeleteRetry{ID: id, Try: tries, Max: t.Retry.Max, Delay: delay})
		if err := t.sleep(ctx, delay); err != nil {
			return Deleted{}, &StepError{Step: StepWaitDeleted, ID: id, Tries: tries, Err: err}
		}
	}
}

package tenant

import (
	"context"
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
)

// verifyKey waits until the agent has proven that it holds K (PROTOCOL.md 7.1).
//
// Between the tries it looks at the agent's state, so that the reason for which
// V never arrived is reported, and not its absence (USERS.md 1.1). On giving up
// it tells the verifier to stop, as the Python tenant does.
func (e *enrolment) verifyKey(ctx context.Context) error {
	t, id := e.t, e.plan.ID
	challenge, err := payload.NewChallenge(t.rand())
	if err != nil {
		return e.fail(StepVerifyKey, err)
	}
	expected := payload.Challenge(e.plan.payload.keys.K, challenge)
	for tries := 1; ; tries++ {
		answer, _, err := e.agent.VerifyKey(ctx, challenge)
		if err == nil && payload.EqualTag(answer, expected) {
			t.emit(KeyVerified{ID: id})
			return nil
		}
		if ended := interrupted(ctx); ended != nil {
			return e.fail(StepVerifyKey, ended)
		}
		reason := e.badState(ctx)
		if hopeless(err) || reason != nil || tries >= t.Retry.Max {
			if ended := interrupted(ctx); ended != nil {
				return e.fail(StepVerifyKey, ended)
			}
			return e.keyNotDerived(ctx, tries, len(answer), reason, err)
		}
		delay := t.Retry.Delay(tries)
		t.emit(KeyRetry{ID: id, Try: tries, Max: t.Retry.Max, Received: len(answer), Delay: delay})
		if err := t.sleep(ctx, delay); err != nil {
			return e.fail(StepVerifyKey, err)
		}
	}
}

// hopeless says whether asking an agent again can change nothing.
func hopeless(err error) bool {
	kind := client.KindOf(err)
	return kind == client.ServerUntrusted || kind == client.ClientRefused
}

// badState is the refusal that the verifier's state of the agent stands for,
// nil if there is none or if it cannot be had.
func (e *enrolment) badState(ctx context.Context) *RefusedError {
	found, _, err := e.t.Verifier.Agent(ctx, e.plan.ID)
	if err != nil {
		return nil
	}
	return e.refusal(found)
}

// refusal names the reason for a failed state, nil for any other state.
func (e *enrolment) refusal(found *verifier.Agent) *RefusedError {
	refused := &RefusedError{ID: e.plan.ID, State: found.State.String(), EventID: eventID(found)}
	switch {
	case found.State == verifier.Failed, found.State == verifier.InvalidQuote:
	case found.State == verifier.TenantQuoteFailed:
		refused.Cause = "somebody has stopped its attestation"
		return refused
	case push(found) && found.AttestationStatus == statusFail:
		refused.State = statusFail
	default:
		return nil
	}
	refused.Cause = DescribeEvent(refused.EventID)
	if refused.Cause == "" {
		refused.Cause = unexplained(found)
	}
	if refused.EventID != "" {
		refused.Cause += " (" + printable(refused.EventID) + ")"
	}
	refused.Hint = "keylime_tenant explain " + e.plan.ID + " shows all that differs, and what would accept it"
	return refused
}

// keyNotDerived gives up: it tells the verifier to stop and says what is left.
func (e *enrolment) keyNotDerived(ctx context.Context, tries, received int, reason *RefusedError, last error) error {
	t, id := e.t, e.plan.ID
	wait := &WaitError{ID: id, Tries: tries, Received: received, Err: last,
		Cause: fmt.Sprintf("the agent has not derived the key after %d tries", tries),
		Hint:  "keylime_tenant cvstatus " + id + " shows how its attestation goes"}
	failed := e.fail(StepVerifyKey, wait)
	failed.Tries = tries
	if reason != nil {
		reason.Err, failed.Hint = wait, reason.Hint
		failed.Err = reason
	}
	e.stays = true
	report := &UndoneError{Err: failed}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.undoLimit())
	defer cancel()
	if _, err := t.Verifier.Stop(ctx, id); err != nil {
		report.Left = append(report.Left, Leftover{What: fmt.Sprintf("the agent stays enrolled and attested: telling the verifier to stop failed (%v)", err), Command: deleteCommand(id)})
		return report
	}
	t.emit(Stopped{ID: id})
	report.Left = append(report.Left, Leftover{What: "the agent stays enrolled, and its attestation is stopped", Command: deleteCommand(id)})
	return report
}

func deleteCommand(id string) []string { return []string{"keylime_tenant", "delete", id} }

const (
	// defaultWait is how long WaitAttested waits when no limit is given.
	defaultWait = time.Minute
	// pollPause is the pause between two questions to the verifier.
	pollPause = 500 * time.Millisecond
)

// waitAttested waits until the verifier has accepted a quote. shown is the
// record that has just been read.
func (e *enrolment) waitAttested(ctx context.Context, shown *verifier.Agent) (*verifier.Agent, error) {
	t, id := e.t, e.plan.ID
	start := t.now()
	limit := e.plan.WaitLimit
	if limit <= 0 {
		limit = defaultWait
	}
	var told Waiting
	var last error
	for {
		if last == nil {
			if refused := e.refusal(shown); refused != nil {
				// The enrolment does not stay, and without it there is nothing to explain.
				refused.Hint = "enrol it without waiting for its attestation, then keylime_tenant explain " + id + " shows all that differs"
				return nil, e.fail(StepWait, refused)
			}
			if shown.AttestationCount > 0 {
				t.emit(Attested{ID: id, Count: shown.AttestationCount, After: t.now().Sub(start)})
				return shown, nil
			}
			if now := (Waiting{ID: id, State: shown.State.String(), Count: shown.AttestationCount}); now != told {
				told = now
				t.emit(told)
			}
		}
		if t.now().Sub(start) >= limit {
			return nil, e.fail(StepWait, &WaitError{ID: id, Err: last, Cause: fmt.Sprintf("the verifier has not accepted a quote within %v", limit),
				Hint: "give it more time, or add it without waiting and follow it with keylime_tenant watch " + id})
		}
		if err := t.sleep(ctx, pollPause); err != nil {
			return nil, e.fail(StepWait, err)
		}
		found, _, err := t.Verifier.Agent(ctx, id)
		switch {
		case err == nil:
			shown, last = found, nil
		case client.KindOf(err) == client.NotFound || !passing(err):
			return nil, e.fail(StepWait, err)
		default:
			last = err
		}
	}
}

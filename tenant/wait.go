package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// WaitGoal is what can be waited for.
type WaitGoal string

// The goals.
const (
	// WaitHealthy: the agent is [HealthHealthy].
	WaitHealthy WaitGoal = "healthy"
	// WaitFailed: the agent is [HealthFailed].
	WaitFailed WaitGoal = "failed"
	// WaitAbsent: the verifier does not have the agent.
	WaitAbsent WaitGoal = "absent"
)

// SchemaWait is the schema of a [WaitResult].
const SchemaWait = "keylime_tenant/wait/v1"

// DefaultWaitLimit is how long [Tenant.Wait] waits without a limit.
const DefaultWaitLimit = 5 * time.Minute

// WaitRequest asks to wait until an agent is what it should be.
type WaitRequest struct {
	ID  string
	For WaitGoal
	// Limit is the longest wait, 0 for [DefaultWaitLimit].
	Limit time.Duration
	// Pause is the time between two questions, 0 for half a second.
	Pause time.Duration
	// MaxAge is as of [Judge].
	MaxAge time.Duration
}

// WaitResult says that what was waited for is there.
type WaitResult struct {
	Schema string   `json:"schema"`
	ID     string   `json:"agent_id"`
	For    WaitGoal `json:"for"`
	// Health and Reason are those of the agent; empty for [WaitAbsent].
	Health           Health `json:"health,omitempty"`
	Reason           string `json:"reason,omitempty"`
	AttestationCount int    `json:"attestation_count"`
	// Waited is in seconds.
	Waited float64 `json:"waited_seconds"`
	// Looks is how often the verifier was asked.
	Looks int `json:"looks"`
}

// WaitingFor: an agent is not yet what is waited for. It is told when the
// reason changes.
type WaitingFor struct {
	ID     string
	For    WaitGoal
	Health Health
	Reason string
}

func (WaitingFor) event() {}

// waiter is one call of [Tenant.Wait].
type waiter struct {
	t      *Tenant
	r      WaitRequest
	result *WaitResult
	told   WaitingFor
	// last is the failure of the last question, nil if it was answered.
	last error
}

// Wait asks the verifier, one record each time, until an agent is what it
// should be. A verifier that does not answer is asked again.
//
// It ends early where waiting cannot help: for [WaitHealthy] when the agent has
// failed or was stopped, and unless [WaitAbsent] is waited for when the
// verifier does not have the agent. Errors: *[InvalidError], *[NotFoundError],
// *[StepError] with *[RefusedError], *[WaitError] or the failure of the
// verifier.
func (t *Tenant) Wait(ctx context.Context, r WaitRequest) (*WaitResult, error) {
	if err := CheckAgentID(r.ID); err != nil {
		return nil, err
	}
	if r.Limit <= 0 {
		r.Limit = DefaultWaitLimit
	}
	if r.Pause <= 0 {
		r.Pause = pollPause
	}
	w := &waiter{t: t, r: r, result: &WaitResult{Schema: SchemaWait, ID: r.ID, For: r.For}}
	start := t.now()
	// A question must not outlast the limit either.
	limited, cancel := context.WithTimeout(ctx, r.Limit)
	defer cancel()
	for {
		w.result.Looks++
		reached, err := w.look(limited)
		waited := t.now().Sub(start)
		w.result.Waited = waited.Round(time.Millisecond).Seconds()
		switch {
		case reached:
			return w.result, nil
		case interrupted(ctx) != nil:
			return nil, &StepError{Step: StepWaitFor, ID: r.ID, Err: interrupted(ctx)}
		case err != nil && limited.Err() == nil:
			return nil, err
		case waited >= r.Limit || limited.Err() != nil:
			return nil, w.timedOut()
		}
		if err := t.sleep(limited, r.Pause); err != nil && interrupted(ctx) != nil {
			return nil, &StepError{Step: StepWaitFor, ID: r.ID, Err: interrupted(ctx)}
		}
	}
}

// StepWaitFor is the step of [Tenant.Wait].
const StepWaitFor Step = "waiting"

// look asks once. reached says that the wait is over; an error that it is in
// vain.
func (w *waiter) look(ctx context.Context) (reached bool, err error) {
	if err := w.t.askVerifier(ctx); err != nil {
		return false, w.later(err)
	}
	found, _, err := w.t.Verifier.Agent(ctx, w.r.ID)
	switch {
	case isNotFound(err) && w.r.For == WaitAbsent:
		return true, nil
	case isNotFound(err):
		return false, &NotFoundError{What: "agent", Name: w.r.ID, Server: ServerVerifier, Err: err, Hint: "keylime_tenant add " + w.r.ID + " enrols it"}
	case err != nil:
		return false, w.later(err)
	}
	w.last = nil
	return w.judge(found)
}

// later is the error itself if asking again cannot help.
func (w *waiter) later(err error) error {
	if passing(err) {
		if w.told.Health != "" && errors.Is(err, context.DeadlineExceeded) {
			return nil // the limit may have cut it off: what was seen before says more
		}
		w.last = err
		w.tell(HealthUnknown, err.Error())
		return nil
	}
	return &StepError{Step: StepWaitFor, ID: w.r.ID, Err: err}
}

func (w *waiter) judge(found *verifier.Agent) (reached bool, err error) {
	health, reason := Judge(found, w.t.now(), w.r.MaxAge)
	w.result.AttestationCount = found.AttestationCount
	switch {
	case w.r.For == WaitHealthy && health == HealthHealthy, w.r.For == WaitFailed && health == HealthFailed:
		w.result.Health, w.result.Reason = health, reason
		return true, nil
	case w.r.For == WaitHealthy && (health == HealthFailed || health == HealthStopped):
		hint := "keylime_tenant explain " + w.r.ID + " shows all that differs; " + Anew(w.r.ID, push(found)) + " makes the verifier attest it again"
		if health == HealthStopped {
			hint = Again(w.r.ID, push(found)) + " starts its attestation again"
		}
		return false, &StepError{Step: StepWaitFor, ID: w.r.ID,
			Err: &RefusedError{ID: w.r.ID, State: saidState(found), EventID: eventID(found), Cause: reason, Hint: hint}}
	}
	w.tell(health, reason)
	return false, nil
}

func (w *waiter) tell(health Health, reason string) {
	if now := (WaitingFor{ID: w.r.ID, For: w.r.For, Health: health, Reason: reason}); now != w.told {
		w.told = now
		w.t.emit(now)
	}
}

// timedOut says what the agent was instead.
func (w *waiter) timedOut() error {
	wait := &WaitError{ID: w.r.ID, Tries: w.result.Looks, Err: w.last,
		Cause: fmt.Sprintf("agent %s is not %s after %v", w.r.ID, w.r.For, w.r.Limit)}
	if w.last == nil && w.told.Health != "" {
		wait.Cause += fmt.Sprintf(": it is %s (%s)", w.told.Health, w.told.Reason)
	}
	return wait
}

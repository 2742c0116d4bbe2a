package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

const (
	// defaultUndo is the time that undoing may take when no limit is given.
	defaultUndo = 20 * time.Second
	// undoPause is the pause between two tries of an undoing step, undoTries
	// their number: together about defaultUndo.
	undoPause = 500 * time.Millisecond
	undoTries = 40
)

func (t *Tenant) undoLimit() time.Duration {
	if t.UndoLimit > 0 {
		return t.UndoLimit
	}
	return defaultUndo
}

// undo takes back what has been changed, and returns the failure with what was
// undone and what is left. It works on after the context of the run has ended.
func (e *enrolment) undo(ctx context.Context, failure error) error {
	if e.stays || !e.uGiven && e.removed <= refused && e.posted == notAsked {
		return failure
	}
	if e.uGiven || e.removed > refused || e.posted > refused {
		// After a refused POST there is nothing of ours but perhaps a policy.
		e.t.emit(Undoing{ID: e.plan.ID, Err: failure})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.t.undoLimit())
	defer cancel()
	report := &UndoneError{Err: failure}
	gone := e.undoPost(ctx, report)
	if gone && e.posted != notAsked {
		e.undoPolicies(ctx, report)
	}
	if e.removed > refused {
		if gone {
			e.restore(ctx, report)
		} else {
			report.Left = append(report.Left, Leftover{What: "the old enrolment could not be put back, since the new one may still be there"})
		}
	}
	if e.uGiven {
		report.Left = append(report.Left, Leftover{What: e.agentHolds()})
	}
	if len(report.Undone)+len(report.Left) == 0 {
		return failure
	}
	return report
}

// agentHolds says what the agent keeps of the payload and its key: that cannot
// be taken back.
func (e *enrolment) agentHolds() string {
	switch {
	case e.keyProven:
		return "the agent has the payload"
	case e.posted > refused && !e.absent:
		return "the agent holds its share of a key, and has the payload if the verifier has accepted a quote of it meanwhile"
	}
	return "the agent holds its share of a key that nobody can complete; it is gone when the agent restarts"
}

// undone notes and tells that a step was taken back.
func (e *enrolment) undone(report *UndoneError, what string) {
	report.Undone = append(report.Undone, what)
	e.t.emit(Undone{What: what})
}

// undoPost removes the new enrolment, and says whether the verifier has none of
// ours now. It removes nothing that may be somebody else's.
func (e *enrolment) undoPost(ctx context.Context, report *UndoneError) (gone bool) {
	id := e.plan.ID
	if e.posted <= refused {
		return true
	}
	if e.posted == unsure {
		found, err := e.t.look(ctx, id)
		if err == nil && found == nil && e.t.sleep(ctx, undoPause) == nil {
			// The request may have been on its way still.
			found, err = e.t.look(ctx, id)
		}
		switch {
		case err != nil:
			report.Left = append(report.Left, Leftover{Command: deleteCommand(id),
				What: fmt.Sprintf("the agent may be enrolled: the answer of the verifier is lost, and it cannot be asked (%v)", err)})
			return false
		case found == nil:
			e.absent = true
			report.Left = append(report.Left, Leftover{What: "nothing on the verifier: it was asked after that, and does not have the agent"})
			return true
		case !e.ours(found):
			report.Left = append(report.Left, Leftover{What: "the agent is enrolled by somebody else in the meantime; that enrolment was left alone"})
			return false
		}
	}
	found, err := e.t.remove(ctx, id)
	if err != nil {
		report.Left = append(report.Left, Leftover{What: fmt.Sprintf("the agent is enrolled: deleting it from the verifier failed (%v)", err), Command: deleteCommand(id)})
		return false
	}
	if found {
		e.undone(report, "the agent was deleted from the verifier")
	}
	return true
}

// ours says whether an enrolment is the one that was posted here: V is random,
// and without one everything that the verifier shows must agree.
func (e *enrolment) ours(found *verifier.Agent) bool {
	sent := e.request()
	if sent.V != nil || found.V != nil {
		return sent.V != nil && found.V != nil && *sent.V == *found.V
	}
	return found.TPMPolicy == sent.TPMPolicy && found.MetaData == sent.Metadata &&
		(found.IP == nil || sent.CloudagentIP != nil && *found.IP == *sent.CloudagentIP)
}

// look reads the verifier's record of an agent, nil if there is none. It tries
// again while the verifier does not answer.
func (t *Tenant) look(ctx context.Context, id string) (*verifier.Agent, error) {
	for try := 1; ; try++ {
		found, _, err := t.Verifier.Agent(ctx, id)
		if client.KindOf(err) == client.NotFound {
			return nil, nil
		}
		if err == nil || try >= undoTries || !passing(err) {
			return found, err
		}
		if ended := t.sleep(ctx, undoPause); ended != nil {
			return nil, errors.Join(err, ended)
		}
	}
}

// remove deletes an enrolment and waits until it is gone, without telling.
// found says whether there was one.
func (t *Tenant) remove(ctx context.Context, id string) (found bool, err error) {
	for try := 1; ; try++ {
		pending, _, err := t.Verifier.Delete(ctx, id)
		switch {
		case client.KindOf(err) == client.NotFound:
			return try > 1, nil
		case err == nil && pending:
			return true, t.waitGone(ctx, id)
		case err == nil:
			return true, nil
		case try >= undoTries || !passing(err):
			return false, err
		}
		if ended := t.sleep(ctx, undoPause); ended != nil {
			return false, errors.Join(err, ended)
		}
	}
}

// waitGone waits until the verifier has no record of an agent that it is about
// to remove.
func (t *Tenant) waitGone(ctx context.Context, id string) error {
	for range undoTries {
		found, err := t.look(ctx, id)
		if err != nil {
			return err
		}
		if found == nil {
			return nil
		}
		if err := t.sleep(ctx, undoPause); err != nil {
			return err
		}
	}
	return errors.New("the verifier has accepted the deletion but not done it")
}

// undoPolicies removes the stored policies that a failed request may have left:
// a later enrolment of the same agent would silently be held against the
// runtime policy (PROTOCOL.md 4.1). It removes only what has the content that
// was sent.
func (e *enrolment) undoPolicies(ctx context.Context, report *UndoneError) {
	p, store := e.plan.policies, e.t.Verifier
	var failed *client.Error
	conflict := e.posted == refused && errors.As(report.Err, &failed) && failed.Kind == client.Conflict
	if conflict && e.enrolledMeanwhile(ctx) {
		return // they belong to another enrolment
	}
	// After a conflict a policy of that name was there before, as far as is known.
	if name := p.runtimeName; name == "" || p.runtime != nil && !conflict {
		if name == "" {
			name = e.plan.ID
		}
		e.removePolicy(ctx, report, leftPolicy{RuntimeKind, name, func() (bool, error) {
			stored, _, err := store.RuntimePolicy(ctx, name)
			return err == nil && e.sent(stored.RuntimePolicy), err
		}, store.DeleteRuntimePolicy})
	}
	if name := p.measuredBootName; name != "" && p.measuredBoot != nil && !conflict {
		e.removePolicy(ctx, report, leftPolicy{MBKind, name, func() (bool, error) {
			stored, _, err := store.MBPolicy(ctx, name)
			return err == nil && stored.MBPolicy != nil && sameJSON(*stored.MBPolicy, []byte(*p.measuredBoot)), err
		}, store.DeleteMBPolicy})
	}
}

// leftPolicy is a stored policy that may be ours.
type leftPolicy struct {
	kind   PolicyKind
	name   string
	ours   func() (bool, error)
	remove func(context.Context, string) (*client.Reply, error)
}

func (e *enrolment) removePolicy(ctx context.Context, report *UndoneError, p leftPolicy) {
	ours, err := p.ours()
	if client.KindOf(err) == client.NotFound || err == nil && !ours {
		return
	}
	if err == nil {
		_, err = p.remove(ctx, p.name)
	}
	object := string(p.kind) + " " + p.name
	if err != nil && client.KindOf(err) != client.NotFound {
		command := []string{"keylime_tenant", policyCommand(PolicyDelete, p.kind), p.name}
		text := fmt.Sprintf("the verifier may keep the %s of the request that failed (%v)", object, err)
		e.t.emit(Warning{Kind: WarnLeftPolicy, ID: e.plan.ID, Object: object, Text: text, Hint: strings.Join(command, " ") + " removes it"})
		report.Left = append(report.Left, Leftover{What: text, Command: command})
		return
	}
	e.undone(report, "the "+object+", which the failed request had left on the verifier, was removed")
}

func (e *enrolment) enrolledMeanwhile(ctx context.Context) bool {
	found, err := e.t.look(ctx, e.plan.ID)
	return err != nil || found != nil
}

// sent says whether a stored runtime policy is what the request has brought:
// its own, or without one the empty policy that the verifier stores then.
func (e *enrolment) sent(stored string) bool {
	if e.plan.policies.payload != nil {
		return sameJSON(stored, e.plan.policies.payload)
	}
	var policy struct {
		Meta struct {
			Generator *int `json:"generator"`
		} `json:"meta"`
		Digests  map[string]json.RawMessage `json:"digests"`
		Excludes []string                   `json:"excludes"`
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(stored)))
	return decoder.Decode(&policy) == nil && policy.Meta.Generator != nil && *policy.Meta.Generator == 1 &&
		len(policy.Digests) == 0 && len(policy.Excludes) == 0
}

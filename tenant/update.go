package tenant

import (
	"context"
	"slices"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// UpdateRequest replaces the enrolment of an agent.
type UpdateRequest struct {
	AddRequest
	// Create adds an agent that is not enrolled; Compat does so too.
	Create bool
	// NoCheck does not tell what the verifier holds before; it is read all the
	// same, to be put back if need be.
	NoCheck bool
}

// Update replaces the enrolment of an agent by a new one. Nothing of the old
// one is carried over.
//
// Everything that Add checks is checked while the old enrolment is active, and
// so is that the policies named can be had; the agent is given its new share
// of the key then, so that after the old enrolment has gone only one call is
// left. A failure in between puts the old enrolment back as far as the
// verifier lets: it does not show signature keys of IMA, the key for
// revocation notices, nor which stored policy an agent uses. The *[UndoneError]
// says what was put back and what was not. An enrolment that comes back
// without a policy that it had comes back without V, so that no agent gets its
// payload for less than it was held against before.
//
// Errors as of [Tenant.Add]; an agent that is not enrolled is a
// *[NotFoundError] unless Create or Compat adds it.
func (t *Tenant) Update(ctx context.Context, r UpdateRequest) (*AddResult, error) {
	p, err := t.prepare(r.AddRequest)
	if err != nil {
		return nil, err
	}
	e := &enrolment{t: t, plan: p, old: &oldEnrolment{create: r.Create || r.Compat, quiet: r.NoCheck}}
	return e.run(ctx, e.replaceable)
}

// oldEnrolment is what an update replaces.
type oldEnrolment struct {
	create, quiet bool

	// agent is the verifier's record; nil if the agent is not enrolled.
	agent *verifier.Agent
	// runtime and measuredBoot are the policies that the verifier deletes
	// together with the agent; the names are those of policies that stay.
	runtime          *string
	runtimeName      string
	measuredBoot     *string
	measuredBootName string
	// lost is what the verifier does not show, in words; weaker says that the
	// agent would be held against less without it.
	lost   []string
	weaker bool
}

func (o *oldEnrolment) present() bool { return o != nil && o.agent != nil }

// read reads the verifier's record, before anything is changed.
func (o *oldEnrolment) read(ctx context.Context, e *enrolment) error {
	t, id := e.t, e.plan.ID
	if err := e.askVerifier(ctx); err != nil {
		return err
	}
	found, reply, err := t.Verifier.Agent(ctx, id)
	switch {
	case client.KindOf(err) == client.NotFound:
		if !o.create {
			return &NotFoundError{What: "agent", Name: id, Server: ServerVerifier, Err: err, Hint: "keylime_tenant add " + id + " adds it, and so does update with --create"}
		}
		if !o.quiet {
			t.emit(NotEnrolled{ID: id})
		}
		t.emit(Deleted{ID: id, Absent: true, AtDelete: o.quiet})
		return nil
	case err != nil:
		return e.fail(StepStatus, err)
	}
	if !o.quiet {
		t.emit(VerifierStatus{ID: id, Agent: found, Reply: reply})
	}
	o.agent = found
	return nil
}

// replaceable checks what only the verifier knows: that the named policies can
// be had, and what the old enrolment consists of.
func (e *enrolment) replaceable(ctx context.Context) error {
	if !e.old.present() {
		return e.notYetEnrolled(ctx)
	}
	if err := e.namesUsable(ctx); err != nil {
		return err
	}
	return e.old.keepPolicies(ctx, e)
}

// namesUsable checks policy names before the old enrolment goes: one without
// content must be there, one with content must not (PROTOCOL.md 4.1).
func (e *enrolment) namesUsable(ctx context.Context) error {
	p, store := e.plan.policies, e.t.Verifier
	check := func(kind PolicyKind, name string, content bool, read func() error) error {
		switch {
		case name == "":
			return nil
		case name == e.plan.ID && content:
			return nil // the verifier deletes it together with the agent
		case name == e.plan.ID:
			return &InvalidError{Kind: InvalidPolicyName, Object: string(kind) + " " + name,
				Cause: "a policy that is named like the agent is deleted together with its old enrolment", Hint: "give the content too, or store the policy under another name"}
		}
		err := read()
		switch {
		case err == nil && content:
			return e.fail(StepEnrol, &ConflictError{What: string(kind), Name: name, Reason: "is stored on the verifier already",
				Hint: "name it without a file to use it, or change it with " + policyCommand(PolicyUpdate, kind)})
		case client.KindOf(err) == client.NotFound && !content:
			return e.fail(StepEnrol, &NotFoundError{What: string(kind), Name: name, Server: ServerVerifier, Err: err,
				Hint: "keylime_tenant " + policyCommand(PolicyList, kind) + " shows the names that there are"})
		case client.KindOf(err) == client.NotFound:
			return nil
		case err != nil:
			return e.fail(StepEnrol, err)
		}
		return nil
	}
	if err := check(RuntimeKind, p.runtimeName, p.runtime != nil, func() error {
		_, _, err := store.RuntimePolicy(ctx, p.runtimeName)
		return err
	}); err != nil {
		return err
	}
	return check(MBKind, p.measuredBootName, p.measuredBoot != nil, func() error {
		_, _, err := store.MBPolicy(ctx, p.measuredBootName)
		return err
	})
}

// keepPolicies finds out which policies the old enrolment has. The verifier
// shows those that it keeps under the agent's id; of the others it shows only
// that there are some, so a name is certain only if there is but one.
func (o *oldEnrolment) keepPolicies(ctx context.Context, e *enrolment) error {
	store, id := e.t.Verifier, e.plan.ID
	wantsIMA := o.agent.HasRuntimePolicy != 0 || maskOf(o.agent.TPMPolicy)&imaMask != 0
	own, _, err := store.RuntimePolicy(ctx, id)
	switch {
	case err == nil:
		o.runtime = &own.RuntimePolicy
	case client.KindOf(err) == client.Canceled:
		return e.fail(StepStatus, err)
	case wantsIMA:
		names, _, listErr := store.RuntimePolicies(ctx)
		if name, only := onlyOne(names, id); listErr == nil && client.KindOf(err) == client.NotFound && only {
			o.runtimeName = name
		} else {
			o.lost, o.weaker = append(o.lost, "its runtime policy (the verifier does not show which of its stored policies that was)"), true
		}
	}
	if maskOf(o.agent.TPMPolicy)&imaMask != 0 {
		o.lost = append(o.lost, "keys for IMA signatures that were given beside the runtime policy, if there were any (the verifier does not show them)")
	}
	mb, _, err := store.MBPolicy(ctx, id)
	switch {
	case err == nil:
		o.measuredBoot = mb.MBPolicy
	case client.KindOf(err) == client.Canceled:
		return e.fail(StepStatus, err)
	case o.agent.HasMBRefstate != 0:
		names, _, listErr := store.MBPolicies(ctx)
		if name, only := onlyOne(names, id); listErr == nil && client.KindOf(err) == client.NotFound && only {
			o.measuredBootName = name
		} else {
			o.lost, o.weaker = append(o.lost, "its measured-boot policy (the verifier does not show which of its stored policies that was)"), true
		}
	}
	if o.agent.MetaData != "" && o.agent.MetaData != "{}" {
		o.lost = append(o.lost, "the key that signs revocation notices (the verifier does not show it)")
	}
	return nil
}

// onlyOne is the only name in a list beside the agent's own.
func onlyOne(names []string, id string) (string, bool) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == id })
	if len(names) != 1 {
		return "", false
	}
	return names[0], true
}

// replace deletes the old enrolment, if there is one.
func (e *enrolment) replace(ctx context.Context) error {
	if !e.old.present() {
		return nil
	}
	if err := interrupted(ctx); err != nil {
		return e.fail(StepDelete, err)
	}
	t, id := e.t, e.plan.ID
	started := DeleteStarted{ID: id}
	if !e.old.quiet {
		started.Agent = e.old.agent
	}
	t.emit(started)
	gone, asked, err := t.unenrol(ctx, id)
	e.removed = asked
	if err != nil {
		return err
	}
	t.emit(gone)
	return nil
}

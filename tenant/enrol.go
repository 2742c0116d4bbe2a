package tenant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
)

// notYetEnrolled makes sure that the verifier has no enrolment of the agent,
// so that nothing is given to an agent that cannot be added, and whatever is
// there after a lost answer is known to be ours.
func (e *enrolment) notYetEnrolled(ctx context.Context) error {
	id := e.plan.ID
	found, _, err := e.t.Verifier.Agent(ctx, id)
	switch {
	case client.KindOf(err) == client.NotFound:
		return e.noStalePolicy(ctx)
	case err != nil:
		return e.fail(StepEnrol, err)
	}
	reason := "is enrolled with the verifier already"
	if state := found.State.String(); state != "" {
		reason += fmt.Sprintf(" (state %q)", state)
	}
	return e.fail(StepEnrol, &ConflictError{What: "agent", Name: id, Reason: reason,
		Hint: "keylime_tenant update " + id + " replaces the enrolment, keylime_tenant delete " + id + " ends it"})
}

// noStalePolicy removes a runtime policy that an earlier enrolment has left
// under the agent's id: the verifier would silently use it in place of the one
// that is sent now (PROTOCOL.md 4.1, step 6).
func (e *enrolment) noStalePolicy(ctx context.Context) error {
	p := e.plan.policies
	if p.runtime == nil || p.runtimeName != "" {
		return nil
	}
	id := e.plan.ID
	stored, _, err := e.t.Verifier.RuntimePolicy(ctx, id)
	switch {
	case client.KindOf(err) == client.NotFound,
		client.KindOf(err) == client.Refused && httpStatus(err) < 500: // not a question for this verifier
		return nil
	case err != nil:
		return e.fail(StepEnrol, err)
	case sameJSON(stored.RuntimePolicy, p.payload):
		return nil
	}
	_, err = e.t.Verifier.DeleteRuntimePolicy(ctx, id)
	if err != nil && client.KindOf(err) != client.NotFound {
		if client.KindOf(err) == client.Conflict {
			err = &ConflictError{What: string(RuntimeKind), Name: id, Reason: serverText(err), Err: err,
				Hint: "the verifier would use this old policy in place of the one given: name the new one with --runtime-policy-name"}
		}
		return e.fail(StepEnrol, err)
	}
	e.t.emit(Warning{Kind: WarnLeftPolicy, ID: id, Object: string(RuntimeKind) + " " + id,
		Text: "another runtime policy was left on the verifier under the id of the agent and would have been used in place of the one given: it was removed"})
	return nil
}

// sameJSON says whether two JSON texts have the same content.
func sameJSON(a string, b []byte) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// giveU gives the agent its share of the key and the payload, if there is one.
func (e *enrolment) giveU(ctx context.Context, to provenAgent) error {
	secret := e.plan.payload
	if secret.keys == nil {
		return nil
	}
	sealed, err := payload.SealShare(secret.keys.U, to.quote.TransportKeyPEM(), e.t.rand())
	if err != nil {
		return e.fail(StepPostU, err)
	}
	if err := interrupted(ctx); err != nil {
		return e.fail(StepPostU, err)
	}
	_, err = to.agent.PostU(ctx, agent.UKeyRequest{EncryptedKey: sealed, AuthTag: secret.authTag, Payload: secret.sealed})
	if e.uGiven = outcomeOf(err) >= unsure; err != nil {
		return e.fail(StepPostU, err)
	}
	e.t.emit(UDelivered{ID: e.plan.ID})
	return nil
}

// request is what the verifier is sent: the policies, and the very AK and
// certificate that were checked (CVE-2022-1053).
func (e *enrolment) request() verifier.AddRequest {
	p, policies := e.plan, e.plan.policies
	polled := p.PolledHost
	if polled == "" {
		polled = e.host
	}
	r := verifier.AddRequest{
		VerifierIP: p.VerifierHost, VerifierPort: verifier.Port(p.VerifierPort),
		TPMPolicy:     policies.tpmWire(),
		RuntimePolicy: policies.runtimeWire(), RuntimePolicyName: policies.runtimeName, RuntimePolicyKey: policies.runtimeKeyWire(),
		MBPolicy: policies.measuredBoot, MBPolicyName: policies.measuredBootName,
		IMASignVerificationKeys: policies.imaKeys,
		Metadata:                p.payload.metadata,
		RevocationKey:           verifier.PrivateKeyPEM(p.payload.revocationKey.Bytes()),
		AcceptTPMHashAlgs:       list(p.AcceptHash), AcceptTPMEncryptionAlgs: list(p.AcceptEnc), AcceptTPMSigningAlgs: list(p.AcceptSign),
		AKTPM: e.record.AIKTPM, MTLSCert: e.record.MTLSCert, SupportedVersion: e.polledVersion().String(),
	}
	if p.payload.keys != nil {
		v := verifier.KeyShare(base64.StdEncoding.EncodeToString(p.payload.keys.V.Bytes()))
		r.V = &v
	}
	if polled != "" {
		r.CloudagentIP = &polled
	}
	if e.port != 0 {
		port := verifier.Port(e.port)
		r.CloudagentPort = &port
	}
	return r
}

// list is never nil, since the verifier wants a list.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// post enrols the agent.
func (e *enrolment) post(ctx context.Context) error {
	if err := interrupted(ctx); err != nil {
		return e.fail(StepEnrol, err)
	}
	_, err := e.t.Verifier.Add(ctx, e.plan.ID, e.request())
	e.posted = outcomeOf(err)
	if err != nil {
		return e.fail(StepEnrol, e.postError(err))
	}
	e.t.emit(Enrolled{ID: e.plan.ID})
	return nil
}

// outcomeOf says what is known of a change after its call.
func outcomeOf(err error) outcome {
	var dial *net.OpError
	switch client.KindOf(err) {
	case client.ServerUntrusted, client.ClientRefused, client.Unauthorized, client.NotFound, client.Conflict:
		return refused
	case client.Refused:
		if httpStatus(err) < 500 {
			return refused
		}
	case client.Unreachable, client.TimedOut:
		if errors.As(err, &dial) && dial.Op == "dial" {
			return refused // there was no connection to send it over
		}
	}
	if err == nil {
		return done
	}
	return unsure
}

// postError names a refusal of the verifier by its cause.
func (e *enrolment) postError(err error) error {
	id, policies := e.plan.ID, e.plan.policies
	switch client.KindOf(err) {
	case client.Conflict:
		hint := "keylime_tenant update " + id + " replaces an enrolment; a policy name that is taken needs another name, or none beside it but the name alone"
		return &ConflictError{What: "agent", Name: id, Reason: serverText(err), Hint: hint, Err: err}
	case client.NotFound:
		var kinds, names []string
		if policies.runtimeName != "" && policies.runtime == nil {
			kinds, names = append(kinds, string(RuntimeKind)), append(names, policies.runtimeName)
		}
		if policies.measuredBootName != "" && policies.measuredBoot == nil {
			kinds, names = append(kinds, string(MBKind)), append(names, policies.measuredBootName)
		}
		if len(kinds) > 0 {
			return &NotFoundError{What: strings.Join(kinds, " or "), Name: strings.Join(names, " or "), Server: ServerVerifier, Err: err,
				Hint: "keylime_tenant listruntimepolicy and listmbpolicy show the names that there are"}
		}
	}
	return err
}

// waitShown waits until the verifier shows the agent.
func (e *enrolment) waitShown(ctx context.Context) (*verifier.Agent, error) {
	t, id := e.t, e.plan.ID
	for tries := 0; ; {
		found, reply, err := t.Verifier.Agent(ctx, id)
		if err == nil {
			t.emit(VerifierStatus{ID: id, Agent: found, Reply: reply})
			t.emit(Added{ID: id, Tries: tries})
			return found, nil
		}
		tries++
		if tries >= t.Retry.Max || !passing(err) {
			failed := e.fail(StepWaitAdded, err)
			if passing(err) {
				failed.Err = &WaitError{ID: id, Tries: tries, Err: err, Cause: fmt.Sprintf("the verifier does not show the agent after %d tries", tries)}
			}
			failed.Tries = tries
			return nil, failed
		}
		delay := t.Retry.Delay(tries)
		t.emit(AddRetry{ID: id, Try: tries, Max: t.Retry.Max, Delay: delay, Err: err})
		if err := t.sleep(ctx, delay); err != nil {
			return nil, e.fail(StepWaitAdded, err)
		}
	}
}

// passing says whether a refused question to the verifier may be answered a
// little later.
func passing(err error) bool {
	switch client.KindOf(err) {
	case client.NotFound, client.Unreadable:
		return true
	case client.Refused:
		return httpStatus(err) >= 500
	}
	return transient(err)
}

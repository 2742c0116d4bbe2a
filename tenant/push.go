package tenant

import (
	"context"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// Anew is the command that has an agent attested again after a failure whose
// cause is gone. In the push model a reactivation takes no failure back: the
// verifier says FAIL until the agent is enrolled anew (PROTOCOL.md 4.2 and 4.5).
func Anew(id string, push bool) string {
	if push {
		return "keylime_tenant update " + id + " --push-model"
	}
	return "keylime_tenant reactivate " + id
}

// Again is the command that has an agent attested again that was stopped.
func Again(id string, push bool) string {
	if push {
		return Anew(id, push)
	}
	return "keylime_tenant update " + id
}

// saidState is the verifier's word for the state of an agent, "" in the push
// model, where it says "Get Quote" of an agent that nobody asks.
func saidState(a *verifier.Agent) string {
	if push(a) && a.State == verifier.GetQuote {
		return ""
	}
	return a.State.String()
}

// unexplained is the reason of a failure of which the verifier tells nothing. A
// verifier in push mode never does.
func unexplained(a *verifier.Agent) string {
	if push(a) {
		return "the verifier refuses what it shows, and does not say why (a verifier in push mode never does)"
	}
	return "the verifier does not say why"
}

// ofThePushModel says that an agent that cannot be contacted as it should is one
// of the push model, as far as can be told: the verifier is.
func (e *enrolment) ofThePushModel(ctx context.Context) bool {
	return e.t.VerifierConn != nil && e.t.askVerifier(ctx) == nil && e.t.verifierVersion.Gone
}

// needsPush is the error for an agent of the push model that is added without
// saying so.
func (e *enrolment) needsPush(kind InvalidKind, why string) error {
	return &InvalidError{Kind: kind, Object: "agent " + e.plan.ID, Cause: why + ": it uses the push model", Hint: "add --push-model"}
}

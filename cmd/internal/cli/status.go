package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

const statusCodes = `
Exit code: 0 if the agent is healthy or pending, 3 if its attestation has failed
or has stopped, 5 if the server does not know it, 6 if no good quote has come for too
long.`

func newVerifierStatusCmd(a *app) *cobra.Command {
	cmd := a.command("cvstatus ID", "what the verifier says about an agent", `Show what the verifier says about an agent: its state, how many quotes it has accepted
and when the last one was, and why attestation failed.

HEALTH is this program's own word. It asks for an accepted quote that is not overdue,
where the verifier says PASS to an agent it has never attested.
`+statusCodes,
		`keylime_tenant cvstatus d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant cvstatus ID -o json`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.VerifierStatus(ctx, args[0])
			if err != nil {
				return err
			}
			if err := a.show(result); err != nil {
				return err
			}
			return a.healthError(result)
		})
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

func newRegistrarStatusCmd(a *app) *cobra.Command {
	cmd := a.command("regstatus ID", "what the registrar says about an agent", `Show what the registrar says about an agent: where it can be reached, its endorsement
key, and how often it has registered.

operational_state "Registered" is derived: the registrar does not send it. It means that
the agent has proven to hold its TPM.`,
		`keylime_tenant regstatus d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant regstatus ID -o json`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.RegistrarStatus(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.ValidArgsFunction = a.completer(a.registeredIDs)
	return cmd
}

// healthError is the failure that a status means in the modern contract, after
// it was shown; nil if the agent is well. In the classic grammar a status is
// good when it could be read.
func (a *app) healthError(agent *tenant.VerifierAgent) error {
	if agent == nil || a.compat() {
		return nil
	}
	switch agent.Health {
	case tenant.HealthFailed:
		failed := &tenant.RefusedError{ID: agent.ID, State: agent.State, Cause: agent.LastEvent,
			Hint: programName + " explain " + agent.ID + " shows all that differs; once the cause is gone: " + tenant.Anew(agent.ID, agent.Push)}
		if failed.Cause == "" {
			failed.Cause = agent.Reason
		}
		if agent.Push {
			failed.State = "" // the state of an agent that nobody asks
		}
		return failed
	case tenant.HealthStopped:
		return &tenant.RefusedError{ID: agent.ID, State: agent.State, Cause: "the verifier was told to stop attesting it",
			Hint: "enrol it anew: " + tenant.Again(agent.ID, agent.Push)}
	case tenant.HealthStale, tenant.HealthLate:
		late := &tenant.WaitError{ID: agent.ID, Cause: "agent " + agent.ID + ": no good quote has come for too long",
			Hint: programName + " explain " + agent.ID + " says whether the agent would be accepted; is the verifier running, and does it reach the agent?"}
		if agent.Push {
			late.Hint = "it attests itself (push model): is the agent running, and does it reach the verifier?"
		}
		return late
	}
	return nil
}

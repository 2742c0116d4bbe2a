package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

func newReactivateCmd(a *app) *cobra.Command {
	var noCheck bool
	cmd := a.command("reactivate ID", "attest an agent anew after it has failed", `Make the verifier attest an agent anew after it has failed, with the policies and the
payload it was added with.`,
		`keylime_tenant reactivate d432fbb3-d2f1-4a97-9ef7-75bd81c00000`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.Reactivate(ctx, tenant.ReactivateRequest{ID: args[0], NoCheck: noCheck})
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.Flags().BoolVar(&noCheck, "no-verifier-check", false, "do not read the agent's record first")
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

func newStopCmd(a *app) *cobra.Command {
	cmd := a.command("stop ID", "stop attesting an agent, but keep its enrolment", `Stop attesting an agent. The verifier keeps its record, so that cvstatus shows it.

Real verifiers cannot take it up again by reactivate: enrol the agent anew by update.`,
		`keylime_tenant stop d432fbb3-d2f1-4a97-9ef7-75bd81c00000`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.Stop(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

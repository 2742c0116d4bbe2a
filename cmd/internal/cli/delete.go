package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

func newDeleteCmd(a *app) *cobra.Command {
	var noCheck, mustExist bool
	cmd := a.command("delete ID", "end the attestation of an agent", `End the attestation of an agent: the verifier forgets it, together with the policies
that are named like it. The registrar goes on knowing it; see regdelete.

Waits until the verifier has done so. An agent that is not enrolled is no failure,
unless --must-exist.`,
		`keylime_tenant delete d432fbb3-d2f1-4a97-9ef7-75bd81c00000`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.Delete(ctx, tenant.DeleteRequest{ID: args[0], NoCheck: noCheck, MustExist: mustExist})
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.Flags().BoolVar(&mustExist, "must-exist", false, "fail with exit code 5 if the agent is not enrolled")
	cmd.Flags().BoolVar(&noCheck, "no-verifier-check", false, "do not read the agent's record first")
	cmd.SuggestFor = []string{"remove", "rm", "del"}
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

func newRegistrarDeleteCmd(a *app) *cobra.Command {
	cmd := a.command("regdelete ID", "make the registrar forget an agent", `Make the registrar forget an agent. The verifier goes on attesting it if it is
enrolled; see delete. The agent registers anew when it is started the next time.`,
		`keylime_tenant regdelete d432fbb3-d2f1-4a97-9ef7-75bd81c00000`,
		agentID, func(ctx context.Context, args []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.RegistrarDelete(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.ValidArgsFunction = a.completer(a.registeredIDs)
	return cmd
}

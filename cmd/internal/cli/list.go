package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newRegistrarListCmd(a *app) *cobra.Command {
	cmd := a.command("reglist", "list the agents the registrar knows", `List the ids of the agents that the registrar knows, also of those that have not yet
proven to hold their TPM.`,
		"keylime_tenant reglist --registrarhost 10.0.0.5 --registrarport 8891\nkeylime_tenant reglist -o name",
		noArgs, func(ctx context.Context, _ []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.RegistrarList(ctx)
			if err != nil {
				return err
			}
			return a.show(result)
		})
	cmd.SuggestFor = []string{"list", "ls", "agents"}
	return cmd
}

func newVerifierListCmd(a *app) *cobra.Command {
	return a.command("cvlist", "list the agents the verifier attests", `List the ids of the agents that are enrolled with the verifier. --cvid takes only those
of one verifier where several share a database. bulkinfo shows their state as well.`,
		"keylime_tenant cvlist\nkeylime_tenant cvlist --cvid default -o json",
		noArgs, func(ctx context.Context, _ []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.VerifierList(ctx, a.global.verifierID)
			if err != nil {
				return err
			}
			return a.show(result)
		})
}

func newBulkCmd(a *app) *cobra.Command {
	return a.command("bulkinfo", "the state of all agents the verifier attests", `Show the state of all agents that are enrolled with the verifier, a line each.`,
		"keylime_tenant bulkinfo\nkeylime_tenant bulkinfo -o json",
		noArgs, func(ctx context.Context, _ []string) error {
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			result, err := t.Bulk(ctx, a.global.verifierID)
			if err != nil {
				return err
			}
			return a.show(result)
		})
}

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

func newAddCmd(a *app) *cobra.Command {
	var flags enrolFlags
	cmd := a.command("add ID", "place an agent under attestation", `Place an agent under attestation.

Before anything is sent, policies are parsed and the payload is encrypted. The agent
then has to prove with a fresh quote that it is the machine the registrar knows; its
EK certificate has to be good. Only then do agent and verifier get their shares of
the key, so that the agent can decrypt its payload once the verifier has accepted
its boot log, IMA list and PCRs. If a step fails, the steps before it are undone.

The options --mb-policy, --runtime-policy with --exclude, and --file are each optional.`,
		`keylime_tenant add d432fbb3-d2f1-4a97-9ef7-75bd81c00000 --targethost 10.0.0.7 --file payload.zip
keylime_tenant add ID --mb-policy refstate.json --runtime-policy policy.json --exclude exclude.txt
keylime_tenant add ID --file payload.zip --verify --wait attested`,
		agentID, func(ctx context.Context, args []string) error {
			if err := a.requireEK(ctx, flags.ekRequire); err != nil {
				return err
			}
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			request, err := flags.request(ctx, a, args[0])
			if err != nil {
				return err
			}
			result, err := t.Add(ctx, request)
			if err != nil {
				return err
			}
			return a.show(result)
		})
	flags.add(cmd.Flags())
	cmd.ValidArgsFunction = a.completer(a.registeredIDs)
	return cmd
}

func newUpdateCmd(a *app) *cobra.Command {
	var (
		flags   enrolFlags
		create  bool
		noCheck bool
	)
	cmd := a.command("update ID", "enrol an agent anew, with other policies or payload", `Enrol an agent anew: delete it from the verifier and add it again.

Everything that can be checked is checked first, so that a bad quote or policy changes
nothing. If adding fails after the agent was deleted, its old enrolment is put back.
Nothing carries over from the old enrolment: give all policies and the payload again.`,
		`keylime_tenant update ID --targethost 10.0.0.7 --mb-policy new.json --runtime-policy policy.json
keylime_tenant update ID --create --file payload.zip`,
		agentID, func(ctx context.Context, args []string) error {
			if err := a.requireEK(ctx, flags.ekRequire); err != nil {
				return err
			}
			t, err := a.tenant(ctx)
			if err != nil {
				return err
			}
			request, err := flags.request(ctx, a, args[0])
			if err != nil {
				return err
			}
			result, err := t.Update(ctx, tenant.UpdateRequest{AddRequest: request, Create: create || a.compat(), NoCheck: noCheck})
			if err != nil {
				return err
			}
			return a.show(result)
		})
	flags.add(cmd.Flags())
	cmd.Flags().BoolVar(&create, "create", false, "add the agent if it is not enrolled")
	cmd.Flags().BoolVar(&noCheck, "no-verifier-check", false, "do not read the agent's record before deleting it")
	cmd.ValidArgsFunction = a.completer(a.enrolledIDs)
	return cmd
}

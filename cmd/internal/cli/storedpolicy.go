package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

// policyVerb is a verb about policies stored on the verifier.
type policyVerb struct {
	name, short, long, example string
	verb                       tenant.PolicyVerb
	kind                       tenant.PolicyKind
	hidden                     bool
}

func policyVerbs() []policyVerb {
	const (
		storeRuntime = `The policy is checked before it is sent. Agents refer to it by
add --runtime-policy-name NAME.`
		storeMB = `Agents refer to it by add --mb-policy-name NAME. Whether a verifier enforces it depends
on its measured_boot_policy_name.`
	)
	return []policyVerb{
		{"addruntimepolicy", "store a runtime policy under a name", "Store a runtime policy under a name that is not taken.\n" + storeRuntime,
			"keylime_tenant addruntimepolicy web --runtime-policy policy.json --exclude exclude.txt", tenant.PolicyAdd, tenant.RuntimeKind, false},
		{"updateruntimepolicy", "replace a stored runtime policy", "Replace a stored runtime policy; agents that refer to it are held against the new one.\n" + storeRuntime,
			"keylime_tenant updateruntimepolicy web --runtime-policy policy.json", tenant.PolicyUpdate, tenant.RuntimeKind, false},
		{"showruntimepolicy", "show a stored runtime policy", "Show a stored runtime policy as it is.", "keylime_tenant showruntimepolicy web > policy.json", tenant.PolicyShow, tenant.RuntimeKind, false},
		{"deleteruntimepolicy", "delete a stored runtime policy", "Delete a stored runtime policy that no agent refers to.", "keylime_tenant deleteruntimepolicy web", tenant.PolicyDelete, tenant.RuntimeKind, false},
		{"listruntimepolicy", "list the stored runtime policies", "List the names of the stored runtime policies.", "keylime_tenant listruntimepolicy", tenant.PolicyList, tenant.RuntimeKind, false},
		{"addmbpolicy", "store a measured-boot policy under a name", "Store a measured-boot policy under a name that is not taken.\n" + storeMB,
			"keylime_tenant addmbpolicy web --mb-policy refstate.json", tenant.PolicyAdd, tenant.MBKind, false},
		{"updatembpolicy", "replace a stored measured-boot policy", "Replace a stored measured-boot policy; agents that refer to it are held against the new one.\n" + storeMB,
			"keylime_tenant updatembpolicy web --mb-policy refstate.json", tenant.PolicyUpdate, tenant.MBKind, false},
		{"showmbpolicy", "show a stored measured-boot policy", "Show a stored measured-boot policy as it is.", "keylime_tenant showmbpolicy web > refstate.json", tenant.PolicyShow, tenant.MBKind, false},
		{"deletembpolicy", "delete a stored measured-boot policy", "Delete a stored measured-boot policy that no agent refers to.", "keylime_tenant deletembpolicy web", tenant.PolicyDelete, tenant.MBKind, false},
		{"listmbpolicy", "list the stored measured-boot policies", "List the names of the stored measured-boot policies.", "keylime_tenant listmbpolicy", tenant.PolicyList, tenant.MBKind, false},
		{"addallowlist", "addruntimepolicy (old name)", "The old name of addruntimepolicy.", "", tenant.PolicyAdd, tenant.RuntimeKind, true},
		{"showallowlist", "showruntimepolicy (old name)", "The old name of showruntimepolicy.", "", tenant.PolicyShow, tenant.RuntimeKind, true},
		{"deleteallowlist", "deleteruntimepolicy (old name)", "The old name of deleteruntimepolicy.", "", tenant.PolicyDelete, tenant.RuntimeKind, true},
	}
}

func newPolicyVerbs(a *app) []*cobra.Command {
	var cmds []*cobra.Command
	for _, v := range policyVerbs() {
		cmds = append(cmds, newPolicyVerb(a, v))
	}
	return cmds
}

func newPolicyVerb(a *app, v policyVerb) *cobra.Command {
	var flags policyFlags
	use, args := v.name+" NAME", policyName
	if v.verb == tenant.PolicyList {
		use, args = v.name, noArgs
	}
	cmd := a.command(use, v.short, v.long, v.example, args, func(ctx context.Context, args []string) error {
		t, err := a.tenant(ctx)
		if err != nil {
			return err
		}
		request := tenant.PolicyRequest{Verb: v.verb, Kind: v.kind, Compat: a.compat()}
		if len(args) > 0 {
			request.Name = args[0]
		}
		if request.Input, err = flags.input(ctx, a); err != nil {
			return err
		}
		result, err := t.Policy(ctx, request)
		if err != nil {
			return err
		}
		return a.show(result)
	})
	cmd.Hidden = v.hidden
	switch {
	case v.verb != tenant.PolicyAdd && v.verb != tenant.PolicyUpdate:
		if v.verb != tenant.PolicyList {
			cmd.ValidArgsFunction = a.completer(func(ctx context.Context) ([]string, error) { return a.policyNames(ctx, v.kind) })
		}
	case v.kind == tenant.MBKind:
		flags.addMeasuredBoot(&options{flags: cmd.Flags(), section: "The policy"})
	default:
		flags.add(&options{flags: cmd.Flags()}, false)
	}
	return cmd
}

// policyName takes the name of a policy. A missing one is for the use case to
// refuse, which has the words of the Python tenant for it.
func policyName(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one name, so what is %q?", cmd.Name(), strings.Join(args[1:], " ")).hint("%s", helpOf(cmd))
	}
	return nil
}

package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// ekVerbs are the verbs about endorsement keys of one call.
type ekVerbs struct {
	*app
	store, pins string
}

// newEKCmd makes the verbs about endorsement keys and who vouches for them.
func newEKCmd(a *app) *cobra.Command {
	e := &ekVerbs{app: a}
	cmd := &cobra.Command{
		Use: "ek", Short: "endorsement keys of TPMs, and who vouches for them",
		Long: `Each TPM has an endorsement key (EK), which its maker usually vouches for with a
certificate. An agent is added only if its EK is vouched for; ek_require in tenant.conf
(or --ek-require of add) says by what:

  chain    its certificate leads to one in tpm_cert_store (default; require_ek_cert)
  pin      it is in the list of pinned EKs; no certificate is asked for
  both     both
  either   one of the two

ek trust keeps the store, ek pin the list: ek_pins.txt beside the store, or ek_pin_file.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return onlyVerbs(cmd, args) }
	o := options{flags: cmd.PersistentFlags(), section: "Where things are"}
	o.text(&e.store, "store", "", "DIR", "store of certificates (tpm_cert_store)")
	o.text(&e.pins, "pins", "", "FILE", "list of pinned EKs (ek_pin_file)")
	cmd.AddCommand(e.showCmd(), e.verifyCmd(), e.trustCmd(), e.pinCmd())
	return cmd
}

// onlyVerbs is the body of a command that has verbs and does nothing itself.
func onlyVerbs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownVerb(cmd, args[0])
	}
	return cmd.Help()
}

// settings are the configuration with the options of these verbs over it.
func (e *ekVerbs) settings(ctx context.Context) (*config.Config, error) {
	c, err := e.config(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range []struct{ value, option, flag string }{{e.store, "tpm_cert_store", "--store"}, {e.pins, "ek_pin_file", "--pins"}} {
		if o.value == "" {
			continue
		}
		path, err := filepath.Abs(o.value)
		if err != nil {
			return nil, err
		}
		if err := c.Override(o.option, path, o.flag); err != nil {
			return nil, configFailure(err)
		}
	}
	return c, nil
}

func (e *ekVerbs) showCmd() *cobra.Command {
	cmd := e.command("show ID|FILE", "show an EK and its certificate", `Show an endorsement key and its certificate: of a registered agent, or from a file: a
certificate (PEM, DER, or as read from a TPM), or a public key (TPM2B_PUBLIC as
tpm2-tools write it, or PEM). Nothing is verified.`,
		`keylime_tenant ek show d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant ek show ek_cert.der
tpm2_createek -c - -G rsa -u ek.pub && keylime_tenant ek show ek.pub`,
		oneArg("ID or FILE"), func(ctx context.Context, args []string) error {
			if _, err := e.settings(ctx); err != nil {
				return err
			}
			source, err := e.source(ctx, args[0])
			if err != nil {
				return err
			}
			return e.show(source.result(e.now()))
		})
	cmd.ValidArgsFunction = e.completeSource
	return cmd
}

// completeSource completes ids of agents and names of files.
func (e *ekVerbs) completeSource(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	ids, directive := e.completer(e.registeredIDs)(cmd, args, word)
	if len(args) == 0 {
		directive = cobra.ShellCompDirectiveDefault
	}
	return ids, directive
}

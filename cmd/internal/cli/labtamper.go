package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// tamperResult is what a tampering did.
type tamperResult struct {
	Done string `json:"done"`
}

// Screen is the sentence.
func (r tamperResult) Screen() render.Screen { return render.Screen{{Text: r.Done}} }

// tamperVerbs are the verbs below lab tamper.
type tamperVerbs struct {
	*app
	dir, agent string
}

func newLabTamperCmd(a *app) *cobra.Command {
	t := &tamperVerbs{app: a}
	cmd := &cobra.Command{
		Use: "tamper", Short: "change what an agent of a running lab reports",
		Long: `Change what an agent of a running lab reports, so that attestation fails and one can see why.

The lab is the one of LAB_DIR in the environment, or of --dir; the agent is the first one
unless another is named.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return cmd.Help()
	}
	cmd.PersistentFlags().StringVar(&t.dir, "dir", "", "`DIR` of the lab (default: LAB_DIR)")
	cmd.PersistentFlags().StringVar(&t.agent, "agent", "", "`ID` of the agent (default: the lab's first)")
	cmd.AddCommand(t.pcrCmd(), t.runCmd(), t.bootCmd(), t.stopCmd(), t.restartCmd())
	return cmd
}

// do makes the change; the agent may have been named as an argument.
func (t *tamperVerbs) do(ctx context.Context, change lab.Tampering, named []string) error {
	if change.Agent = t.agent; len(named) > 0 {
		change.Agent = named[0]
	}
	dir := t.dir
	if dir == "" {
		dir, _ = t.getenv("LAB_DIR")
	}
	if dir == "" {
		return usagef("no lab is named: LAB_DIR is not set").hint("name it with --dir; keylime_tenant lab up says its directory")
	}
	done, err := lab.Tamper(ctx, dir, change)
	if err != nil {
		return labFailure(err)
	}
	return t.show(tamperResult{done})
}

// upTo wants at least the arguments named, and at most one more.
func upTo(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("%s needs %s", cmd.Name(), names[len(args)]).hint("%s", helpOf(cmd))
		}
		if len(args) > len(names)+1 {
			return usagef("%s takes no more arguments, so what is %q?", cmd.Name(), args[len(names)+1]).hint("%s", helpOf(cmd))
		}
		return nil
	}
}

func (t *tamperVerbs) pcrCmd() *cobra.Command {
	return t.command("pcr NUMBER [AGENT]", "extend a register with a digest that no policy knows", `Extend a register of the agent's TPM, in all banks, with a digest that no policy knows and no log names.`,
		"keylime_tenant lab tamper pcr 23", upTo("the number of a register"), func(ctx context.Context, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return usagef("%q is not the number of a register", args[0])
			}
			return t.do(ctx, lab.Tampering{PCR: &n}, args[1:])
		})
}

func (t *tamperVerbs) runCmd() *cobra.Command {
	return t.command("run PATH [AGENT]", "let the agent's machine run a file, which its IMA measures", `Let the agent's machine run a file: its IMA list gets a line with the path and the SHA-256 of
the file, and PCR 10 is extended. The file is not really run. One that does not exist here is
measured with a content of its own.`,
		"keylime_tenant lab tamper run /usr/local/bin/unknown", upTo("the path of a file"), func(ctx context.Context, args []string) error {
			return t.do(ctx, lab.Tampering{Run: args[0]}, args[1:])
		})
}

func (t *tamperVerbs) bootCmd() *cobra.Command {
	var words, secureBoot string
	cmd := t.command("boot [DIR]", "boot the agent's machine anew, in another way if wanted", `Boot the agent's machine anew: from the evidence in DIR (binary_bios_measurements, and
ima_ascii.txt or ascii_runtime_measurements), with other words on its kernel command line,
with Secure Boot off, or just as before.`,
		`keylime_tenant lab tamper boot --secure-boot off
keylime_tenant lab tamper boot --cmdline "init=/bin/sh"
keylime_tenant lab tamper boot testdata/evidence/sb-on-initrd-changed`,
		upTo(), func(ctx context.Context, args []string) error {
			boot := &lab.Boot{CommandLine: words}
			if len(args) > 0 {
				dir, err := absolute(args[0])
				if err != nil {
					return err
				}
				boot.Dir = dir
			}
			switch secureBoot {
			case "", "on":
			case "off":
				boot.SecureBootOff = true
			default:
				return usagef("--secure-boot %q: neither on nor off", secureBoot)
			}
			return t.do(ctx, lab.Tampering{Boot: boot}, nil)
		})
	cmd.Flags().StringVar(&words, "cmdline", "", "`WORDS` to add to the kernel command line")
	cmd.Flags().StringVar(&secureBoot, "secure-boot", "", "`off` boots with Secure Boot off")
	return cmd
}

func (t *tamperVerbs) stopCmd() *cobra.Command {
	return t.command("stop [AGENT]", "let the agent answer no more, as if its machine were off", `Let the agent answer no more, as if its machine had been switched off. restart brings it back.`,
		"keylime_tenant lab tamper stop", upTo(), func(ctx context.Context, args []string) error {
			return t.do(ctx, lab.Tampering{Stop: true}, args)
		})
}

func (t *tamperVerbs) restartCmd() *cobra.Command {
	return t.command("restart [AGENT]", "start the agent again, with its configuration as it is now", `Start the agent again, after ending it if it runs. It reads agent.conf and agent.conf.d as they are
now, makes a new transport key, and registers again.`,
		"keylime_tenant lab tamper restart", upTo(), func(ctx context.Context, args []string) error {
			return t.do(ctx, lab.Tampering{Restart: true}, args)
		})
}

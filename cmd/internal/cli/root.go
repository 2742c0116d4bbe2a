package cli

import (
	"github.com/spf13/cobra"
)

// The groups of verbs in the help of the program.
const (
	groupAgents   = "agents"
	groupPolicies = "policies"
	groupLearn    = "learn"
	groupProgram  = "program"
)

// newRootCmd makes the whole tree. It does nothing but build it: no file, no
// environment, no socket.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:                   programName,
		Short:                 "put machines under remote attestation with Keylime",
		Long:                  rootText,
		Args:                  cobra.ArbitraryArgs,
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		DisableSuggestions:    true, // our own are in usage.go
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) }
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if showVersion, _ := cmd.Flags().GetBool("version"); showVersion {
			a.verb = "version"
			return a.show(newVersionResult())
		}
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return cmd.Help()
	}
	root.SetOut(a.out())
	root.SetErr(a.errOut())
	root.SetIn(a.streams.In)
	root.SetGlobalNormalizationFunc(normalizeFlag)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(a.help)
	root.SetUsageFunc(func(cmd *cobra.Command) error { return a.usage(cmd) })
	root.Flags().Bool("version", false, "print the version of the program")
	root.PersistentFlags().SortFlags = false
	a.global.add(root.PersistentFlags())

	root.AddGroup(
		&cobra.Group{ID: groupAgents, Title: "Agents"},
		&cobra.Group{ID: groupPolicies, Title: "Policies stored on the verifier"},
		&cobra.Group{ID: groupLearn, Title: "Learning and testing"},
		&cobra.Group{ID: groupProgram, Title: "This program"},
	)
	group := func(id string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = id
			cmd.Flags().SortFlags = false
			root.AddCommand(cmd)
		}
	}
	group(groupAgents,
		newAddCmd(a), newUpdateCmd(a), newDeleteCmd(a), newStatusCmd(a),
		newVerifierStatusCmd(a), newVerifierListCmd(a), newBulkCmd(a),
		newRegistrarStatusCmd(a), newRegistrarListCmd(a), newRegistrarDeleteCmd(a),
		newReactivateCmd(a), newStopCmd(a))
	group(groupPolicies, newPolicyVerbs(a)...)
	group(groupLearn, newLabCmd(a))
	help := newHelpCmd(a)
	group(groupProgram, newConfigCmd(a), newCompletionCmd(a), newVersionCmd(a), help)
	root.SetHelpCommand(help)
	root.AddCommand(newTopicCmds()...)
	return root
}

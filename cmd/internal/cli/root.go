package cli

import (
	"github.com/spf13/cobra"
)

// verbGroup is a part of the list of verbs in the help of the program.
type verbGroup struct {
	title string
	cmds  []*cobra.Command
}

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
	a.global.add(root.PersistentFlags())

	help := newHelpCmd(a)
	a.groups = []verbGroup{
		{"Agents", []*cobra.Command{
			newAddCmd(a), newUpdateCmd(a), newDeleteCmd(a), newStatusCmd(a), newWatchCmd(a), newWaitCmd(a), newExplainCmd(a), newReplayCmd(a),
			newReactivateCmd(a), newStopCmd(a), newOneshotCmd(a)}},
		{"One server at a time", []*cobra.Command{
			newRegistrarListCmd(a), newRegistrarStatusCmd(a), newRegistrarDeleteCmd(a),
			newVerifierListCmd(a), newVerifierStatusCmd(a), newBulkCmd(a)}},
		{"Policies in files", []*cobra.Command{newPolicyCmd(a)}},
		{"Policies stored on the verifier", newPolicyVerbs(a)},
		{"Certificates and payloads", []*cobra.Command{newCACmd(a), newEKCmd(a), newPayloadCmd(a)}},
		{"When something is wrong", []*cobra.Command{newDoctorCmd(a)}},
		{"Learning and testing", []*cobra.Command{newLabCmd(a)}},
		{"This program", []*cobra.Command{newConfigCmd(a), newCompletionCmd(a), newManCmd(a), newSchemaCmd(a), newVersionCmd(a), help}},
	}
	for _, group := range a.groups {
		root.AddCommand(group.cmds...)
	}
	root.SetHelpCommand(help)
	root.AddCommand(newTopicCmds()...)
	return root
}

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootText = `keylime_tenant puts machines under remote attestation with Keylime, shows whether
they still are what they should be, and says why when they are not.`

// helpWidth is the number of columns that help text may take.
func (a *app) helpWidth() int {
	if a.streams.Width > 0 {
		return max(60, min(a.streams.Width, 120))
	}
	return 80
}

// help writes the help of the program, of a verb or of a topic to stdout.
func (a *app) help(cmd *cobra.Command, _ []string) {
	var b strings.Builder
	switch {
	case cmd == cmd.Root():
		a.rootHelp(&b, cmd)
	case cmd.IsAdditionalHelpTopicCommand():
		b.WriteString(cmd.Long + "\n")
	default:
		a.verbHelp(&b, cmd)
	}
	io.WriteString(a.out(), b.String())
}

// usage writes the short form, where cobra asks for it.
func (a *app) usage(cmd *cobra.Command) error {
	_, err := fmt.Fprintf(a.errOut(), "usage: %s\n", useLine(cmd))
	return err
}

func useLine(cmd *cobra.Command) string {
	use := cmd.Use
	if cmd.HasParent() {
		use = cmd.Parent().CommandPath() + " " + use
	}
	if cmd.HasAvailableSubCommands() {
		if cmd.Annotations[annotationOwnArgs] != "" {
			return use + " [OPTION]...\n  " + cmd.CommandPath() + " VERB [OPTION]..."
		}
		return use + " VERB [OPTION]..."
	}
	return use + " [OPTION]..."
}

func (a *app) rootHelp(b *strings.Builder, root *cobra.Command) {
	fmt.Fprintf(b, "%s\n\nUsage:\n  %s VERB [ARGUMENT] [OPTION]...\n  %s VERB --help\n", root.Long, root.Name(), root.Name())
	for _, group := range a.groups {
		title := group.title
		for _, cmd := range group.cmds {
			if !cmd.IsAvailableCommand() {
				continue
			}
			if title != "" {
				fmt.Fprintf(b, "\n%s:\n", title)
				title = ""
			}
			fmt.Fprintf(b, "  %-20s %s\n", cmd.Name(), cmd.Short)
		}
	}
	writeOptions(b, "", shown(root.PersistentFlags()), a.helpWidth())
	b.WriteString("\nMore:\n")
	for _, cmd := range root.Commands() {
		if cmd.IsAdditionalHelpTopicCommand() && cmd.Long != "" {
			fmt.Fprintf(b, "  %s help %-14s %s\n", root.Name(), cmd.Name(), cmd.Short)
		}
	}
	fmt.Fprintf(b, "\nThe old command line, %s -c VERB ..., goes on working: %s help classic\n", root.Name(), root.Name())
}

func (a *app) verbHelp(b *strings.Builder, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + "."
	}
	fmt.Fprintf(b, "%s\n\nUsage:\n  %s\n", strings.TrimSpace(text), useLine(cmd))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nVerbs:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(b, "  %-20s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n%s\n", indent(cmd.Example))
	}
	inherited := cmd.InheritedFlags()
	own := slices.DeleteFunc(shown(cmd.Flags()), func(f *pflag.Flag) bool { return inherited.Lookup(f.Name) != nil })
	writeOptions(b, "Options", own, a.helpWidth())
	cmd.VisitParents(func(parent *cobra.Command) {
		// An option that the verb has in another meaning is not the parent's here.
		theirs := slices.DeleteFunc(shown(parent.PersistentFlags()), func(f *pflag.Flag) bool { return cmd.Flags().Lookup(f.Name) != f })
		writeOptions(b, "Options of "+parent.Name(), theirs, a.helpWidth())
	})
}

// shown are the options that the help lists, in the order of their definition.
func shown(set *pflag.FlagSet) []*pflag.Flag {
	set.SortFlags = false
	var flags []*pflag.Flag
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, f)
		}
	})
	return flags
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

// newHelpCmd is the verb help: of the program, of a verb, or of a topic.
func newHelpCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "help [VERB | TOPIC]", Short: "help on the program, a verb or a topic",
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, sub := range helpTarget(cmd.Root(), args).Commands() {
				if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.verb = "help"
		target := cmd.Root()
		for _, word := range args {
			next := child(target, word)
			if next == nil {
				return unknownVerb(target, word)
			}
			target = next
		}
		target.InitDefaultHelpFlag()
		return target.Help()
	}
	return cmd
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}

// helpTarget follows words as far as they name verbs.
func helpTarget(cmd *cobra.Command, words []string) *cobra.Command {
	for _, word := range words {
		next := child(cmd, word)
		if next == nil {
			break
		}
		cmd = next
	}
	return cmd
}

package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// completionLimit is how long a shell may wait for a server.
const completionLimit = 300 * time.Millisecond

// complete answers a shell that asks what a word could become. Nothing but the
// answer is printed: while somebody types there is no place for a warning, an
// error or a prompt.
func (a *app) complete(ctx context.Context, args []string) int {
	a.presenter = render.New(render.Options{Out: io.Discard, Err: io.Discard})
	words, last := args[1:], ""
	if len(words) > 0 {
		words, last = words[:len(words)-1], words[len(words)-1]
	}
	if classic.Completes(words, last) {
		a.completeClassic(ctx, args[0] == cobra.ShellCompRequestCmd, words, last)
		return exitOK
	}
	root := newRootCmd(a)
	a.completeFlags(root)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{args[0]}, append(expandShorts(words), last)...))
	if err := root.ExecuteContext(ctx); err != nil {
		return exitFailure
	}
	return exitOK
}

// completer makes a completion of one id or name, which list asks a server for.
// A server that does not answer in time means no suggestions.
func (a *app) completer(list func(ctx context.Context) ([]string, error)) cobra.CompletionFunc {
	several := a.completerOfMany(list)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return several(cmd, args, word)
	}
}

// completerOfMany is [app.completer] for a verb that takes several; those that
// are there already are not offered again.
func (a *app) completerOfMany(list func(ctx context.Context) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		return beginning(inTime(ctx, list), word, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// inTime asks for names, none if the answer does not come in time.
func inTime(ctx context.Context, list func(ctx context.Context) ([]string, error)) []string {
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	names, err := list(ctx)
	if err != nil {
		return nil
	}
	return names
}

// beginning are the names that begin so, without those given. Ten thousand ids
// are sifted here, since a shell would take its time.
func beginning(names []string, word string, given []string) []string {
	var list []string
	for _, name := range names {
		if strings.HasPrefix(name, word) && !slices.Contains(given, name) {
			list = append(list, name)
		}
	}
	return list
}

// completeFlags says of every option and argument of the tree what can stand
// there. It is done only when a shell asks.
func (a *app) completeFlags(cmd *cobra.Command) {
	complete := func(f *pflag.Flag) {
		if fn := a.flagCompletion(f); fn != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, fn) // fails only where the author has set one
		}
	}
	cmd.PersistentFlags().VisitAll(complete)
	cmd.LocalNonPersistentFlags().VisitAll(complete)
	switch use := cmd.Use; {
	case cmd.ValidArgsFunction != nil, len(cmd.ValidArgs) > 0, cmd.HasSubCommands():
	case strings.HasSuffix(use, " DIR"):
		cmd.ValidArgsFunction = only(cobra.ShellCompDirectiveFilterDirs)
	case !strings.Contains(use, " "):
		cmd.ValidArgsFunction = only(cobra.ShellCompDirectiveNoFileComp)
	}
	for _, sub := range cmd.Commands() {
		a.completeFlags(sub)
	}
}

// only completes by what the directive says.
func only(directive cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return nil, directive }
}

// flagCompletion is how the value of an option is completed, nil for the names
// of files.
func (a *app) flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	value, _ := pflag.UnquoteUsage(f)
	if noted, found := f.Annotations[annotationValue]; found {
		value = noted[0]
	}
	switch f.Name {
	case "output":
		return fixed(formatNames())
	case "health", "fail-on":
		return completeHealth
	case "runtime-policy-name":
		return a.completerOfMany(func(ctx context.Context) ([]string, error) { return a.policyNames(ctx, tenant.RuntimeKind) })
	case "mb-policy-name":
		return a.completerOfMany(func(ctx context.Context) ([]string, error) { return a.policyNames(ctx, tenant.MBKind) })
	case "agent":
		return a.completerOfMany(a.registeredIDs)
	case "mb-policy", "runtime-policy":
		return fixedFiles("json")
	}
	switch {
	case strings.Contains(value, "|"):
		return fixed(strings.Split(value, "|"))
	case value == "attested":
		return fixed([]string{value})
	case strings.Contains(value, "DIR"):
		return only(cobra.ShellCompDirectiveFilterDirs)
	case strings.Contains(value, "FILE"), value == "string", value == "":
		return nil
	}
	return only(cobra.ShellCompDirectiveNoFileComp)
}

func fixed(values []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return beginning(values, word, nil), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func fixedFiles(endings ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return endings, cobra.ShellCompDirectiveFilterFileExt
	}
}

func formatNames() []string {
	var names []string
	for _, f := range render.Formats() {
		names = append(names, string(f))
	}
	return names
}

// completeHealth completes the last word of a list of words for health.
func completeHealth(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	before, last := "", word
	if comma := strings.LastIndex(word, ","); comma >= 0 {
		before, last = word[:comma+1], word[comma+1:]
	}
	var list []string
	for _, h := range tenant.Healths() {
		if name := string(h.Health); strings.HasPrefix(name, last) && !slices.Contains(strings.Split(before, ","), name) {
			if before != "" {
				name = before + name // bare: bash takes no comma beside a description
			} else {
				name += "\t" + h.Meaning
			}
			list = append(list, name)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveKeepOrder
}

// completeClassic answers for a call in the classic grammar, in the form in
// which cobra answers its scripts: a line for each suggestion, with what it is
// about behind a tab, and at the end a colon and the directive.
func (a *app) completeClassic(ctx context.Context, described bool, words []string, last string) {
	offer := classic.Complete(words, last)
	a.global.registrarHost, a.global.registrarPort = offer.Given["registrarhost"], offer.Given["registrarport"]
	a.global.verifierHost, a.global.verifierPort, a.global.verifierID = offer.Given["cv"], offer.Given["cvport"], offer.Given["cvid"]
	directive := cobra.ShellCompDirectiveNoFileComp
	var list []string
	ask := func(from func(context.Context) ([]string, error)) {
		list = beginning(inTime(ctx, from), offer.Word, nil)
	}
	switch offer.Wanted {
	case classic.WantNames:
		for _, n := range offer.Names {
			if strings.HasPrefix(n.Name, offer.Word) {
				list = append(list, n.Name+"\t"+n.About)
			}
		}
		directive |= cobra.ShellCompDirectiveKeepOrder
	case classic.WantRegistered:
		ask(a.registeredIDs)
	case classic.WantEnrolled:
		ask(a.enrolledIDs)
	case classic.WantAgent:
		ask(a.anyIDs)
	case classic.WantRuntimePolicy:
		ask(func(ctx context.Context) ([]string, error) { return a.policyNames(ctx, tenant.RuntimeKind) })
	case classic.WantMBPolicy:
		ask(func(ctx context.Context) ([]string, error) { return a.policyNames(ctx, tenant.MBKind) })
	case classic.WantFormat:
		list = beginning(formatNames(), offer.Word, nil)
	case classic.WantDir:
		directive = cobra.ShellCompDirectiveFilterDirs
	case classic.WantFile:
		directive = cobra.ShellCompDirectiveDefault
		if list = offer.Endings; list != nil {
			directive = cobra.ShellCompDirectiveFilterFileExt
		}
	}
	for _, line := range list {
		name, about, _ := strings.Cut(line, "\t")
		if described && about != "" {
			name += "\t" + about
		}
		fmt.Fprintln(a.out(), name)
	}
	fmt.Fprintf(a.out(), ":%d\n", directive)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/cmd/internal/render/compat"
)

// companions are the old tools for which the binary stands in when it is called
// by their names, through a symbolic link or as the first word. Each function is the whole of a
// tool and returns its exit code.
func companions() map[string]func(ctx context.Context, a *app, args []string) int {
	return map[string]func(context.Context, *app, []string) int{
		allowlistScript:                  allowlistScriptTool,
		allowlistScriptBare:              allowlistScriptTool,
		"create_mb_refstate":             mbRefstateTool,
		runtimeScript:                    runtimeScriptTool,
		runtimeScriptBare:                runtimeScriptTool,
		ekScript:                         ekScriptTool,
		"keylime-policy":                 policyTool,
		"keylime_attest":                 attestTool,
		"keylime_ca":                     caTool,
		"keylime_convert_runtime_policy": convertTool,
		"keylime_create_policy":          createPolicyTool,
		oneshotProgram:                   oneshotTool,
		"keylime_sign_runtime_policy":    signTool,
		"keylime_upgrade_config":         upgradeConfigTool,
		encryptProgram:                   encryptTool,
	}
}

// run runs the call and returns its exit code.
func (a *app) run(ctx context.Context) int {
	a.ctx = ctx
	defer a.close()
	if tool, found := companions()[a.name]; found {
		return tool(ctx, a, a.args)
	}
	if len(a.args) > 0 {
		// Where there is no link, the name of the tool is a verb.
		if tool, found := companions()[a.args[0]]; found {
			return tool(ctx, a, a.args[1:])
		}
	}
	args := a.args
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case isCompletion(args[0]):
		return a.complete(ctx, args)
	case classic.Is(args):
		rewritten, code, ended := a.readClassic(ctx, args)
		if ended {
			return code
		}
		args = rewritten
	default:
		args = expandShorts(args)
	}
	root := newRootCmd(a)
	root.SetArgs(args)
	err := a.execute(ctx, root, args)
	// A context that was cancelled by a signal shows as many errors; its cause
	// is the one that counts.
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && !errors.Is(err, errInterrupted) {
		err = &interruptedError{err}
	}
	if err == nil {
		return exitOK
	}
	err = a.nearAgent(ctx, err)
	if a.compat() && errors.Is(err, errInterrupted) {
		err = &classicInterrupt{err}
	}
	a.fail(args, err)
	switch {
	case a.compat() && compat.Forgiven(a.verb, err):
		return exitOK
	case a.compat():
		return classicExitCode(err)
	}
	return exitCode(err)
}

func (a *app) execute(ctx context.Context, root *cobra.Command, args []string) error {
	if cmd, rest, err := root.Find(args); err == nil && cmd.HasSubCommands() && cmd.Annotations[annotationOwnArgs] == "" {
		if word, found := misplacedVerb(cmd, rest); found && child(cmd, word) == nil {
			return unknownVerb(cmd, word)
		}
	}
	return root.ExecuteContext(ctx)
}

// isCompletion says that a shell asks for completions, which is no call of a
// person in either grammar.
func isCompletion(word string) bool {
	return word == cobra.ShellCompRequestCmd || word == cobra.ShellCompNoDescRequestCmd
}

// readClassic rewrites a call of the classic grammar. If ended, the call is
// over with code.
func (a *app) readClassic(ctx context.Context, args []string) (rewritten []string, code int, ended bool) {
	call, err := classic.Rewrite(args)
	var (
		usage *argparse.UsageError
		help  *argparse.Help
	)
	switch {
	case errors.As(err, &usage) && formatIn(args) != "":
		a.fail(args, usagef("%s", usage.Text).hint("%s -h lists the options of the old command line", programName+" -c add"))
		return nil, exitUsage, true
	case errors.As(err, &usage):
		a.loggers() // tells which logging.conf was read, as the Python tenant does first
		fmt.Fprintln(a.errOut(), usage.Error())
		return nil, exitUsage, true
	case errors.As(err, &help):
		io.WriteString(a.out(), help.Text)
		return nil, exitOK, true
	}
	a.old, a.verb = &call, call.Verb
	if err != nil {
		a.global.output = call.Output
		if beginErr := a.begin(ctx); beginErr != nil {
			err = beginErr
		}
		a.fail(args, err)
		if !a.compat() {
			return nil, exitUsage, true
		}
		return nil, classicExitCode(err), true
	}
	return call.Argv, 0, false
}

// fail shows an error to whoever called.
func (a *app) fail(args []string, err error) {
	if status := new(statusError); errors.As(err, &status) && status.Err == nil {
		return
	}
	if a.presenter == nil && a.global.output == "" {
		// The options were not read to their end: look for the format, so that a
		// script that wants JSON gets the usage error as JSON.
		a.global.output = formatIn(args)
	}
	if _, formatErr := a.global.format(); formatErr != nil {
		a.global.output = ""
	}
	a.present().Fail(a.verb, err)
}

// formatIn finds the value of --output in words that nobody has parsed.
func formatIn(args []string) string {
	found := ""
	for i, word := range args {
		if word == "--" {
			break
		}
		value := ""
		switch {
		case (word == "-o" || word == "--output") && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(word, "--output="):
			value = strings.TrimPrefix(word, "--output=")
		case strings.HasPrefix(word, "-o"):
			value = strings.TrimPrefix(strings.TrimPrefix(word, "-o"), "=")
		}
		if _, err := render.ParseFormat(value); err == nil {
			found = value
		}
	}
	return found
}

// present is the presenter of the call.
func (a *app) present() render.Presenter {
	if a.presenter == nil {
		if a.old != nil && a.old.Output == "" {
			a.presenter = a.newCompat()
		} else {
			a.presenter = a.newModern()
		}
	}
	return a.presenter
}

// colors says whether colour is wanted, where there is a terminal for it.
func (a *app) colors() bool {
	color := !a.global.noColor
	if value, _ := a.getenv("NO_COLOR"); value != "" {
		color = false
	}
	if term, _ := a.getenv("TERM"); term == "dumb" {
		color = false
	}
	return color
}

func (a *app) newModern() render.Presenter {
	format, _ := a.global.format() // judged by begin; the default otherwise
	color := a.colors()
	return render.New(render.Options{
		Out: a.out(), Err: a.errOut(), Format: format,
		Color: color && a.streams.OutTTY, ErrColor: color && a.streams.ErrTTY, Width: a.streams.Width,
		Quiet: a.global.quiet, Steps: a.streams.ErrTTY, Verbose: a.global.verbose, Debug: a.global.debug,
		ShowSecrets: a.global.showSecrets, ExitCode: exitCode,
	})
}

// trace tells the presenter of a request, if it wants to know.
func (a *app) trace(t client.Trace) {
	a.tracing.Lock() // both servers may be asked at the same time
	defer a.tracing.Unlock()
	if tracer, ok := a.present().(render.Tracer); ok {
		tracer.Trace(t)
	}
}

var (
	_ render.Presenter = (*compat.Renderer)(nil)
	_ render.Tracer    = (*compat.Renderer)(nil)
)

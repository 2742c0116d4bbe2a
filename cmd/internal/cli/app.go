package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

// programName is what the program calls itself in help and hints, whatever
// path or link it was started by.
const programName = "keylime_tenant"

// app is one call of the program: what it was called with, and the things a
// verb may need, each made when it is first asked for. Help and usage errors
// therefore touch no file and no socket.
type app struct {
	args    []string // without the name the program was called by
	name    string   // that name, without its directory
	env     []string
	streams Streams
	global  globalFlags
	groups  []verbGroup

	// old is the call in the classic grammar, nil in the modern one.
	old *classic.Call
	// verb is the verb that runs, for messages and results.
	verb string

	// ctx is that of the whole call, for reads that block; see readFile.
	ctx context.Context

	configured *config.Config
	tls        *client.TLSMaterial
	presenter  render.Presenter
	tracing    sync.Mutex
	logs       *pylog.Set
	stdinUsed  string
	begun      bool
	closers    []func()
}

// newApp makes the call for an argument vector, whose first word is the name
// the program was called by.
func newApp(args, env []string, streams Streams) *app {
	a := &app{name: programName, env: env, streams: streams, ctx: context.Background()}
	if len(args) > 0 {
		a.name, a.args = strings.TrimSuffix(filepath.Base(args[0]), ".exe"), args[1:]
	}
	return a
}

// getenv looks up a variable of the call's environment; of several entries for
// one variable the first counts, as in package config.
func (a *app) getenv(name string) (string, bool) {
	for _, entry := range a.env {
		if key, value, found := strings.Cut(entry, "="); found && key == name {
			return value, true
		}
	}
	return "", false
}

// out is where results go.
func (a *app) out() io.Writer { return a.streams.Out }

// errOut is where everything but results goes.
func (a *app) errOut() io.Writer { return a.streams.Err }

// show hands a result to the presenter.
func (a *app) show(result any) error { return a.present().Result(a.verb, result) }

// close releases what the call has opened, the last first.
func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	a.closers = nil
}

// runFunc is the body of a verb: its positional arguments are checked already.
type runFunc func(ctx context.Context, args []string) error

// command makes a verb of the tree. use is its name and arguments, short one
// line for the list of verbs, long the text of its help with examples below.
func (a *app) command(use, short, long, example string, args cobra.PositionalArgs, run runFunc) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: args,
		DisableFlagsInUseLine: true, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.verb = cmd.Name()
			return run(cmd.Context(), args)
		},
	}
}

// now is the wall clock of the call.
func (a *app) now() time.Time { return time.Now() }

// readFile reads a file that an option names, once and from start to end, so
// that pipes and process substitutions do. "-" is the standard input, which
// can be used for one option only. An interrupt ends it, and so do more than
// [largest] bytes.
func (a *app) readFile(option, path string) ([]byte, error) {
	if path == "-" {
		if a.stdinUsed != "" {
			return nil, usagef("%s: standard input is read for %s already", option, a.stdinUsed)
		}
		a.stdinUsed = option
		data, err := await(a.ctx, func() ([]byte, error) { return readWhole(a.streams.In) })
		if err != nil {
			return nil, fmt.Errorf("%s: reading standard input: %w", option, err)
		}
		return data, nil
	}
	data, err := await(a.ctx, func() ([]byte, error) { return readPath(path) })
	if err != nil && a.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: reading %s: %w", option, path, err)
	}
	if err != nil {
		return nil, &inputError{Option: option, Path: path, Err: err}
	}
	return data, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant/lab"
)

// The exit codes of a shell for commands that could not be run.
const (
	exitNotExecutable   = 126
	exitCommandNotFound = 127
	exitBySignal        = 128 // plus the signal's number
)

func newLabRunCmd(a *app) *cobra.Command {
	var flags labFlags
	cmd := a.command("run [--agents NUMBER] -- COMMAND [ARGUMENT]...", "run a command in a lab of its own", `Start a lab, run a command in it, and end the lab with the command, whose exit code is ours.

The command finds KEYLIME_TENANT_CONFIG and KEYLIME_DIR set to the lab, LAB_DIR, LAB_AGENT
(the first agent's id), LAB_AGENTS (all ids), and this program first in PATH as keylime_tenant.
Signals are passed on to it.`,
		`keylime_tenant lab run -- sh -c 'keylime_tenant add "$LAB_AGENT" --wait attested && keylime_tenant cvstatus "$LAB_AGENT"'
keylime_tenant lab run --agents 2 -- ./try-my-policy.sh`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("lab run needs a command to run").hint("%s -- COMMAND", cmd.CommandPath())
			}
			return nil
		},
		func(ctx context.Context, args []string) (err error) {
			l, err := flags.up(ctx, a)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.Close()) }()
			env, err := a.labEnv(l)
			if err != nil {
				return err
			}
			return a.runChild(ctx, env, args)
		})
	flags.add(cmd.Flags())
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// labEnv is the environment of commands in the lab.
func (a *app) labEnv(l *lab.Lab) ([]string, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return l.Env(a.env, binary)
}

// runChild runs a command to its end and returns its exit code as an error,
// nil for 0. It passes on the signals that would end this process.
func (a *app) runChild(ctx context.Context, env, argv []string) error {
	path, err := lookPath(env, argv[0])
	if err != nil {
		return err
	}
	child := &exec.Cmd{Path: path, Args: argv, Env: env, Stdin: a.streams.In, Stdout: a.streams.Out, Stderr: a.streams.Err}
	// While a signal is taken here, a second one does not end this process: the
	// child decides, and the lab is taken down after it.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return &statusError{Code: exitNotExecutable, Err: fmt.Errorf("%s: %w", argv[0], err)}
	}
	over := make(chan error, 1)
	go func() { over <- child.Wait() }()
	canceled := ctx.Done()
	for {
		select {
		case err := <-over:
			return childStatus(argv[0], child, err)
		case s := <-signals:
			// From a terminal the child, being in our group, has it already.
			if !a.streams.InTTY || s == syscall.SIGTERM || s == syscall.SIGHUP {
				_ = child.Process.Signal(s) // one that has just ended needs none
			}
		case <-canceled:
			canceled = nil
			if !errors.Is(context.Cause(ctx), errInterrupted) {
				_ = child.Process.Kill() // not a signal: whoever called gave up
			}
		}
	}
}

func childStatus(name string, child *exec.Cmd, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("%s: %w", name, err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &statusError{Code: exitBySignal + int(status.Signal())}
	}
	return &statusError{Code: child.ProcessState.ExitCode()}
}

// lookPath finds a command in the PATH of an environment.
func lookPath(env []string, name string) (string, error) {
	notFound := func(err error) (string, error) {
		return "", &statusError{Code: exitCommandNotFound, Err: fmt.Errorf("%s: %w", name, err)}
	}
	if strings.ContainsRune(name, filepath.Separator) || strings.ContainsRune(name, '/') {
		path, err := exec.LookPath(name)
		if err != nil {
			return notFound(errors.Unwrap(err))
		}
		return path, nil
	}
	path := ""
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, "PATH="); found {
			path = value
		}
	}
	extensions := []string{""}
	if runtime.GOOS == "windows" {
		extensions = []string{".exe", ".bat", ".cmd", ".com"}
	}
	for _, dir := range filepath.SplitList(path) {
		for _, extension := range extensions {
			candidate := filepath.Join(dir, name+extension)
			info, err := os.Stat(candidate)
			if err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0) {
				return candidate, nil
			}
		}
	}
	return notFound(fs.ErrNotExist)
}

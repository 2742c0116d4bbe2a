// Package cli is the command line of keylime_tenant: a Cobra tree with a file
// for each verb, and the only place that decides exit codes (exit.go).
//
// Each verb does three things: it turns flags and configuration into a
// request of package tenant, calls the use case, and hands the result to
// package render. It talks to no server itself and prints nothing itself.
//
// The classic grammar (keylime_tenant -c VERB) is not a second tree: package
// classic rewrites it into a call of this one, which then speaks through the
// compat renderer.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// errInterrupted is the cause of a context that a signal has cancelled.
var errInterrupted = errors.New("interrupted")

// Streams are the standard streams of a call and what is known about them.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// InTTY, OutTTY and ErrTTY say which of them are terminals.
	InTTY, OutTTY, ErrTTY bool
	// Width is the number of columns of the terminal, 0 if there is none.
	Width int
}

// SystemStreams are the streams of the process.
func SystemStreams() Streams {
	s := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	s.InTTY = term.IsTerminal(int(os.Stdin.Fd()))
	s.OutTTY = term.IsTerminal(int(os.Stdout.Fd()))
	s.ErrTTY = term.IsTerminal(int(os.Stderr.Fd()))
	if s.OutTTY {
		if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			s.Width = width
		}
	}
	return s
}

// Main runs one call of the program and returns its exit code. args is the
// whole argument vector, its first word is the name that the binary was called
// by; env is the environment in the form of os.Environ.
//
// The first interrupt or termination signal cancels the call, which then undoes
// what it has half done within a time limit of its own; a second signal ends
// the process at once.
func Main(ctx context.Context, args, env []string, streams Streams) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	defer close(done)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-done:
		}
	}()
	a := newApp(args, env, streams)
	return a.run(ctx)
}

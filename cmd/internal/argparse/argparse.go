// Package argparse understands a command line as Python 3.11's argparse does.
package argparse

// UsageError is a mistake in the command line: exit code 2, on stderr.
type UsageError struct {
	// Usage is the wrapped usage, with a newline at its end.
	Usage string
	Prog  string
	Text  string
}

// Error is everything that argparse prints, without the last newline.
func (e *UsageError) Error() string { return e.Usage + e.Prog + ": error: " + e.Text }

// Help is the answer to -h: Text goes to stdout, exit code 0.
type Help struct{ Text string }

func (h *Help) Error() string { return "help was asked for" }

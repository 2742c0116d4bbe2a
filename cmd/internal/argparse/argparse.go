// Package argparse understands a command line as Python 3.11's argparse does
// with its default settings, and prints the same usage, help and messages,
// since scripts were written against these.
//
// It knows what the tools of Keylime use: options with one, an optional or
// several arguments, flags, repeated options, positional arguments, choices,
// and -h; no subcommands and no groups. It prints nothing itself: a usage error
// and a request for help are errors of their own types.
package argparse

import "strings"

// The numbers of arguments that an option or positional argument may take.
const (
	// One is exactly one.
	One NArgs = 0
	// Optional is one or none.
	Optional NArgs = '?'
	// Any is any number, AtLeastOne the same without none.
	Any        NArgs = '*'
	AtLeastOne NArgs = '+'
	// None makes the option a flag.
	None NArgs = '-'
)

// NArgs is a number of arguments.
type NArgs byte

// Option is an option, or a positional argument if it has no Names.
type Option struct {
	// Names are the ways to write it, dashes included, the first for usage.
	Names []string
	// Dest is the name of its value in [Values]. Several options may share one.
	Dest  string
	NArgs NArgs
	// Append collects the values of a repeated option instead of the last.
	Append bool
	// Const is the value of an [Optional] option without argument.
	Const string
	// Metavar stands for the value in usage; empty means Dest.
	Metavar string
	// Choices are the values allowed; none means all.
	Choices []string
	// Check says what is wrong with a value, in argparse's words ("invalid int
	// value: 'x'"); "" means nothing. May be nil.
	Check    func(value string) string
	Required bool
	Help     string
	// Own marks an option that the Python tool does not have: it is not shown,
	// and it is found by its whole name only, so that it makes no prefix
	// ambiguous.
	Own bool
}

// Parser is the command line of one program. -h and --help are built in.
type Parser struct {
	Prog        string
	Description string
	Epilog      string
	Options     []Option
	// Columns is the width of the terminal, 0 for 80.
	Columns int
}

// Values are what a command line says.
type Values struct{ given map[string][]string }

// Get is the last value given for dest.
func (v Values) Get(dest string) (value string, given bool) {
	all := v.given[dest]
	if len(all) == 0 {
		return "", false
	}
	return all[len(all)-1], true
}

// All are the values given for dest, in order.
func (v Values) All(dest string) []string { return v.given[dest] }

// Has says whether dest was given; a flag has no other value.
func (v Values) Has(dest string) bool {
	_, given := v.given[dest]
	return given
}

// UsageError is a mistake in the command line. A program prints Error and a
// newline on stderr and exits with 2.
type UsageError struct {
	// Usage is the wrapped usage, with a newline at its end.
	Usage string
	Prog  string
	// Text is the mistake.
	Text string
}

// Error is everything that argparse prints, without the last newline.
func (e *UsageError) Error() string { return e.Usage + e.Prog + ": error: " + e.Text }

// Help is the answer to -h: a program prints Text on stdout and exits with 0.
type Help struct{ Text string }

func (h *Help) Error() string { return "help was asked for" }

// Fail is a usage error of the caller's, as parser.error makes it.
func (p *Parser) Fail(text string) *UsageError {
	return &UsageError{Usage: p.Usage(), Prog: p.Prog, Text: text}
}

// failOption is a usage error about one option.
func (p *Parser) failOption(o *Option, text string) *UsageError {
	return p.Fail("argument " + o.name() + ": " + text)
}

// name is how messages call an option.
func (o *Option) name() string {
	switch {
	case len(o.Names) > 0:
		return strings.Join(o.Names, "/")
	case o.Metavar != "":
		return o.Metavar
	default:
		return o.Dest
	}
}

// helpOption is the option that every parser has in front of all others.
func helpOption() *Option {
	return &Option{Names: []string{"-h", "--help"}, Dest: "help", NArgs: None, Help: "show this help message and exit"}
}

// options are -h and the options of the parser, positional arguments left out.
func (p *Parser) options() []*Option { return p.pick(true, helpOption()) }

// positionals are the positional arguments.
func (p *Parser) positionals() []*Option { return p.pick(false) }

func (p *Parser) pick(named bool, first ...*Option) []*Option {
	for i := range p.Options {
		if o := &p.Options[i]; (len(o.Names) > 0) == named {
			first = append(first, o)
		}
	}
	return first
}

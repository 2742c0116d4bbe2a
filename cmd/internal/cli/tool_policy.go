package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

// toolLog writes the messages of an old tool about policies: bare text, with a
// level in front, or, if verbose, with time, logger and level.
type toolLog struct {
	*app
	out     io.Writer
	levels  bool // LEVEL - text
	verbose bool
}

// write writes one message.
func (l *toolLog) write(level, text string) {
	switch {
	case l.verbose:
		text = l.now().Format("2006-01-02 15:04:05.000") + " - keylime-policy - " + level + " - " + text
	case l.levels:
		text = level + " - " + text
	}
	fmt.Fprintln(l.out, text)
}

func (l *toolLog) errorf(format string, args ...any) int {
	l.write("ERROR", fmt.Sprintf(format, args...))
	return exitFailure
}

func (l *toolLog) warn(text string) { l.write("WARNING", text) }

func (l *toolLog) debugf(format string, args ...any) {
	if l.verbose {
		l.write("DEBUG", fmt.Sprintf(format, args...))
	}
}

// pythonError is a failure of the system in the words of Python's OSError, which
// are what the old tools print.
func pythonError(err error, path string) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		var in *fs.PathError
		if errors.As(err, &in) {
			err = in.Err
		}
		return err.Error()
	}
	text := number.Error()
	first, size := utf8.DecodeRuneInString(text)
	return fmt.Sprintf("[Errno %d] %c%s: %s", int(number), unicode.ToUpper(first), text[size:], pyjson.Quote(path))
}

// policyTool is keylime-policy as the Python package has it (TENANT-CLI.md C.1,
// C.3), but for what section D says: root is not needed, and files appear on
// success only.
func policyTool(ctx context.Context, a *app, args []string) int {
	a.old, a.verb = &classic.Call{Verb: policyProgram}, policyProgram
	top := subcommands{
		prog: policyProgram, names: []string{"create", "sign"}, title: "actions", column: 15,
		helps: []string{"create runtime or measured boot policy", "sign policy"}, optional: true,
	}
	action, rest, code := top.choose(a, args)
	if code >= 0 {
		return code
	}
	below := subcommands{
		prog: policyProgram + " create", names: []string{"runtime", "measured-boot"}, title: "create", column: 24,
		helps: []string{"create runtime policies", "create measured boot reference state policy"},
	}
	if action == "sign" {
		below = subcommands{prog: policyProgram + " sign", names: []string{"runtime"}, title: "sign", column: 12, helps: []string{"sign runtime policies"}}
	}
	object, rest, code := below.choose(a, rest)
	if code >= 0 {
		return code
	}
	switch action + " " + object {
	case "create runtime":
		return policyToolCreateRuntime(ctx, a, rest)
	case "create measured-boot":
		return policyToolCreateMB(a, rest)
	}
	return policyToolSign(a, rest)
}

const policyProgram = "keylime-policy"

// subcommands is a level of argparse's subparsers, which package argparse does
// not know.
type subcommands struct {
	prog, title  string
	names, helps []string
	column       int // at which explanations begin
	// optional: without a choice the help is shown.
	optional bool
}

func (s *subcommands) metavar() string { return "{" + strings.Join(s.names, ",") + "}" }
func (s *subcommands) usage() string   { return "usage: " + s.prog + " [-h] " + s.metavar() + " ...\n" }

// help is argparse's, with its columns.
func (s *subcommands) help() string {
	var b strings.Builder
	b.WriteString(s.usage() + "\noptions:\n")
	line := func(indent int, name, text string) {
		if head := strings.Repeat(" ", indent) + name; len(head)+2 <= s.column {
			fmt.Fprintf(&b, "%-*s%s\n", s.column, head, text)
		} else {
			fmt.Fprintf(&b, "%s\n%*s%s\n", head, s.column, "", text)
		}
	}
	line(2, "-h, --help", "show this help message and exit")
	fmt.Fprintf(&b, "\n%s:\n  %s\n", s.title, s.metavar())
	for i, name := range s.names {
		line(4, name, s.helps[i])
	}
	return b.String()
}

// choose finds the word that chooses, and what is left for the chosen. A code
// that is not negative ends the call.
func (s *subcommands) choose(a *app, args []string) (choice string, rest []string, code int) {
	fail := func(text string) (string, []string, int) {
		fmt.Fprintf(a.errOut(), "%s%s: error: %s\n", s.usage(), s.prog, text)
		return "", nil, exitUsage
	}
	var unknown []string
	for i, word := range args {
		switch {
		case word == "-h" || len(word) > 2 && strings.HasPrefix("--help", word):
			io.WriteString(a.out(), s.help())
			return "", nil, exitOK
		case strings.HasPrefix(word, "-") && len(word) > 1:
			unknown = append(unknown, word)
			continue
		}
		for _, name := range s.names {
			if word == name {
				// What is unknown here is unknown to the chosen parser too.
				return name, append(unknown, args[i+1:]...), -1
			}
		}
		return fail(fmt.Sprintf("argument %s: invalid choice: %s (choose from %s)", s.metavar(), pyjson.Quote(word), choices(s.names)))
	}
	switch {
	case !s.optional:
		return fail("the following arguments are required: " + s.metavar())
	case len(unknown) > 0:
		return fail("unrecognized arguments: " + strings.Join(unknown, " "))
	}
	io.WriteString(a.out(), s.help())
	return "", nil, exitOK
}

func choices(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "'" + name + "'"
	}
	return strings.Join(quoted, ", ")
}

// parsePolicyTool reads the options of a subcommand. What is not recognised is
// reported with the usage of the program, as argparse does.
func (a *app) parsePolicyTool(parser *argparse.Parser, args []string) (values argparse.Values, code int, ended bool) {
	values, err := parser.Parse(args)
	var usage *argparse.UsageError
	if errors.As(err, &usage) && strings.HasPrefix(usage.Text, "unrecognized arguments: ") {
		top := subcommands{prog: policyProgram, names: []string{"create", "sign"}}
		fmt.Fprintf(a.errOut(), "%s%s: error: %s\n", top.usage(), policyProgram, usage.Text)
		return values, exitUsage, true
	}
	verb := a.verb
	values, code, ended = a.parseTool(parser, args)
	a.verb = verb
	return values, code, ended
}

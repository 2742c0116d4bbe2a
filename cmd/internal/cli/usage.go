package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a mistake in the command line itself.
type usageError struct {
	Err error
	// Advice says what to type instead; may be empty.
	Advice string
}

func (e *usageError) Error() string { return e.Err.Error() }
func (e *usageError) Unwrap() error { return e.Err }

// HintText makes the advice known to package render.
func (e *usageError) HintText() string { return e.Advice }

// usagef makes a usage error: object and cause in one sentence.
func usagef(format string, a ...any) *usageError { return &usageError{Err: fmt.Errorf(format, a...)} }

// hint adds what to type instead.
func (e *usageError) hint(format string, a ...any) error {
	e.Advice = fmt.Sprintf(format, a...)
	return e
}

// helpOf is the command that shows the help of a verb.
func helpOf(cmd *cobra.Command) string { return cmd.CommandPath() + " --help" }

// flagError turns pflag's complaint about an option into one line and a hint.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		syntax  *pflag.InvalidSyntaxError
	)
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown)
	case errors.As(err, &missing):
		name := dashed(missing.GetSpecifiedName())
		if name == "-v" {
			return usagef("-v needs a value: it names the verifier's host").hint("--version prints the version, --verbose shows each step")
		}
		return usagef("option %s needs a value", name).hint("%s", helpOf(cmd))
	case errors.As(err, &invalid):
		return usagef("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), errors.Unwrap(invalid)).hint("%s", helpOf(cmd))
	case errors.As(err, &syntax):
		return usagef("%q is not an option", syntax.GetSpecifiedFlag()).hint("%s", helpOf(cmd))
	}
	return &usageError{Err: err, Advice: helpOf(cmd)}
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func unknownFlag(cmd *cobra.Command, e *pflag.NotExistError) error {
	name := e.GetSpecifiedName()
	if e.GetSpecifiedShortnames() != "" {
		switch name {
		case "u":
			return usagef("unknown option -u").hint("the id is an argument here: %s ID", cmd.CommandPath())
		case "c":
			return usagef("unknown option -c").hint("-c VERB belongs to the old command line: keylime_tenant help classic")
		}
		return usagef("unknown option -%s (in -%s)", name, e.GetSpecifiedShortnames()).hint("%s", helpOf(cmd))
	}
	if normalized := string(normalizeFlag(nil, name)); normalized == "uuid" {
		return usagef("unknown option --%s", name).hint("the id is an argument here: %s ID", cmd.CommandPath())
	}
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	u := usagef("unknown option --%s", name)
	if near := nearest(name, names); near != "" {
		return u.hint("did you mean --%s?", near)
	}
	for _, other := range cmd.Root().Commands() {
		if other != cmd && other.LocalFlags().Lookup(name) != nil {
			return u.hint("%s has this option, %s has not: %s", other.Name(), cmd.Name(), helpOf(cmd))
		}
	}
	return u.hint("%s", helpOf(cmd))
}

// unknownVerb is the error for a word where a verb should be.
func unknownVerb(cmd *cobra.Command, word string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.Hidden {
			continue
		}
		if slices.Contains(sub.SuggestFor, word) {
			return usagef("there is no verb %q", word).hint("%s %s: %s", cmd.CommandPath(), sub.Name(), sub.Short)
		}
		names = append(names, sub.Name())
	}
	u := usagef("there is no verb %q", word)
	if near := nearest(word, names); near != "" {
		return u.hint("did you mean %s %s?", cmd.CommandPath(), near)
	}
	return u.hint("%s --help lists the verbs", cmd.CommandPath())
}

// misplacedVerb looks, after cobra has found no verb, for the word that was
// meant to be one. Without this, a complaint about an option of the verb would
// hide that the verb is misspelt.
func misplacedVerb(cmd *cobra.Command, rest []string) (string, bool) {
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		if word == "--" || word == "-" || !strings.HasPrefix(word, "-") {
			return word, word != "--" && word != "-"
		}
		if f := takesValue(cmd, word); f != nil {
			i++
		}
	}
	return "", false
}

// takesValue is the option of word if its value is the next word.
func takesValue(cmd *cobra.Command, word string) *pflag.Flag {
	var f *pflag.Flag
	for ; cmd != nil && f == nil; cmd = cmd.Parent() {
		name, long := strings.CutPrefix(word, "--")
		switch {
		case long && strings.Contains(name, "="):
			return nil
		case long:
			f = cmd.PersistentFlags().Lookup(name)
		case len(word) == 2:
			f = cmd.PersistentFlags().ShorthandLookup(word[1:])
		}
	}
	if f == nil || f.NoOptDefVal != "" {
		return nil
	}
	return f
}

// nearest is the candidate that word is most likely a slip of: one that it
// begins, or one within two edits (one for short words); "" if none is near.
func nearest(word string, candidates []string) string {
	word = strings.ToLower(word)
	limit := 2
	if len(word) <= 3 {
		limit = 1
	}
	best, bestDistance := "", limit+1
	for _, c := range candidates {
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" && len(word) >= 3 {
		for _, c := range candidates {
			if strings.HasPrefix(c, word) {
				return c
			}
		}
	}
	return best
}

// distance counts the edits between two words: a letter put in, left out,
// changed, or swapped with its neighbour.
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// checkFlags judges what pflag does not: the format of the result, and values
// that are empty, which in a script is a variable that was never set.
func (a *app) checkFlags(cmd *cobra.Command) error {
	a.verb = cmd.Name()
	if _, err := a.global.format(); err != nil {
		return err
	}
	var empty error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && !(a.old != nil && f.Name == "cvid") && empty == nil {
			empty = usagef("option --%s has an empty value", f.Name)
		}
	})
	return empty
}

// Positional arguments.

// noArgs allows none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, so what is %q?", cmd.Name(), args[0]).hint("%s", helpOf(cmd))
	}
	return nil
}

// agentID wants the id of one agent.
func agentID(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usagef("%s needs the id of an agent", cmd.Name()).hint("%s ID; keylime_tenant reglist lists the ids", cmd.CommandPath())
	case 1:
		return nil
	}
	return usagef("%s takes one id, so what is %q?", cmd.Name(), args[1]).hint("%s", helpOf(cmd))
}

// advisedError adds what to do to an error of a room that does not say it.
type advisedError struct {
	Err    error
	Advice string
}

func (e *advisedError) Error() string { return e.Err.Error() }
func (e *advisedError) Unwrap() error { return e.Err }

// HintText makes the advice known to package render.
func (e *advisedError) HintText() string { return e.Advice }

// inputError is a file named on the command line that cannot be read.
type inputError struct {
	Option, Path string
	Err          error
}

func (e *inputError) Error() string {
	err := e.Err
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the path is named already
	}
	return fmt.Sprintf("%s %s: %v", e.Option, e.Path, err)
}

func (e *inputError) Unwrap() error { return e.Err }

// classicInterrupt makes the compat renderer say that a call was interrupted,
// and in what; the Python tenant ends in a traceback then.
type classicInterrupt struct{ Err error }

func (e *classicInterrupt) Error() string { return e.Err.Error() }
func (e *classicInterrupt) Unwrap() error { return e.Err }

// Classic is the record.
func (e *classicInterrupt) Classic() string {
	text := strings.TrimPrefix(e.Err.Error(), errInterrupted.Error()+": ")
	return errInterrupted.Error() + ": " + strings.TrimSuffix(text, ": "+errInterrupted.Error())
}

// interruptedError is whatever a signal has made of a call.
type interruptedError struct{ Err error }

func (e *interruptedError) Error() string   { return "interrupted: " + e.Err.Error() }
func (e *interruptedError) Unwrap() []error { return []error{errInterrupted, e.Err} }

package argparse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

// match is a word that was recognised as an option.
type match struct {
	// option is nil for a word that looks like an option but is none.
	option *Option
	// name is the way in which it was written, completed.
	name string
	// explicit is the argument that stands in the same word.
	explicit    string
	hasExplicit bool
}

// run is the state of one parse: the words, what each of them is ('O' option,
// 'A' argument, '-' the first "--"), and what is left to do.
type run struct {
	*Parser
	words       []string
	pattern     string
	matches     map[int]match
	positionals []*Option
	extras      []string
	seen        map[*Option]bool
	values      Values
}

// Parse reads a command line without the program's name. Errors: [*UsageError],
// [*Help].
func (p *Parser) Parse(words []string) (Values, error) {
	r := run{Parser: p, words: words, matches: map[int]match{}, positionals: p.positionals(), seen: map[*Option]bool{},
		values: Values{map[string][]string{}}}
	if err := r.classify(); err != nil {
		return Values{}, err
	}
	if err := r.consume(); err != nil {
		return Values{}, err
	}
	if err := r.finish(); err != nil {
		return Values{}, err
	}
	return r.values, nil
}

// classify says of each word what it is.
func (r *run) classify() error {
	options := r.options()
	var pattern strings.Builder
	for i, word := range r.words {
		if word == "--" {
			pattern.WriteByte('-')
			pattern.WriteString(strings.Repeat("A", len(r.words)-i-1))
			break
		}
		m, isOption, err := r.lookUp(options, word)
		if err != nil {
			return err
		}
		if isOption {
			r.matches[i] = m
			pattern.WriteByte('O')
		} else {
			pattern.WriteByte('A')
		}
	}
	r.pattern = pattern.String()
	return nil
}

// lookUp finds the option that a word means, if it means one.
func (r *run) lookUp(options []*Option, word string) (m match, isOption bool, err error) {
	if word == "" || word[0] != '-' {
		return match{}, false, nil
	}
	if o := find(options, word); o != nil {
		return match{option: o, name: word}, true, nil
	}
	if len(word) == 1 {
		return match{}, false, nil
	}
	if name, value, found := strings.Cut(word, "="); found {
		if o := find(options, name); o != nil {
			return match{o, name, value, true}, true, nil
		}
	}
	candidates := prefixed(options, word)
	switch {
	case len(candidates) > 1:
		names := make([]string, len(candidates))
		for i, c := range candidates {
			names[i] = c.name
		}
		return match{}, false, r.Fail(fmt.Sprintf("ambiguous option: %s could match %s", word, strings.Join(names, ", ")))
	case len(candidates) == 1:
		return candidates[0], true, nil
	case negativeNumber(word) || strings.Contains(word, " "):
		return match{}, false, nil
	}
	return match{name: word}, true, nil
}

func find(options []*Option, name string) *Option {
	for _, o := range options {
		if slices.Contains(o.Names, name) {
			return o
		}
	}
	return nil
}

// prefixed are the options that a word may abbreviate, in order of definition.
// Two dashes: prefixes of long options, up to the '='. One dash: prefixes of
// options of one dash, and one letter with its argument glued to it.
func prefixed(options []*Option, word string) []match {
	prefix, value, hasValue := word, "", false
	long := strings.HasPrefix(word, "--")
	if long {
		prefix, value, hasValue = strings.Cut(word, "=")
	}
	letter := word[:1+firstSize(word[1:])]
	var all []match
	for _, o := range options {
		for _, name := range o.Names {
			switch {
			case !long && name == letter:
				all = append(all, match{o, name, word[len(letter):], true})
			case !o.Own && strings.HasPrefix(name, prefix):
				all = append(all, match{o, name, value, hasValue})
			}
		}
	}
	return all
}

// firstSize is the length in bytes of the first character of a text.
func firstSize(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}

// negativeNumber says whether a word is -digits, -digits.digits or -.digits.
func negativeNumber(word string) bool {
	whole, fraction, point := strings.Cut(word[1:], ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if !point {
		return whole != "" && digits(whole)
	}
	return fraction != "" && digits(whole) && digits(fraction)
}

// consume walks over the words and takes options and positional arguments.
func (r *run) consume() error {
	at := 0
	for last := r.lastOption(); at <= last; {
		next := at
		for r.pattern[next] != 'O' {
			next++
		}
		if next > at {
			end, err := r.takePositionals(at)
			if err != nil {
				return err
			}
			if end > at {
				at = end
				continue
			}
			r.extras = append(r.extras, r.words[at:next]...)
			at = next
		}
		var err error
		if at, err = r.takeOption(at); err != nil {
			return err
		}
	}
	end, err := r.takePositionals(at)
	if err != nil {
		return err
	}
	r.extras = append(r.extras, r.words[end:]...)
	return nil
}

func (r *run) lastOption() int { return strings.LastIndexByte(r.pattern, 'O') }

// takeOption takes the option at a place with its arguments, and says where the
// next word stands. Several flags of one letter may share a word (-ab).
func (r *run) takeOption(at int) (next int, err error) {
	m := r.matches[at]
	type taken struct {
		option *Option
		args   []string
	}
	var all []taken
	for next == 0 {
		switch {
		case m.option == nil:
			r.extras = append(r.extras, r.words[at])
			return at + 1, nil
		case !m.hasExplicit:
			count, err := r.count(m.option, r.pattern[at+1:])
			if err != nil {
				return 0, err
			}
			all = append(all, taken{m.option, r.words[at+1 : at+1+count]})
			next = at + 1 + count
		case m.option.NArgs != None:
			all = append(all, taken{m.option, []string{m.explicit}})
			next = at + 1
		case strings.HasPrefix(m.name, "--") || m.explicit == "":
			return 0, r.failOption(m.option, "ignored explicit argument "+pyjson.Quote(m.explicit))
		default:
			all = append(all, taken{option: m.option})
			size := firstSize(m.explicit)
			name, rest := "-"+m.explicit[:size], m.explicit[size:]
			o := find(r.options(), name)
			if o == nil {
				return 0, r.failOption(m.option, "ignored explicit argument "+pyjson.Quote(m.explicit))
			}
			m = match{o, name, rest, rest != ""}
		}
	}
	for _, t := range all {
		if err := r.take(t.option, t.args); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// count is how many of the following words an option takes.
func (r *run) count(o *Option, pattern string) (int, error) {
	there := len(pattern) - len(strings.TrimLeft(pattern, "A"))
	switch o.NArgs {
	case None:
		return 0, nil
	case Any:
		return there, nil
	case Optional:
		return min(there, 1), nil
	}
	if there == 0 {
		text := "expected one argument"
		if o.NArgs == AtLeastOne {
			text = "expected at least one argument"
		}
		return 0, r.failOption(o, text)
	}
	if o.NArgs == AtLeastOne {
		return there, nil
	}
	return 1, nil
}

// take checks the arguments of an option and keeps them.
func (r *run) take(o *Option, args []string) error {
	r.seen[o] = true
	if o.Dest == "help" && o.NArgs == None {
		return &Help{Text: r.Help()}
	}
	if i := slices.Index(args, "--"); i >= 0 && len(o.Names) == 0 {
		args = slices.Delete(slices.Clone(args), i, i+1)
	}
	for _, arg := range args {
		if o.Check != nil {
			if problem := o.Check(arg); problem != "" {
				return r.failOption(o, problem)
			}
		}
		if len(o.Choices) > 0 && !slices.Contains(o.Choices, arg) {
			quoted := make([]string, len(o.Choices))
			for i, c := range o.Choices {
				quoted[i] = pyjson.Quote(c)
			}
			return r.failOption(o, fmt.Sprintf("invalid choice: %s (choose from %s)", pyjson.Quote(arg), strings.Join(quoted, ", ")))
		}
	}
	switch {
	case len(args) > 0:
	case len(o.Names) == 0:
		return nil
	case o.NArgs == None || o.NArgs == Optional:
		args = []string{o.Const}
	}
	before := []string{}
	if o.Append {
		before = r.values.given[o.Dest]
	}
	r.values.given[o.Dest] = append(before, args...)
	return nil
}

// finish looks for what is missing and what is too much.
func (r *run) finish() error {
	var missing []string
	for i := range r.Options {
		o := &r.Options[i]
		required := o.Required || len(o.Names) == 0 && o.NArgs != Optional
		if required && !r.seen[o] {
			missing = append(missing, o.name())
		}
	}
	if len(missing) > 0 {
		return r.Fail("the following arguments are required: " + strings.Join(missing, ", "))
	}
	if len(r.extras) > 0 {
		return r.Fail("unrecognized arguments: " + strings.Join(r.extras, " "))
	}
	return nil
}

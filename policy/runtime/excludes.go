package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// ExcludeError is the refusal of an exclude pattern.
type ExcludeError struct {
	// Line is the line in the list, from 1; 0 if the pattern comes from a policy.
	Line int
	// Pattern is the pattern, or the joined ones.
	Pattern string
	// Err is the cause: a *pyre.JoinError or *pyre.Error.
	Err error
}

// Error begins, for what Python refuses, with the words of upstream's message.
func (e *ExcludeError) Error() string {
	where := ""
	if e.Line > 0 {
		where = fmt.Sprintf(" (line %d)", e.Line)
	}
	var refused *pyre.Error
	if errors.As(e.Err, &refused) {
		at := ""
		if refused.Pos >= 0 {
			at = fmt.Sprintf(" (at position %d)", refused.Pos)
		}
		return fmt.Sprintf("bad exclude pattern %.200q%s: Invalid regex: %s%s", e.Pattern, where, refused.Msg, at)
	}
	return fmt.Sprintf("bad exclude pattern %.200q%s: %v", e.Pattern, where, e.Err)
}

func (e *ExcludeError) Unwrap() error { return e.Err }

// ParseExcludes reads an exclude list: one Python regular expression a line,
// blanks around it and empty lines left out. A line that begins with "#" is a
// comment; that is said in a warning, because upstream's `keylime-policy create
// runtime` makes patterns of such lines.
//
// Each pattern is checked alone and joined with the others, as a verifier
// applies them; what joining would change is refused. Error: *[ExcludeError].
func ParseExcludes(data []byte) (patterns, warnings []string, err error) {
	if !utf8.Valid(data) {
		return nil, nil, &ExcludeError{Err: errors.New("the list is not UTF-8")}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var lines []int
	comments := 0
	for i, line := range strings.Split(universalNewlines(string(data)), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "#"):
			comments++
		default:
			patterns = append(patterns, line)
			lines = append(lines, i+1)
		}
	}
	if comments > 0 {
		warnings = append(warnings, fmt.Sprintf("%d line(s) that begin with # are taken as comments; upstream's keylime-policy takes them as patterns", comments))
	}
	return patterns, warnings, checkExcludes(patterns, lines)
}

func universalNewlines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// checkExcludes refuses patterns that cannot be joined. lines are their line
// numbers, or nil.
func checkExcludes(patterns []string, lines []int) error {
	_, err := pyre.Join(patterns)
	var refused *pyre.JoinError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		e := &ExcludeError{Pattern: refused.Pattern, Err: err}
		if lines != nil {
			e.Line = lines[refused.Index]
		}
		return e
	default:
		return &ExcludeError{Pattern: pyre.Joined(patterns), Err: err}
	}
}

// AddExcludes appends the patterns that the policy has not yet and returns how
// many these are. It does not check them, see [ParseExcludes].
func (p *Policy) AddExcludes(patterns []string) int {
	n := 0
	for _, pattern := range patterns {
		if !slices.Contains(p.Excludes, pattern) {
			p.Excludes = append(p.Excludes, pattern)
			n++
		}
	}
	return n
}

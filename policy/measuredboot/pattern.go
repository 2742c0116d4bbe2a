package measuredboot

import (
	"strings"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// commandLinePrefix begins the text of the event that measures the kernel's
// command line, and is put before a policy's pattern.
const commandLinePrefix = "kernel_cmdline: "

// special are the characters that Python's re.escape escapes.
const special = "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"

// Escape returns a regular expression that matches just the text, written as
// Python's re.escape writes it.
func Escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(special, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Literal returns the text that a pattern made by [Escape] matches, false for
// patterns that could match another text as well.
func Literal(pattern string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\':
			i++
			if i == len(pattern) || strings.IndexByte(special, pattern[i]) < 0 {
				return "", false
			}
			b.WriteByte(pattern[i])
		case strings.IndexByte(`()[]{}?*+|^$.`, c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// matcher tells whether a command line's event satisfies a pattern.
type matcher struct {
	literal string
	re      *pyre.Regexp
}

// newMatcher compiles a pattern of kernel_cmdline as the verifier does, behind
// the prefix; the error is a *pyre.Error.
func newMatcher(pattern string) (matcher, error) {
	if text, ok := Literal(pattern); ok {
		return matcher{literal: text}, nil
	}
	re, err := pyre.Compile(commandLinePrefix + pattern)
	return matcher{re: re}, err
}

// match takes the whole text of the event. The error is a *pyre.TimeoutError.
func (m matcher) match(event string) (bool, error) {
	if m.re == nil {
		text, ok := strings.CutPrefix(event, commandLinePrefix)
		return ok && text == m.literal, nil
	}
	return m.re.FullMatch(event)
}

package upgrade

import (
	"fmt"
	"regexp"
	"strings"
)

// tomlScalar is the form of texts, numbers and truth values in TOML, at the
// beginning of a text.
const tomlScalar = `^(?:true|false` +
	`|0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*` +
	`|[+-]?(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?` +
	`|[+-]?(?:inf|nan)` +
	`|'[^'\x00-\x08\x0a-\x1f\x7f]*'` +
	`|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\(?:[btnfr"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}))*")`

// isTOML says whether a text is a value of TOML, perhaps with a comment behind
// it. Dates and tables are not known. scalar is [tomlScalar].
func isTOML(scalar *regexp.Regexp, text string) bool {
	rest, ok := tomlPrefix(scalar, text, 0)
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, " \t")
	return rest == "" || rest[0] == '#' && strings.IndexFunc(rest, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

// tomlPrefix takes a value from the beginning of a text, and says what is left.
func tomlPrefix(scalar *regexp.Regexp, text string, depth int) (rest string, ok bool) {
	const maxDepth = 50
	inner, array := strings.CutPrefix(text, "[")
	if !array || depth == maxDepth {
		found := scalar.FindString(text)
		return text[len(found):], found != ""
	}
	const blanks = " \t\n"
	for {
		inner = strings.TrimLeft(inner, blanks)
		if rest, closed := strings.CutPrefix(inner, "]"); closed {
			return rest, true
		}
		if inner, ok = tomlPrefix(scalar, inner, depth+1); !ok {
			return "", false
		}
		inner = strings.TrimLeft(inner, blanks)
		if after, comma := strings.CutPrefix(inner, ","); comma {
			inner = after
		} else if !strings.HasPrefix(inner, "]") {
			return "", false
		}
	}
}

// tomlValue writes a value of the agent's file. What stood between quotes in a
// TOML file is written between quotes again, escapes and all. Where that would
// be no TOML, as with a quote inside of a value, the value is escaped: Keylime's
// tool writes a file then that the agent refuses.
func tomlValue(scalar *regexp.Regexp, value string, quoted bool) string {
	text := value
	if quoted {
		text = `"` + value + `"`
	}
	switch {
	case isTOML(scalar, text):
		return strings.ReplaceAll(text, "\n", "\n    ") // of an array
	case !quoted && (strings.EqualFold(value, "true") || strings.EqualFold(value, "false")):
		return strings.ToLower(value)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ' && r != '\t' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

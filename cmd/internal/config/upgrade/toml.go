package upgrade

import (
	"fmt"
	"regexp"
	"strings"
)

// tomlScalar is the form of texts, numbers and truth values in TOML.
const tomlScalar = `^(?:true|false` +
	`|[+-]?(?:0|[1-9](?:_?[0-9])*)` +
	`|0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*` +
	`|[+-]?(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?` +
	`|[+-]?(?:inf|nan)` +
	`|'[^'\x00-\x08\x0a-\x1f\x7f]*'` +
	`|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\(?:[btnfr"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}))*")` +
	`[ \t]*(?:#[^\x00-\x08\x0a-\x1f\x7f]*)?$`

// isTOML says whether a text is a value of TOML, perhaps with a comment behind
// it.
func isTOML(text string) bool {
	ok, err := regexp.MatchString(tomlScalar, text)
	return ok && err == nil
}

// tomlValue writes a value of the agent's file. What stood between quotes in a
// TOML file is written between quotes again, escapes and all. Where that would
// be no TOML, as with a quote inside of a value, the value is escaped: Keylime's
// tool writes a file then that the agent refuses.
func tomlValue(value string, quoted bool) string {
	text := value
	if quoted {
		text = `"` + value + `"`
	}
	switch {
	case isTOML(text):
		return text
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

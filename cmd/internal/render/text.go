package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// textLimit is how much of a server's text is shown in a cell, in bytes.
const textLimit = 300

// Safe makes text of others fit for a terminal: cut to a limit, and quoted if
// it holds anything but printable characters, so that a server can neither move
// the cursor nor forge a line.
func Safe(text string) string { return safeTo(text, textLimit) }

// safeTo is [Safe] with another limit in bytes.
func safeTo(text string, limit int) string {
	if len(text) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// harmless makes the characters of a text visible that command a terminal, or
// turn the direction of what follows; lines and tabs stay. It is the last resort
// for text that is longer than [Safe] lets pass.
func harmless(text string) string {
	if !strings.ContainsFunc(text, commands) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if commands(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// commands says whether a terminal obeys a character instead of showing it.
func commands(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// messageLimit is how much of a line of a message is shown, in bytes. It is
// longer than for a server's text, which messages repeat in part only.
const messageLimit = 2000

// safeLines makes text of several lines safe, line by line.
func safeLines(text string) string {
	parts := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, part := range parts {
		parts[i] = safeTo(strings.TrimRight(part, "\r"), messageLimit)
	}
	return strings.Join(parts, "\n")
}

// Age says how long ago something was, in one or two units.
func Age(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 0:
		return "in the future (clocks differ)"
	case d < time.Second:
		return "now"
	}
	return Duration(d) + " ago"
}

// Duration writes a duration in its two largest units.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return two(int(d.Minutes()), "m", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "m")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func two(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%d%s", a, unitA, b, unitB)
}

// plural writes a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Command writes an argument vector so that a shell reads the same words.
func Command(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellWord(word)
	}
	return strings.Join(quoted, " ")
}

func shellWord(word string) string {
	plain := word != ""
	for _, r := range word {
		if !(r == '-' || r == '_' || r == '.' || r == '/' || r == ':' || r == '=' || r == ',' || r == '@' || r == '+' ||
			'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			plain = false
		}
	}
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

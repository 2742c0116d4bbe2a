package argparse

import (
	"strings"
	"unicode"
)

// wrap breaks a text into lines of at most width characters, as textwrap.wrap
// of Python does: at blanks, and behind hyphens inside of words.
func wrap(text string, width int) []string {
	chunks := split([]rune(text))
	var lines []string
	for len(chunks) > 0 {
		if len(lines) > 0 && chunks[0][0] == ' ' {
			chunks = chunks[1:]
		}
		var line []rune
		for len(chunks) > 0 && len(line)+len(chunks[0]) <= width {
			line = append(line, chunks[0]...)
			chunks = chunks[1:]
		}
		shown := strings.TrimRight(string(line), " ")
		if len(chunks) > 0 && len(chunks[0]) > width {
			// With no room left textwrap cuts off nothing, and then takes that
			// for the blank at the end of the line; so do we.
			end := breakAt(chunks[0], width-len(line))
			shown = string(line) + string(chunks[0][:end])
			chunks[0] = chunks[0][end:]
		}
		if shown != "" {
			lines = append(lines, shown)
		}
	}
	return lines
}

// breakAt is where a word that fits on no line is cut when room characters are
// left: behind its last hyphen there, if one follows a letter.
func breakAt(word []rune, room int) int {
	for i := room - 1; i > 0; i-- {
		if word[i] == '-' {
			if strings.Trim(string(word[:i]), "-") != "" {
				return i + 1
			}
			break
		}
	}
	return room
}

// split cuts a text into pieces that are not broken: runs of blanks, and words
// or their parts.
func split(text []rune) [][]rune {
	var chunks [][]rune
	for at := 0; at < len(text); {
		end := pieceEnd(text, at)
		chunks = append(chunks, text[at:end:end])
		at = end
	}
	return chunks
}

// pieceEnd is where the piece that begins at a place ends.
func pieceEnd(text []rune, at int) int {
	if text[at] == ' ' {
		for at < len(text) && text[at] == ' ' {
			at++
		}
		return at
	}
	if n := dash(text[at:]); n > 0 && at > 0 && beforeDash(text[at-1]) {
		return at + n
	}
	for end := at + 1; ; end++ {
		switch {
		case end == len(text) || text[end] == ' ':
			return end
		case text[end] == '-' && hyphenated(text, end):
			return end + 1
		case beforeDash(text[end-1]) && dash(text[end:]) > 0:
			return end
		}
	}
}

// dash is the length of two or more hyphens in front of a word, 0 if there are
// none.
func dash(text []rune) int {
	n := 0
	for n < len(text) && text[n] == '-' {
		n++
	}
	if n < 2 || n == len(text) || !isWord(text[n]) {
		return 0
	}
	return n
}

func beforeDash(r rune) bool { return isWord(r) || strings.ContainsRune(`!"'&.,?`, r) }

// hyphenated says whether a word may be broken behind the hyphen at n: two
// letters, or a letter, hyphen and letter, stand before it, and two letters,
// perhaps with a hyphen between, behind it.
func hyphenated(text []rune, n int) bool {
	letter := func(i int) bool { return i >= 0 && i < len(text) && isWord(text[i]) && !unicode.IsDigit(text[i]) }
	before := letter(n-1) && (letter(n-2) || n >= 2 && text[n-2] == '-' && letter(n-3))
	after := letter(n+1) && (letter(n+2) || n+2 < len(text) && text[n+2] == '-' && letter(n+3))
	return before && after
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

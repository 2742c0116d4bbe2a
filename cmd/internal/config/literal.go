package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseList reads a Python list of strings, ['a', "b"], as ast.literal_eval
// does, and trims the strings (PROTOCOL.md 14.3). What is a Python literal but
// not a list of strings is refused with the reason.
func ParseList(text string) ([]string, error) {
	p := literalParser{rest: text}
	p.blank()
	if !p.take("[") {
		return nil, errors.New("not a list")
	}
	list := []string{}
	for {
		p.blank()
		if p.take("]") {
			break
		}
		item, err := p.item()
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", len(list)+1, err)
		}
		list = append(list, strings.TrimFunc(item, isPySpace))
		p.blank()
		if p.take("]") {
			break
		}
		if !p.take(",") {
			return nil, fmt.Errorf("item %d: neither ',' nor ']' after it", len(list))
		}
	}
	p.blank()
	if p.rest != "" {
		return nil, errors.New("text after the ']'")
	}
	return list, nil
}

// literalParser reads from the beginning of rest.
type literalParser struct{ rest string }

func (p *literalParser) take(token string) bool {
	rest, found := strings.CutPrefix(p.rest, token)
	if found {
		p.rest = rest
	}
	return found
}

// blank skips what may stand between tokens inside brackets: blanks, line ends,
// joined lines and comments.
func (p *literalParser) blank() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\n\r\f")
		switch {
		case p.take("\\\n"):
		case strings.HasPrefix(p.rest, "#"):
			_, p.rest, _ = strings.Cut(p.rest, "\n")
		default:
			return
		}
	}
}

// item is one string, or several beside each other, which are one.
func (p *literalParser) item() (string, error) {
	var b strings.Builder
	for n := 0; ; n++ {
		raw, quote, ok := p.opening()
		if !ok {
			if n == 0 {
				return "", errors.New("not a string in quotes")
			}
			return b.String(), nil
		}
		if err := p.body(&b, raw, quote); err != nil {
			return "", err
		}
		p.blank()
	}
}

// opening takes the prefix and the quotes that open a string.
func (p *literalParser) opening() (raw bool, quote string, ok bool) {
	rest := p.rest
	if rest != "" && strings.ContainsRune("rRuU", rune(rest[0])) {
		raw = rest[0] == 'r' || rest[0] == 'R'
		rest = rest[1:]
	}
	for _, q := range []string{`"""`, "'''", `"`, "'"} {
		if after, found := strings.CutPrefix(rest, q); found {
			p.rest = after
			return raw, q, true
		}
	}
	return false, "", false
}

// body takes a string up to the quotes that close it.
func (p *literalParser) body(b *strings.Builder, raw bool, quote string) error {
	for p.rest != "" {
		switch {
		case p.take(quote):
			return nil
		case p.rest[0] == '\n' && len(quote) == 1:
			return errors.New("the string does not end on its line")
		case p.rest[0] == '\\' && len(p.rest) > 1:
			if err := p.escape(b, raw); err != nil {
				return err
			}
		default:
			_, size := utf8.DecodeRuneInString(p.rest)
			b.WriteString(p.rest[:size])
			p.rest = p.rest[size:]
		}
	}
	return errors.New("the string does not end")
}

// simpleEscapes are those of one letter.
const simpleEscapes = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"

// escape takes a backslash and what belongs to it. Escapes that Python does not
// know stay as they are.
func (p *literalParser) escape(b *strings.Builder, raw bool) error {
	c := p.rest[1]
	if raw || c >= utf8.RuneSelf {
		b.WriteString(p.rest[:1])
		p.rest = p.rest[1:]
		if c < utf8.RuneSelf {
			b.WriteByte(c)
			p.rest = p.rest[1:]
		}
		return nil
	}
	p.rest = p.rest[2:]
	if i := strings.IndexByte(simpleEscapes, c); i >= 0 && i%2 == 0 {
		b.WriteByte(simpleEscapes[i+1])
		return nil
	}
	switch c {
	case '\n':
		return nil
	case 'x':
		return p.code(b, 2, 16)
	case 'u':
		return p.code(b, 4, 16)
	case 'U':
		return p.code(b, 8, 16)
	case 'N':
		return errors.New(`\N{...} is not understood; write the character itself`)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.rest = string(c) + p.rest
		n := 1
		for n < 3 && n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '7' {
			n++
		}
		return p.code(b, n, 8)
	}
	b.WriteByte('\\')
	b.WriteByte(c)
	return nil
}

// code takes n digits of a code point.
func (p *literalParser) code(b *strings.Builder, n, base int) error {
	if len(p.rest) < n {
		return errors.New("an escape is cut short")
	}
	for _, c := range []byte(p.rest[:n]) {
		if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return errors.New("an escape is cut short")
		}
	}
	code, err := strconv.ParseUint(p.rest[:n], base, 32)
	if err != nil || code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
		return errors.New("an escape is no character")
	}
	b.WriteRune(rune(code))
	p.rest = p.rest[n:]
	return nil
}

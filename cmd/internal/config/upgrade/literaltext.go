package upgrade

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// texts reads one text, or several beside each other, which are one. isText is
// false if something else stands there.
func (p *literalReader) texts() (v literal, isText, ok bool) {
	for n := 0; ; n++ {
		bytes, raw, quote, opened := p.opening()
		if !opened {
			return v, n > 0, true
		}
		kind := kindString
		if bytes {
			kind = kindBytes
		}
		if n > 0 && v.kind != kind {
			return v, true, false
		}
		v.kind = kind
		body, ok := p.body(quote, raw, bytes)
		if !ok {
			return v, true, false
		}
		v.text += body
		p.blank()
	}
}

// opening takes the prefix and the quotes that open a text.
func (p *literalReader) opening() (bytes, raw bool, quote string, ok bool) {
	word := p.word()
	switch strings.ToLower(word) {
	case "":
	case "u":
	case "r":
		raw = true
	case "b":
		bytes = true
	case "br", "rb":
		bytes, raw = true, true
	default:
		return false, false, "", false
	}
	rest := p.rest[len(word):]
	for _, q := range []string{`"""`, "'''", `"`, "'"} {
		if after, found := strings.CutPrefix(rest, q); found {
			p.rest = after
			return bytes, raw, q, true
		}
	}
	return false, false, "", false
}

// body takes a text up to the quotes that close it.
func (p *literalReader) body(quote string, raw, bytes bool) (string, bool) {
	var b strings.Builder
	for p.rest != "" {
		switch {
		case p.take(quote):
			return b.String(), true
		case p.rest[0] == '\n' && len(quote) == 1:
			return "", false
		case p.rest[0] == '\\' && len(p.rest) > 1 && raw:
			_, size := utf8.DecodeRuneInString(p.rest[1:])
			if bytes && size > 1 {
				return "", false
			}
			b.WriteString(p.rest[:1+size])
			p.rest = p.rest[1+size:]
		case p.rest[0] == '\\':
			if !p.escape(&b, bytes) {
				return "", false
			}
		default:
			_, size := utf8.DecodeRuneInString(p.rest)
			if bytes && size > 1 {
				return "", false
			}
			b.WriteString(p.rest[:size])
			p.rest = p.rest[size:]
		}
	}
	return "", false
}

// escapes are those of one letter.
const escapes = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"

// escape takes a backslash and what belongs to it. Escapes that Python does not
// know stay as they are.
func (p *literalReader) escape(b *strings.Builder, bytes bool) bool {
	if len(p.rest) < 2 {
		return false
	}
	c, before := p.rest[1], p.rest
	p.rest = p.rest[2:]
	if i := strings.IndexByte(escapes, c); i >= 0 && i%2 == 0 {
		b.WriteByte(escapes[i+1])
		return true
	}
	switch {
	case c == '\n':
		return true
	case c == 'x':
		return p.code(b, 2, 16, bytes)
	case c == 'u' && !bytes:
		return p.code(b, 4, 16, false)
	case c == 'U' && !bytes:
		return p.code(b, 8, 16, false)
	case c == 'N' && !bytes:
		return false
	case c >= '0' && c <= '7':
		p.rest = before[1:]
		n := 1
		for n < 3 && n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '7' {
			n++
		}
		return p.code(b, n, 8, bytes)
	}
	b.WriteByte('\\')
	p.rest = before[1:]
	return true
}

// code takes n digits of a code point, or of a byte.
func (p *literalReader) code(b *strings.Builder, n, base int, bytes bool) bool {
	if len(p.rest) < n || strings.Trim(p.rest[:n], "0123456789abcdefABCDEF") != "" {
		return false
	}
	code, err := strconv.ParseUint(p.rest[:n], base, 32)
	if err != nil {
		return false
	}
	p.rest = p.rest[n:]
	if bytes {
		b.WriteByte(byte(code)) // of \777 the low eight bits count
		return true
	}
	if code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
		return false
	}
	b.WriteRune(rune(code))
	return true
}

// numeral is the length of the number at the beginning, 0 if it is none: digits
// may have single underscores between them.
func (p *literalReader) numeral() int {
	s := p.rest
	if len(s) > 1 && s[0] == '0' {
		for prefix, digits := range map[byte]string{'x': "0123456789abcdefABCDEF", 'o': "01234567", 'b': "01"} {
			if s[1]|0x20 == prefix {
				if n := digitRun(strings.TrimPrefix(s[2:], "_"), digits); n > 0 {
					return len(s) - len(strings.TrimPrefix(s[2:], "_")) + n
				}
				return 0
			}
		}
	}
	const decimal = "0123456789"
	n := digitRun(s, decimal)
	if n < len(s) && s[n] == '.' {
		n++
		n += digitRun(s[n:], decimal)
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		sign := n + 1
		if sign < len(s) && (s[sign] == '+' || s[sign] == '-') {
			sign++
		}
		if digits := digitRun(s[sign:], decimal); digits > 0 {
			n = sign + digits
		}
	}
	return n
}

// digitRun is the length of digits at the beginning, with single underscores
// between them.
func digitRun(s, digits string) int {
	n := 0
	for n < len(s) {
		switch {
		case strings.IndexByte(digits, s[n]) >= 0:
			n++
		case s[n] == '_' && n > 0 && s[n-1] != '_' && n+1 < len(s) && strings.IndexByte(digits, s[n+1]) >= 0:
			n++
		default:
			return n
		}
	}
	return n
}

package pyjson

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

func (v *value) repr(b *strings.Builder) {
	switch v.kind {
	case null:
		b.WriteString("None")
	case boolTrue:
		b.WriteString("True")
	case boolFalse:
		b.WriteString("False")
	case number:
		b.WriteString(numeral(v.text, "inf"))
	case text:
		reprString(b, v.text)
	default:
		v.container(b, (*value).repr, reprString)
	}
}

func (v *value) dumps(b *strings.Builder) {
	switch v.kind {
	case null:
		b.WriteString("null")
	case boolTrue:
		b.WriteString("true")
	case boolFalse:
		b.WriteString("false")
	case number:
		b.WriteString(numeral(v.text, "Infinity"))
	case text:
		dumpsString(b, v.text)
	default:
		v.container(b, (*value).dumps, dumpsString)
	}
}

// container prints an array or object, which look the same in both forms.
func (v *value) container(b *strings.Builder, item func(*value, *strings.Builder), key func(*strings.Builder, string)) {
	open, shut := byte('['), byte(']')
	if v.kind == object {
		open, shut = '{', '}'
	}
	b.WriteByte(open)
	for i := range v.items {
		if i > 0 {
			b.WriteString(", ")
		}
		if v.kind == object {
			key(b, v.keys[i])
			b.WriteString(": ")
		}
		item(&v.items[i], b)
	}
	b.WriteByte(shut)
}

// numeral is how Python prints a number: an integer as it is, a double in the
// shortest form that reads back, with an exponent from 1e16 and below 1e-4.
func numeral(literal, infinity string) string {
	if !strings.ContainsAny(literal, ".eE") {
		if literal == "-0" {
			return "0"
		}
		return literal
	}
	f, _ := strconv.ParseFloat(literal, 64) // out of range is infinite, as in Python
	if math.IsInf(f, 0) {
		if f < 0 {
			return "-" + infinity
		}
		return infinity
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(scientific, "e")
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return scientific
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}

// reprString prints a text as Python's repr: what is not printable is escaped.
func reprString(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for {
		n := plain(s, quote)
		b.WriteString(s[:n])
		if s = s[n:]; s == "" {
			break
		}
		r, size := nextRune(s)
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsPrint(r):
			b.WriteString(s[:size])
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
		s = s[size:]
	}
	b.WriteByte(quote)
}

// plain is how many bytes at the beginning of a text need no escape in either
// form: printable ASCII but the quote and the backslash.
func plain(s string, quote byte) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == quote || c == '\\' {
			return i
		}
	}
	return len(s)
}

// dumpsString prints a text as json.dumps: all but printable ASCII is escaped.
func dumpsString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for {
		n := plain(s, '"')
		b.WriteString(s[:n])
		if s = s[n:]; s == "" {
			break
		}
		r, size := nextRune(s)
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
		s = s[size:]
	}
	b.WriteByte('"')
}

package runtime

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// dump appends a value as Python's json.dumps writes it: ", " and ": ", ASCII
// only, members in order.
func dump(b []byte, v *value) []byte {
	switch v.kind {
	case kindNull:
		return append(b, "null"...)
	case kindString:
		return dumpString(b, v.text)
	case kindArray:
		b = append(b, '[')
		for i := range v.kids {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = dump(b, &v.kids[i].val)
		}
		return append(b, ']')
	case kindObject:
		b = append(b, '{')
		for i := range v.kids {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = dumpString(b, v.kids[i].key)
			b = append(b, ": "...)
			b = dump(b, &v.kids[i].val)
		}
		return append(b, '}')
	default:
		return append(b, v.text...)
	}
}

const hexDigits = "0123456789abcdef"

// dumpString appends a string in json.dumps's form.
func dumpString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		if c < utf8.RuneSelf {
			if j := strings.IndexByte("\"\\\b\f\n\r\t", c); j >= 0 {
				b = append(b, '\\', `"\bfnrt`[j])
			} else if c == 0x7f {
				b = append(b, c)
			} else {
				b = appendUnicode(b, rune(c))
			}
			i++
		} else {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r > 0xffff {
				b = appendUnicode(appendUnicode(b, 0xd800+(r-0x10000)>>10), 0xdc00+(r-0x10000)&0x3ff)
			} else {
				b = appendUnicode(b, r)
			}
			i += size
		}
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

func appendUnicode(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}

// repr is Python's repr of the value that json.loads makes of v; the messages of
// its schema library quote values so.
func repr(v *value) string {
	var b strings.Builder
	appendRepr(&b, v)
	return b.String()
}

func appendRepr(b *strings.Builder, v *value) {
	switch v.kind {
	case kindNull:
		b.WriteString("None")
	case kindBool:
		b.WriteString(map[string]string{"true": "True", "false": "False"}[v.text])
	case kindNumber:
		b.WriteString(numberRepr(v.text))
	case kindString:
		b.WriteString(pyre.Repr(v.text))
	case kindArray:
		b.WriteByte('[')
		for i := range v.kids {
			if i > 0 {
				b.WriteString(", ")
			}
			appendRepr(b, &v.kids[i].val)
		}
		b.WriteByte(']')
	case kindObject:
		b.WriteByte('{')
		seen := map[string]bool{}
		for i := range v.kids {
			key := v.kids[i].key
			if seen[key] {
				continue
			}
			seen[key] = true
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(pyre.Repr(key) + ": ")
			appendRepr(b, v.get(key))
		}
		b.WriteByte('}')
	}
}

// isInteger tells whether Python's schema library takes a number as integer: an
// int, or a float without a fraction.
func isInteger(text string) bool {
	if !strings.ContainsAny(text, ".eE") {
		return true
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(f, 0) && f == math.Trunc(f)
}

// numberRepr is repr of an int or float.
func numberRepr(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	f, _ := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// truthy is Python's bool() of a value; nil is false.
func truthy(v *value) bool {
	switch {
	case v == nil || v.kind == kindNull:
		return false
	case v.kind == kindBool:
		return v.text == "true"
	case v.kind == kindNumber:
		f, err := strconv.ParseFloat(v.text, 64)
		return err != nil || f != 0
	case v.kind == kindString:
		return v.text != ""
	default:
		return len(v.kids) > 0
	}
}

package runtime

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is the type of a JSON value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// value is a JSON value as it was written: members in order, also repeated
// ones, and numbers as text. encoding/json keeps neither, and its errors are not
// those of Python, which verifiers answer with.
type value struct {
	kind kind
	text string // string, number as written, "true" or "false"
	kids []entry
}

// entry is a member of an object, or an element of an array with no key.
type entry struct {
	key string
	val value
}

// get returns a member; of repeated ones the last, as Python does.
func (v *value) get(key string) *value {
	for i := len(v.kids) - 1; i >= 0; i-- {
		if v.kids[i].key == key {
			return &v.kids[i].val
		}
	}
	return nil
}

// maxNesting bounds the depth of arrays and objects; Python's own limit is
// about 1000.
const maxNesting = 500

// jsonParser reads JSON as Python's json.loads reads text, with its messages;
// NaN and Infinity, which no JSON has and Python takes, are refused.
type jsonParser struct {
	s     string
	i     int
	depth int
}

// parseJSON reads one value that is all of data. Strings without escapes share
// the memory of the text. The error is a *[SyntaxError].
func parseJSON(data []byte) (value, error) {
	p := &jsonParser{s: string(data)}
	if !utf8.ValidString(p.s) {
		return value{}, &SyntaxError{Reason: "text is not UTF-8"}
	}
	if strings.HasPrefix(p.s, "\ufeff") {
		return value{}, &SyntaxError{Reason: "Unexpected UTF-8 BOM (decode using utf-8-sig)"}
	}
	p.space()
	v, err := p.value()
	if err != nil {
		return value{}, err
	}
	if p.space(); p.i < len(p.s) {
		return value{}, p.fail("Extra data", p.i)
	}
	return v, nil
}

// fail makes an error at a byte position; it names characters, as Python does.
func (p *jsonParser) fail(reason string, at int) error {
	at = min(at, len(p.s))
	before := p.s[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &SyntaxError{Reason: fmt.Sprintf("%s: line %d column %d (char %d)", reason, line, column, utf8.RuneCountInString(before))}
}

func (p *jsonParser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\n' || p.s[p.i] == '\r' || p.s[p.i] == '\t') {
		p.i++
	}
}

// next is the next byte, 0 at the end.
func (p *jsonParser) next() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *jsonParser) value() (value, error) {
	if p.depth++; p.depth > maxNesting {
		return value{}, p.fail("value is nested too deeply", p.i)
	}
	defer func() { p.depth-- }()
	switch c := p.next(); {
	case c == '"':
		s, err := p.string()
		return value{kind: kindString, text: s}, err
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	}
	for text, k := range map[string]kind{"null": kindNull, "true": kindBool, "false": kindBool} {
		if strings.HasPrefix(p.s[p.i:], text) {
			p.i += len(text)
			return value{kind: k, text: text}, nil
		}
	}
	return value{}, p.fail("Expecting value", p.i)
}

func (p *jsonParser) object() (value, error) {
	v := value{kind: kindObject}
	p.i++
	p.space()
	if p.next() == '}' {
		p.i++
		return v, nil
	}
	for {
		if p.next() != '"' {
			return value{}, p.fail("Expecting property name enclosed in double quotes", p.i)
		}
		key, err := p.string()
		if err != nil {
			return value{}, err
		}
		if p.space(); p.next() != ':' {
			return value{}, p.fail("Expecting ':' delimiter", p.i)
		}
		p.i++
		p.space()
		val, err := p.value()
		if err != nil {
			return value{}, err
		}
		v.kids = append(v.kids, entry{key, val})
		p.space()
		switch p.next() {
		case '}':
			p.i++
			return v, nil
		case ',':
			p.i++
			p.space()
		default:
			return value{}, p.fail("Expecting ',' delimiter", p.i)
		}
	}
}

func (p *jsonParser) array() (value, error) {
	v := value{kind: kindArray}
	p.i++
	p.space()
	if p.next() == ']' {
		p.i++
		return v, nil
	}
	for {
		val, err := p.value()
		if err != nil {
			return value{}, err
		}
		if v.kids == nil { // nearly all lists of a policy have one element
			v.kids = make([]entry, 0, 1)
		}
		v.kids = append(v.kids, entry{val: val})
		p.space()
		switch p.next() {
		case ']':
			p.i++
			return v, nil
		case ',':
			p.i++
			p.space()
		default:
			return value{}, p.fail("Expecting ',' delimiter", p.i)
		}
	}
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?; what follows a
// shorter match is left to the caller, as Python does.
func (p *jsonParser) number() (value, error) {
	start, i := p.i, p.i
	digits := func(i int) int {
		for i < len(p.s) && '0' <= p.s[i] && p.s[i] <= '9' {
			i++
		}
		return i
	}
	if p.s[i] == '-' {
		i++
	}
	switch {
	case i < len(p.s) && p.s[i] == '0':
		i++
	case digits(i) > i:
		i = digits(i)
	default:
		return value{}, p.fail("Expecting value", start)
	}
	if i+1 < len(p.s) && p.s[i] == '.' && digits(i+1) > i+1 {
		i = digits(i + 1)
	}
	if i+1 < len(p.s) && (p.s[i] == 'e' || p.s[i] == 'E') {
		j := i + 1
		if p.s[j] == '+' || p.s[j] == '-' {
			j++
		}
		if digits(j) > j {
			i = digits(j)
		}
	}
	p.i = i
	return value{kind: kindNumber, text: p.s[start:i]}, nil
}

// string reads a string at its opening quote.
func (p *jsonParser) string() (string, error) {
	start := p.i
	p.i++
	var b []byte
	from := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			text := p.s[from:p.i]
			p.i++
			if b == nil {
				return text, nil
			}
			return string(append(b, text...)), nil
		case c < 0x20:
			return "", p.fail("Invalid control character at", p.i)
		case c == '\\':
			b = append(b, p.s[from:p.i]...)
			r, err := p.escape(start)
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
			from = p.i
		default:
			p.i++
		}
	}
	return "", p.fail("Unterminated string starting at", start)
}

// escape reads an escape at its backslash. A lone surrogate becomes U+FFFD: no
// path and no digest holds one.
func (p *jsonParser) escape(start int) (rune, error) {
	if p.i+1 >= len(p.s) {
		return 0, p.fail("Unterminated string starting at", start)
	}
	c := p.s[p.i+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		p.i += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.fail(`Invalid \escape`, p.i)
	}
	r, ok := p.hex4(p.i + 2)
	if !ok {
		return 0, p.fail(`Invalid \uXXXX escape`, p.i+1)
	}
	p.i += 6
	if utf16.IsSurrogate(r) && strings.HasPrefix(p.s[p.i:], `\u`) {
		if second, ok := p.hex4(p.i + 2); ok {
			if both := utf16.DecodeRune(r, second); both != utf8.RuneError {
				p.i += 6
				return both, nil
			}
		}
	}
	return r, nil
}

func (p *jsonParser) hex4(at int) (rune, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	r := rune(0)
	for _, c := range []byte(p.s[at : at+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

package pyjson

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// value is a value as Python holds it after json.loads.
type value struct {
	kind kind
	// text is the literal of a number or the content of a string. Surrogates
	// without a partner are in it in the three bytes that UTF-8 would have for
	// them, so that nothing is lost.
	text  string
	items []value  // of an array or object
	keys  []string // of an object
}

type kind byte

const (
	null kind = iota
	boolTrue
	boolFalse
	number
	text
	array
	object
)

// parse reads a document. encoding/json judges whether it is one, and bounds
// its depth; the parser below may then take its form for granted.
func parse(raw []byte) (value, error) {
	if !json.Valid(raw) {
		return value{}, errNotJSON
	}
	p := parser{text: string(raw)}
	p.blank()
	return p.value(), nil
}

var errNotJSON = errors.New("not JSON")

// parser walks over a document that is known to be valid.
type parser struct {
	text string
	at   int
}

func (p *parser) blank() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) value() value {
	switch p.text[p.at] {
	case 'n':
		p.at += len("null")
		return value{kind: null}
	case 't':
		p.at += len("true")
		return value{kind: boolTrue}
	case 'f':
		p.at += len("false")
		return value{kind: boolFalse}
	case '"':
		return value{kind: text, text: p.string()}
	case '[':
		v := value{kind: array}
		p.items(func() { v.items = append(v.items, p.value()) })
		return v
	case '{':
		v := value{kind: object}
		places := map[string]int{}
		p.members(func(key string) {
			item := p.value()
			if at, twice := places[key]; twice {
				v.items[at] = item
				return
			}
			places[key] = len(v.items)
			v.keys, v.items = append(v.keys, key), append(v.items, item)
		})
		return v
	default:
		from := p.at
		p.number()
		return value{kind: number, text: p.text[from:p.at]}
	}
}

// skip passes over a value.
func (p *parser) skip() {
	switch p.text[p.at] {
	case 'n', 't':
		p.at += len("null")
	case 'f':
		p.at += len("false")
	case '"':
		p.skipString()
	case '[':
		p.items(p.skip)
	case '{':
		p.members(func(string) { p.skip() })
	default:
		p.number()
	}
}

func (p *parser) number() {
	for p.at < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[p.at]) >= 0 {
		p.at++
	}
}

// items calls item at the beginning of each item of an array.
func (p *parser) items(item func()) {
	p.at++ // [
	for p.blank(); p.text[p.at] != ']'; p.blank() {
		if p.text[p.at] == ',' {
			p.at++
			p.blank()
		}
		item()
	}
	p.at++
}

// members calls member at the beginning of each value of an object.
func (p *parser) members(member func(key string)) {
	p.at++ // {
	for p.blank(); p.text[p.at] != '}'; p.blank() {
		if p.text[p.at] == ',' {
			p.at++
			p.blank()
		}
		key := p.string()
		p.blank()
		p.at++ // :
		p.blank()
		member(key)
	}
	p.at++
}

// skipString passes over a string and says whether it holds a backslash.
func (p *parser) skipString() (escaped bool) {
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			escaped = true
			p.at++
		}
	}
	p.at++
	return escaped
}

func (p *parser) string() string {
	from := p.at
	escaped := p.skipString()
	content := p.text[from+1 : p.at-1]
	if !escaped {
		return strings.ToValidUTF8(content, "\uFFFD")
	}
	return unescaped(content)
}

// unescaped replaces the escapes of a string's content.
func unescaped(content string) string {
	b := make([]byte, 0, len(content))
	for i := 0; i < len(content); i++ {
		c := content[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(content[i:])
			b = utf8.AppendRune(b, r)
			i += size - 1
			continue
		}
		if c != '\\' {
			b = append(b, c)
			continue
		}
		i++
		switch c := content[i]; c {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := codeUnit(content[i+1:])
			i += 4
			if rest := content[i+1:]; utf16.IsSurrogate(r) && strings.HasPrefix(rest, `\u`) {
				if pair := utf16.DecodeRune(r, codeUnit(rest[2:])); pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			b = appendRune(b, r)
		default: // " \ /
			b = append(b, c)
		}
	}
	return string(b)
}

func codeUnit(hex string) rune {
	n, _ := strconv.ParseUint(hex[:4], 16, 16) // the document is known to be valid
	return rune(n)
}

// appendRune is utf8.AppendRune that keeps surrogates.
func appendRune(b []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(b, byte(0xe0|r>>12), byte(0x80|r>>6&0x3f), byte(0x80|r&0x3f))
	}
	return utf8.AppendRune(b, r)
}

// nextRune is the first character of a text that is not empty, with surrogates
// as appendRune writes them. Any other byte that is not UTF-8 is the surrogate
// that Python's surrogateescape makes of it.
func nextRune(s string) (r rune, size int) {
	r, size = utf8.DecodeRuneInString(s)
	if r != utf8.RuneError || size > 1 {
		return r, size
	}
	if len(s) >= 3 && s[0] == 0xed && s[1]&0xe0 == 0xa0 && s[2]&0xc0 == 0x80 {
		return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), 3
	}
	return 0xdc00 | rune(s[0]), 1
}

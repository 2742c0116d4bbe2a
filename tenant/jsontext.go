package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// pythonJSON writes a JSON text as Python's json.dumps would after reading it:
// ", " and ": " between elements, non-ASCII characters escaped, the order of
// keys kept. The verifier stores policies as text and shows that text, so the
// same file must give the same text from either tenant. Numbers keep their
// spelling.
//
// A text that is not one JSON value is an error of encoding/json, or says that
// it is not UTF-8.
func pythonJSON(data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", errors.New("not UTF-8 text")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return "", err
	}
	var b strings.Builder
	text := compact.String()
	b.Grow(len(text) + len(text)/8)
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '"':
			i = pythonString(&b, text, i)
			continue
		case ',', ':':
			b.WriteByte(c)
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
		i++
	}
	return b.String(), nil
}

// pythonString writes the string token that begins at text[i], and returns the
// index behind it. text is valid JSON.
func pythonString(b *strings.Builder, text string, i int) int {
	b.WriteByte('"')
	for i++; text[i] != '"'; {
		switch {
		case text[i] == '\\' && text[i+1] == 'u':
			code, _ := strconv.ParseUint(text[i+2:i+6], 16, 16) // checked by json.Compact
			pythonRune(b, rune(code))
			i += 6
		case text[i] == '\\':
			if text[i+1] != '/' {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i+1])
			i += 2
		case text[i] < utf8.RuneSelf:
			b.WriteByte(text[i])
			i++
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			if r1, r2 := utf16.EncodeRune(r); r > 0xffff {
				fmt.Fprintf(b, `\u%04x\u%04x`, r1, r2)
			} else {
				fmt.Fprintf(b, `\u%04x`, r)
			}
			i += size
		}
	}
	b.WriteByte('"')
	return i + 1
}

// pythonRune writes a character that was given as \uXXXX.
func pythonRune(b *strings.Builder, r rune) {
	const short = "b\bt\tn\nf\fr\r"
	switch at := strings.IndexRune(short, r); {
	case r == '"', r == '\\':
		b.WriteByte('\\')
		b.WriteRune(r)
	case r < ' ' && at > 0:
		b.WriteByte('\\')
		b.WriteByte(short[at-1])
	case r >= ' ' && r < utf8.RuneSelf:
		b.WriteRune(r)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

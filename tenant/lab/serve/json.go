package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// python gives compact JSON the form of Python's json.dumps, which the real
// servers use: ASCII only, and either one line with blanks after ',' and ':'
// (verifier), or indented by four blanks (registrar).
func python(compact []byte, indent bool) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString := false
	for i := 0; i < len(compact); {
		c := compact[i]
		switch {
		case inString && c == '\\':
			// An escape is at least two characters; what follows \u is ASCII.
			out = append(out, c, compact[i+1])
			i += 2
			continue
		case inString && c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(compact[i:])
			out = appendEscaped(out, r)
			i += size
			continue
		case c == '"':
			inString = !inString
		}
		out = append(out, c)
		if !inString && !indent && (c == ',' || c == ':') {
			out = append(out, ' ')
		}
		i++
	}
	if !indent {
		return out
	}
	var b bytes.Buffer
	if json.Indent(&b, out, "", "    ") != nil {
		return out
	}
	return b.Bytes()
}

func appendEscaped(out []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}

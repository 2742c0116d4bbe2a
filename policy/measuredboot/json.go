package measuredboot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxPolicy bounds the size of a policy in octets, maxDepth its nesting.
const (
	maxPolicy = 16 << 20
	maxDepth  = 32
)

// ParseError is the only error of [Parse].
type ParseError struct {
	// Path is where in the document the fault is, "kernels[0].kernel_cmdline",
	// empty for the document as a whole.
	Path string
	// Line is the line of a fault in the JSON text itself, 0 otherwise.
	Line int
	// Cause is the fault in words.
	Cause string
	// Err is the underlying error, if any: of a regular expression it is a
	// *pyre.Error.
	Err error
}

// Error names place and cause.
func (e *ParseError) Error() string {
	var b strings.Builder
	b.WriteString("measured-boot policy: ")
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Cause)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the underlying error.
func (e *ParseError) Unwrap() error { return e.Err }

// member is a key of a JSON object with its value.
type member struct {
	key   string
	value any
}

// members is a JSON object that keeps the order of its keys. A key that comes
// twice has the last value, as in Python, and its name is in again.
type members struct {
	list  []member
	again []string
}

func (m *members) lookup(key string) (any, bool) {
	for _, e := range m.list {
		if e.key == key {
			return e.value, true
		}
	}
	return nil, false
}

// decode reads one JSON document into *members, []any, string, json.Number,
// bool and nil.
func decode(data []byte) (any, error) {
	if len(data) > maxPolicy {
		return nil, &ParseError{Cause: fmt.Sprintf("larger than %d MiB", maxPolicy>>20)}
	}
	if !utf8.Valid(data) {
		return nil, &ParseError{Cause: "not UTF-8 text"}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := decodeValue(d, 0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return value, nil
		}
		err = errors.New("more text after the end of the document")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the document ends too early")
	}
	line := 1 + bytes.Count(data[:min(d.InputOffset(), int64(len(data)))], []byte("\n"))
	return nil, &ParseError{Line: line, Cause: "not JSON", Err: err}
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		m, at := &members{}, map[string]int{}
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ := token.(string) // a decoder gives nothing else here
			value, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			if i, ok := at[key]; ok {
				m.again = append(m.again, key)
				m.list[i].value = value
				continue
			}
			at[key] = len(m.list)
			m.list = append(m.list, member{key, value})
		}
		_, err = d.Token()
		return m, err
	}
	return token, nil
}

// kindOf names a value's type for messages.
func kindOf(value any) string {
	switch v := value.(type) {
	case *members:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a text"
	case json.Number:
		return "the number " + v.String()
	case bool:
		return fmt.Sprint(v)
	}
	return "null"
}

// writer writes JSON as Python's json.dump does: ", " and ": ", and nothing
// but ASCII.
type writer struct{ bytes.Buffer }

func (w *writer) value(value any) {
	switch v := value.(type) {
	case *members:
		w.object(v.list)
	case []member:
		w.object(v)
	case []any:
		w.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				w.WriteString(", ")
			}
			w.value(e)
		}
		w.WriteByte(']')
	case string:
		w.text(v)
	case nil:
		w.WriteString("null")
	default:
		fmt.Fprint(w, v)
	}
}

func (w *writer) object(list []member) {
	w.WriteByte('{')
	for i, e := range list {
		if i > 0 {
			w.WriteString(", ")
		}
		w.text(e.key)
		w.WriteString(": ")
		w.value(e.value)
	}
	w.WriteByte('}')
}

func (w *writer) text(s string) {
	w.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.WriteByte('\\')
			w.WriteRune(r)
		case r == '\n':
			w.WriteString(`\n`)
		case r == '\r':
			w.WriteString(`\r`)
		case r == '\t':
			w.WriteString(`\t`)
		case r == '\b':
			w.WriteString(`\b`)
		case r == '\f':
			w.WriteString(`\f`)
		case r >= 0x20 && r < 0x7f:
			w.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(w, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(w, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	w.WriteByte('"')
}

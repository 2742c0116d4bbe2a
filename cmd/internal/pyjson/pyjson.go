// Package pyjson prints JSON the way Python does, as the output of the Python
// tenant consists of repr(json.loads(body)) and json.dumps(json.loads(body)),
// and edits objects without touching the order of their keys.
//
// It knows what Python makes of a document: of a key that occurs twice the last
// value counts, in the place of the first; integers have any size; numbers with
// a point or exponent are doubles and print as Python prints these; a lone
// surrogate is a character like any other. NaN and Infinity, which Python's
// parser takes and JSON does not know, are refused.
package pyjson

import (
	"encoding/json"
	"errors"
	"strings"
)

// Nothing is printed for text that is not JSON: the Python tenant prints an
// empty dictionary when a body cannot be parsed, that of a 204 for example.
const nothing = "{}"

// Repr is how Python prints a value: single quotes (double ones where the text
// holds a single and no double one), None, True, False, ", " and ": " between.
// Text that is not JSON, nothing included, prints as {}.
func Repr(raw json.RawMessage) string {
	v, err := parse(raw)
	if err != nil {
		return nothing
	}
	var b strings.Builder
	b.Grow(len(raw))
	v.repr(&b)
	return b.String()
}

// Dumps is json.dumps with its default settings: one line, ", " and ": "
// between, characters beyond ASCII as \uXXXX. Text that is not JSON, nothing
// included, prints as {}.
func Dumps(raw json.RawMessage) string {
	v, err := parse(raw)
	if err != nil {
		return nothing
	}
	var b strings.Builder
	b.Grow(len(raw))
	v.dumps(&b)
	return b.String()
}

// Quote is how Python prints a text: repr(s). Bytes that are not UTF-8 print as
// the surrogates that Python reads them as, '\udcff' for 0xff.
func Quote(s string) string {
	var b strings.Builder
	reprString(&b, s)
	return b.String()
}

// String is a text as JSON.
func String(s string) json.RawMessage {
	var b strings.Builder
	dumpsString(&b, s)
	return json.RawMessage(b.String())
}

// Wrap is an object with one key.
func Wrap(key string, value json.RawMessage) json.RawMessage {
	return Object{{key, value}}.Raw()
}

// Member is one key of an object and its value as received.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Object is a JSON object with its keys in the order received.
type Object []Member

// ErrNotObject: the text is not a JSON object.
var ErrNotObject = errors.New("not a JSON object")

// ParseObject splits an object into its members; their values stay as they are
// written. Errors: [ErrNotObject].
func ParseObject(raw json.RawMessage) (Object, error) {
	if !json.Valid(raw) {
		return nil, ErrNotObject
	}
	p := parser{text: string(raw)}
	p.blank()
	if p.text[p.at] != '{' {
		return nil, ErrNotObject
	}
	members := Object{}
	places := map[string]int{}
	p.members(func(key string) {
		from := p.at
		p.skip()
		value := json.RawMessage(p.text[from:p.at])
		if at, twice := places[key]; twice {
			members[at].Value = value
			return
		}
		places[key] = len(members)
		members = append(members, Member{key, value})
	})
	return members, nil
}

// Get is the value of a key.
func (o Object) Get(key string) (value json.RawMessage, found bool) {
	for _, m := range o {
		if m.Key == key {
			return m.Value, true
		}
	}
	return nil, false
}

// Set is the object with another value of a key: in its place, or at the end if
// the object has no such key. The object itself stays as it is.
func (o Object) Set(key string, value json.RawMessage) Object {
	changed := make(Object, len(o), len(o)+1)
	copy(changed, o)
	for i := range changed {
		if changed[i].Key == key {
			changed[i].Value = value
			return changed
		}
	}
	return append(changed, Member{key, value})
}

// Delete is the object without a key. The object itself stays as it is.
func (o Object) Delete(key string) Object {
	changed := make(Object, 0, len(o))
	for _, m := range o {
		if m.Key != key {
			changed = append(changed, m)
		}
	}
	return changed
}

// Raw is the object as JSON again. A value that is empty becomes null.
func (o Object) Raw() json.RawMessage {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		dumpsString(&b, m.Key)
		b.WriteByte(':')
		if len(m.Value) == 0 {
			b.WriteString("null")
		}
		b.Write(m.Value)
	}
	b.WriteByte('}')
	return json.RawMessage(b.String())
}

// Package pyjson prints JSON the way Python does, and edits it without touching
// the order of keys.
package pyjson

import "encoding/json"

// Member is one key of an object and its value as received.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Object is a JSON object with its keys in the order received.
type Object []Member

// Repr is how Python prints a value: repr(json.loads(raw)).
func Repr(raw json.RawMessage) string { return "" }

// Dumps is json.dumps(json.loads(raw)).
func Dumps(raw json.RawMessage) string { return "" }

// ParseObject splits an object into its members.
func ParseObject(raw json.RawMessage) (Object, error) { return nil, nil }

// Get is the value of a key.
func (o Object) Get(key string) (json.RawMessage, bool) { return nil, false }

// Set replaces the value of a key in its place, or appends it.
func (o Object) Set(key string, value json.RawMessage) Object { return o }

// Delete is the object without a key.
func (o Object) Delete(key string) Object { return o }

// Raw is the object as JSON again.
func (o Object) Raw() json.RawMessage { return nil }

// String is a JSON string.
func String(s string) json.RawMessage { return nil }

// Wrap is an object with one key.
func Wrap(key string, value json.RawMessage) json.RawMessage { return nil }

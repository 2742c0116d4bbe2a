package cli

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/tenant"
)

// schemaMember is a member of an object of a schema.
type schemaMember struct {
	name     string
	schema   schemaObject
	required bool
}

// schemaObject is an object of a JSON Schema whose members keep their order.
type schemaObject []struct {
	key   string
	value any
}

func (o *schemaObject) set(key string, value any) {
	*o = append(*o, struct {
		key   string
		value any
	}{key, value})
}

// MarshalJSON writes the members in their order.
func (o schemaObject) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, member := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(member.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(member.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schemaOf is the JSON Schema of what encoding/json makes of a type.
func schemaOf(f resultForm) json.RawMessage {
	var o schemaObject
	o.set("$schema", "https://json-schema.org/draft/2020-12/schema")
	o.set("$id", f.schemaID())
	o.set("title", f.name+": "+f.about)
	o = append(o, typeSchema(reflect.TypeOf(f.value))...)
	text, err := json.Marshal(o)
	if err != nil { // of values that are all of these types
		return json.RawMessage("{}")
	}
	return text
}

// typeSchema is the schema of a type. What is marshalled by a method of its own
// can be anything, except the words for health and times.
func typeSchema(t reflect.Type) schemaObject {
	var o schemaObject
	switch {
	case t == reflect.TypeFor[time.Time]():
		o.set("type", "string")
		o.set("format", "date-time")
		return o
	case t == reflect.TypeFor[tenant.Health]():
		var words []string
		for _, h := range tenant.Healths() {
			words = append(words, string(h.Health))
		}
		o.set("enum", words)
		return o
	case t.Implements(reflect.TypeFor[json.Marshaler]()), reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()):
		return schemaObject{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(typeSchema(t.Elem()))
	case reflect.String:
		o.set("type", "string")
	case reflect.Bool:
		o.set("type", "boolean")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		o.set("type", "integer")
	case reflect.Float32, reflect.Float64:
		o.set("type", "number")
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice {
			o.set("type", []string{"string", "null"}) // base64
			return o
		}
		o.set("type", "array")
		o.set("items", typeSchema(t.Elem()))
		if t.Kind() == reflect.Slice {
			return nullable(o)
		}
	case reflect.Map:
		o.set("type", "object")
		o.set("additionalProperties", typeSchema(t.Elem()))
		return nullable(o)
	case reflect.Struct:
		return objectSchema(t)
	default:
		return schemaObject{}
	}
	return o
}

// nullable allows null beside what a schema allows.
func nullable(o schemaObject) schemaObject {
	for i, member := range o {
		if kind, ok := member.value.(string); ok && member.key == "type" {
			o[i].value = []string{kind, "null"}
			return o
		}
	}
	if len(o) == 0 {
		return o
	}
	var either schemaObject
	var null schemaObject
	null.set("type", "null")
	either.set("anyOf", []schemaObject{o, null})
	return either
}

func objectSchema(t reflect.Type) schemaObject {
	var o, properties schemaObject
	required := []string{}
	for _, m := range membersOf(t) {
		properties.set(m.name, m.schema)
		if m.required {
			required = append(required, m.name)
		}
	}
	o.set("type", "object")
	if properties == nil {
		properties = schemaObject{}
	}
	o.set("properties", properties)
	o.set("required", required)
	return o
}

// membersOf are the members that encoding/json writes; those of an embedded
// struct stand where it stands.
func membersOf(t reflect.Type) []schemaMember {
	var members []schemaMember
	for i := range t.NumField() {
		field := t.Field(i)
		tag, tagged := field.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-", !field.IsExported() && !field.Anonymous:
			continue
		case field.Anonymous && name == "":
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				members = append(members, membersOf(inner)...)
				continue
			}
		}
		if !field.IsExported() {
			continue
		}
		if !tagged || name == "" {
			name = field.Name
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		members = append(members, schemaMember{name, typeSchema(field.Type), !optional})
	}
	return members
}

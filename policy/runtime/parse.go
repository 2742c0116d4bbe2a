package runtime

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// SyntaxError is the refusal of bytes that are no JSON.
type SyntaxError struct {
	// Reason is Python's message of the same fault, with line and column.
	Reason string
}

func (e *SyntaxError) Error() string { return "not valid JSON: " + e.Reason }

// SchemaError is the refusal of a text that is JSON but no runtime policy.
type SchemaError struct {
	// Message is the first line of upstream's message, for example
	// "'meta' is a required property".
	Message string
	// Path names the place in the policy, members joined by dots, "" for the
	// top.
	Path string
}

func (e *SchemaError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Message + " (at " + e.Path + ")"
}

// ParsePolicy reads a plain runtime policy (for signed ones see policy/dsse).
// It accepts exactly what the schema of upstream accepts (PROTOCOL.md 10.1) and
// does not ask whether exclude patterns can be applied: [NewEvaluator] does.
//
// Errors: *[SyntaxError], *[SchemaError].
func ParsePolicy(data []byte) (*Policy, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	if e := checkSchema(&v); e != nil {
		return nil, e
	}
	return fromValue(&v), nil
}

// fromValue makes the policy of a value that fits the schema.
func fromValue(v *value) *Policy {
	meta, ima := v.get("meta"), v.get("ima")
	p := &Policy{
		Meta:             Meta{Version: integer(meta.get("version")), Generator: integer(meta.get("generator")), members: members(meta, knownMeta)},
		Release:          json.Number(v.get("release").text),
		Digests:          digestMap(v.get("digests")),
		Excludes:         texts(v.get("excludes")),
		Keyrings:         digestMap(v.get("keyrings")),
		IMA:              IMA{IgnoredKeyrings: texts(ima.get("ignored_keyrings")), LogHashAlg: ima.get("log_hash_alg").text, members: members(ima, knownIMA)},
		IMABuf:           digestMap(v.get("ima-buf")),
		VerificationKeys: v.get("verification-keys").text,
		members:          members(v, knownTop),
	}
	if t := meta.get("timestamp"); t != nil {
		p.Meta.Timestamp = t.text
	}
	return p
}

// integer is the value of a number that the schema took as integer; one beyond
// all use is cut.
func integer(v *value) int {
	if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
		return int(n)
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || f > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(f)
}

func texts(v *value) []string {
	out := make([]string, len(v.kids))
	for i := range v.kids {
		out[i] = v.kids[i].val.text
	}
	return out
}

func digestMap(v *value) DigestMap {
	m := DigestMap{names: make([]string, 0, len(v.kids)), lists: make(map[string][]string, len(v.kids))}
	for i := range v.kids {
		m.Set(v.kids[i].key, texts(&v.kids[i].val))
	}
	return m
}

// members keeps the keys of an object in order, with the values of those that
// the format does not know.
func members(v *value, known []string) []member {
	out := make([]member, 0, len(v.kids))
	places := make(map[string]int, len(v.kids))
	for i := range v.kids {
		key, val := v.kids[i].key, &v.kids[i].val
		place, again := places[key]
		if !again { // Python keeps the first place and the last value
			place = len(out)
			places[key], out = place, append(out, member{key: key})
		}
		if !slices.Contains(known, key) {
			out[place].raw = dump(nil, val)
		}
	}
	return out
}

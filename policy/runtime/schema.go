package runtime

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// fault is the worst violation of the schema found so far, chosen as Python's
// jsonschema chooses the one that it reports (exceptions.best_match of 4.26):
// the least deep, of equally deep ones that whose path is greatest, then one
// that is of a wrong type, then the first.
type fault struct {
	found    bool
	path     []string
	mismatch bool
	message  func() string
}

// add weighs one violation. Array indexes in paths are compared as numbers,
// which "%09d" does too.
func (f *fault) add(path []string, mismatch bool, message func() string) {
	if f.found {
		if len(path) != len(f.path) {
			if len(path) > len(f.path) {
				return
			}
		} else if c := slices.Compare(path, f.path); c < 0 || c == 0 && (f.mismatch || !mismatch) {
			return
		}
	}
	*f = fault{true, slices.Clone(path), mismatch, message}
}

// typeFault adds that v is not of the type.
func (f *fault) typeFault(path []string, v *value, name string) {
	f.add(path, true, func() string { return repr(v) + " is not of type '" + name + "'" })
}

// The required members, in the schema's order.
var (
	requiredTop  = []string{"meta", "release", "digests", "excludes", "keyrings", "ima", "ima-buf", "verification-keys"}
	requiredMeta = []string{"version", "generator"}
	requiredIMA  = []string{"ignored_keyrings", "log_hash_alg", "dm_policy"}
	logHashAlgs  = []string{"sha1", "sha256", "sha384", "sha512"}
)

// digestMaps are the members that map names to lists of digests.
var digestMaps = []string{"digests", "keyrings", "ima-buf"}

// checkSchema holds a policy against the schema of PROTOCOL.md 10.1 and returns
// the violation that upstream reports, nil for none.
func checkSchema(v *value) *SchemaError {
	var f fault
	if v.kind != kindObject {
		f.typeFault(nil, v, "object")
		return f.error()
	}
	f.required(nil, v, requiredTop)
	f.member(v, "meta", f.meta)
	f.member(v, "release", func(path []string, v *value) { f.integer(path, v, 0, -1) })
	for _, name := range digestMaps {
		f.member(v, name, f.digests)
	}
	f.member(v, "excludes", f.strings)
	f.member(v, "ima", f.ima)
	f.member(v, "verification-keys", f.string)
	if f.found {
		return f.error()
	}
	if keys := v.get("verification-keys"); keys.text != "" {
		return checkKeyringText(keys.text)
	}
	return nil
}

func (f *fault) error() *SchemaError {
	message, _, _ := strings.Cut(f.message(), "\n")
	return &SchemaError{Message: message, Path: strings.Join(f.path, ".")}
}

// required adds a violation for every absent member.
func (f *fault) required(path []string, v *value, names []string) {
	for _, name := range names {
		if v.get(name) == nil {
			f.add(path, false, func() string { return pyre.Repr(name) + " is a required property" })
		}
	}
}

// member checks a member if it is there.
func (f *fault) member(v *value, name string, check func([]string, *value)) {
	if m := v.get(name); m != nil {
		check([]string{name}, m)
	}
}

func (f *fault) meta(path []string, v *value) {
	if v.kind != kindObject {
		f.typeFault(path, v, "object")
		return
	}
	f.required(path, v, requiredMeta)
	if m := v.get("version"); m != nil {
		f.integer(append(path, "version"), m, 0, -1)
	}
	if m := v.get("generator"); m != nil {
		f.integer(append(path, "generator"), m, 0, GeneratorLegacy)
	}
	if m := v.get("timestamp"); m != nil {
		f.string(append(path, "timestamp"), m)
	}
}

// integer checks a whole number of at least low and, unless negative, at most
// high.
func (f *fault) integer(path []string, v *value, low, high int) {
	if v.kind != kindNumber {
		f.typeFault(path, v, "integer")
		return
	}
	mismatch := !isInteger(v.text)
	if mismatch {
		f.typeFault(path, v, "integer")
	}
	n, err := strconv.ParseFloat(v.text, 64)
	switch {
	case err != nil && strings.HasPrefix(v.text, "-") || err == nil && n < float64(low):
		f.add(path, mismatch, func() string { return fmt.Sprintf("%s is less than the minimum of %d", repr(v), low) })
	case high >= 0 && (err != nil || n > float64(high)):
		f.add(path, mismatch, func() string { return fmt.Sprintf("%s is greater than the maximum of %d", repr(v), high) })
	}
}

func (f *fault) string(path []string, v *value) {
	if v.kind != kindString {
		f.typeFault(path, v, "string")
	}
}

// strings checks a list of strings.
func (f *fault) strings(path []string, v *value) {
	if v.kind != kindArray {
		f.typeFault(path, v, "array")
		return
	}
	for i := range v.kids {
		if e := &v.kids[i].val; e.kind != kindString {
			f.typeFault(append(path, index(i)), e, "string")
		}
	}
}

func index(i int) string { return fmt.Sprintf("%09d", i) }

func (f *fault) ima(path []string, v *value) {
	if v.kind != kindObject {
		f.typeFault(path, v, "object")
		return
	}
	f.required(path, v, requiredIMA)
	if m := v.get("ignored_keyrings"); m != nil {
		f.strings(append(path, "ignored_keyrings"), m)
	}
	if m := v.get("log_hash_alg"); m != nil {
		at := append(path, "log_hash_alg")
		f.string(at, m)
		if m.kind != kindString || !slices.Contains(logHashAlgs, m.text) {
			f.add(at, m.kind != kindString, func() string { return repr(m) + " is not one of ['sha1', 'sha256', 'sha384', 'sha512']" })
		}
	}
	if m := v.get("dm_policy"); m != nil && m.kind != kindNull {
		f.typeFault(append(path, "dm_policy"), m, "null")
	}
}

// digests checks a map of names to lists of digests.
func (f *fault) digests(path []string, v *value) {
	if v.kind != kindObject {
		f.typeFault(path, v, "object")
		return
	}
	var last map[string]int // where each name stands last, made if need be
	for i := range v.kids {
		list := &v.kids[i].val
		if digestsInOrder(list) {
			continue
		}
		if last == nil {
			last = make(map[string]int, len(v.kids))
			for j := range v.kids {
				last[v.kids[j].key] = j
			}
		}
		if last[v.kids[i].key] != i {
			continue // of repeated members Python sees the last alone
		}
		at := append(path, v.kids[i].key)
		switch {
		case list.kind != kindArray:
			f.typeFault(at, list, "array")
			continue
		case len(list.kids) == 0:
			f.add(at, false, func() string { return "[] should be non-empty" })
			continue
		}
		for j := range list.kids {
			d := &list.kids[j].val
			switch {
			case d.kind != kindString:
				f.typeFault(append(at, index(j)), d, "string")
			case !isDigest(d.text):
				f.add(append(at, index(j)), false, func() string { return repr(d) + ` does not match '^[0-9a-f]{40,128}$'` })
			}
		}
	}
}

func digestsInOrder(list *value) bool {
	if list.kind != kindArray || len(list.kids) == 0 {
		return false
	}
	for i := range list.kids {
		if d := &list.kids[i].val; d.kind != kindString || !isDigest(d.text) {
			return false
		}
	}
	return true
}

// isDigest is the schema's pattern ^[0-9a-f]{40,128}$, in which Python's "$"
// lets a final newline pass.
func isDigest(s string) bool {
	s = strings.TrimSuffix(s, "\n")
	if len(s) < 40 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// checkKeyringText holds "verification-keys" against the schema of a keyring.
func checkKeyringText(text string) *SchemaError {
	v, err := parseJSON([]byte(text))
	if err != nil {
		return &SchemaError{Message: err.(*SyntaxError).Reason, Path: "verification-keys"}
	}
	e := checkKeyring(&v)
	if e != nil {
		e.Path = strings.TrimSuffix("verification-keys."+e.Path, ".")
	}
	return e
}

// checkKeyring is the schema of a keyring (PROTOCOL.md 10.4).
func checkKeyring(v *value) *SchemaError {
	var f fault
	if v.kind != kindObject {
		f.typeFault(nil, v, "object")
		return f.error()
	}
	f.required(nil, v, []string{"keyids", "pubkeys"})
	f.member(v, "meta", func(path []string, v *value) {
		if v.kind != kindObject {
			f.typeFault(path, v, "object")
			return
		}
		f.required(path, v, []string{"version"})
		if m := v.get("version"); m != nil {
			f.integer(append(path, "version"), m, 1, -1)
		}
	})
	f.member(v, "keyids", func(path []string, v *value) {
		if v.kind != kindArray {
			f.typeFault(path, v, "array")
			return
		}
		for i := range v.kids {
			if e := &v.kids[i].val; e.kind != kindNumber || !isInteger(e.text) {
				f.typeFault(append(path, index(i)), e, "integer")
			}
		}
	})
	f.member(v, "pubkeys", f.strings)
	if f.found {
		return f.error()
	}
	return nil
}

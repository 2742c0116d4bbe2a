package measuredboot

import (
	"encoding/json"
	"fmt"
	"strings"
)

// IsEmpty tells whether the JSON text is one with which a verifier checks
// nothing at all: {}, [], null, "", 0, false or no text (PROTOCOL.md 10.6).
func IsEmpty(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	value, err := decode(data)
	return err == nil && falsy(value)
}

// falsy is Python's idea of false.
func falsy(value any) bool {
	switch v := value.(type) {
	case *members:
		return len(v.list) == 0
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	case bool:
		return !v
	case json.Number:
		f, err := v.Float64()
		return err == nil && f == 0
	}
	return true
}

// Parse reads a policy. It refuses everything on which a verifier would fail
// whatever the log, with the place: missing keys, other types, digests and keys
// that are not 0x and lower-case digits, regular expressions that Python does
// not take. What a verifier takes but nobody means, like keys that nobody
// reads, is kept and told by [Policy.Warnings]. A text for which [IsEmpty] is
// true gives the policy that checks nothing.
//
// Errors are of type [*ParseError].
func Parse(data []byte) (*Policy, error) {
	if len(data) == 0 {
		return &Policy{empty: true}, nil
	}
	value, err := decode(data)
	if err != nil {
		return nil, err
	}
	if falsy(value) {
		return &Policy{empty: true}, nil
	}
	root, ok := value.(*members)
	if !ok {
		return nil, &ParseError{Cause: "it is " + kindOf(value) + ", not an object"}
	}
	r := reader{p: &Policy{}}
	r.policy(root)
	if r.err != nil {
		return nil, r.err
	}
	return r.p, nil
}

// reader fills in a policy and stops at the first fault.
type reader struct {
	p   *Policy
	err error
}

func (r *reader) fault(path, format string, args ...any) {
	if r.err == nil {
		r.err = &ParseError{Path: path, Cause: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) warn(format string, args ...any) {
	r.p.warnings = append(r.p.warnings, fmt.Sprintf(format, args...))
}

// policy reads the document in the order in which a verifier checks it.
func (r *reader) policy(root *members) {
	p := r.p
	r.again("", root)
	known := map[string]bool{}
	get := func(key string) (any, bool) {
		known[key] = true
		return root.lookup(key)
	}
	p.HasSecureBoot = true
	if value, ok := get("has_secureboot"); ok {
		p.HasSecureBoot = !falsy(value)
		if _, isBool := value.(bool); !isBool {
			r.warn("has_secureboot is %s; a verifier takes it for %v", kindOf(value), p.HasSecureBoot)
		}
	}
	kernels, ok := get("kernels")
	if !ok {
		r.fault("kernels", "missing")
	}
	for i, value := range r.list("kernels", kernels) {
		p.Kernels = append(p.Kernels, r.kernel(fmt.Sprintf("kernels[%d]", i), value))
	}
	firmware, ok := get("scrtm_and_bios")
	if !ok {
		r.fault("scrtm_and_bios", "missing")
	}
	for i, value := range r.list("scrtm_and_bios", firmware) {
		p.Firmware = append(p.Firmware, r.firmware(fmt.Sprintf("scrtm_and_bios[%d]", i), value))
	}
	for _, required := range []string{"pk", "kek", "db", "dbx", "mokdig", "mokxdig"} {
		if _, ok := get(required); !ok {
			r.fault(required, "missing")
		}
	}
	r.patterns()
	for _, list := range []struct {
		key string
		to  *[]Key
	}{{"pk", &p.PK}, {"kek", &p.KEK}, {"db", &p.DB}, {"vendor_db", &p.VendorDB}, {"dbx", &p.DBX}} {
		value, ok := get(list.key)
		if ok {
			*list.to = r.keys(list.key, value)
		}
	}
	for _, list := range []struct {
		key string
		to  *[]Digests
	}{{"mokdig", &p.MokDig}, {"mokxdig", &p.MokXDig}} {
		value, _ := get(list.key)
		for i, entry := range r.list(list.key, value) {
			*list.to = append(*list.to, r.digests(fmt.Sprintf("%s[%d]", list.key, i), entry))
		}
	}
	p.extra = r.unread("", root, known)
	if len(p.Kernels) == 0 {
		r.warn("kernels is empty: every boot is refused")
	}
	if len(p.Firmware) == 0 {
		r.warn("scrtm_and_bios is empty: every boot is refused")
	}
}

// again warns of keys that come twice.
func (r *reader) again(path string, m *members) {
	for _, key := range m.again {
		r.warn("%s comes twice; a verifier reads the last one", join(path, key))
	}
}

// unread returns the keys that nobody reads, and warns of them.
func (r *reader) unread(path string, m *members, known map[string]bool) []member {
	var out []member
	for _, e := range m.list {
		if !known[e.key] {
			r.warn("nobody reads %s", join(path, e.key))
			out = append(out, e)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (r *reader) list(path string, value any) []any {
	list, ok := value.([]any)
	if !ok {
		r.fault(path, "it is %s, not a list", kindOf(value))
	}
	return list
}

func (r *reader) object(path string, value any) *members {
	m, ok := value.(*members)
	if !ok {
		r.fault(path, "it is %s, not an object", kindOf(value))
		return &members{}
	}
	r.again(path, m)
	return m
}

func (r *reader) text(path string, m *members, key string) (string, bool) {
	value, ok := m.lookup(key)
	if !ok {
		r.fault(join(path, key), "missing")
		return "", false
	}
	s, ok := value.(string)
	if !ok {
		r.fault(join(path, key), "it is %s, not a text", kindOf(value))
	}
	return s, ok
}

// hex reads a text of 0x and lower-case hexadecimal digits.
func (r *reader) hex(path string, value any) string {
	s, ok := value.(string)
	if !ok {
		r.fault(path, "it is %s, not a text", kindOf(value))
		return ""
	}
	digits, ok := cutHex(s)
	if !ok {
		r.fault(path, "%.80q is not 0x followed by lower-case hexadecimal digits", s)
	}
	return digits
}

func cutHex(s string) (string, bool) {
	digits, ok := strings.CutPrefix(s, "0x")
	return digits, ok && isHex(digits)
}

func isHex(digits string) bool {
	for _, c := range []byte(digits) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return digits != ""
}

func (r *reader) kernel(path string, value any) Kernel {
	m := r.object(path, value)
	known := map[string]bool{}
	var k Kernel
	for _, f := range []struct {
		key      string
		to       *string
		required bool
	}{
		{"shim_authcode_sha256", &k.Shim, true}, {"grub_authcode_sha256", &k.Grub, true},
		{"kernel_authcode_sha256", &k.Kernel, r.p.HasSecureBoot}, {"vmlinuz_plain_sha256", &k.Vmlinuz, !r.p.HasSecureBoot},
		{"initrd_plain_sha256", &k.Initrd, true},
	} {
		field, ok := m.lookup(f.key)
		at := join(path, f.key)
		switch s, _ := field.(string); {
		case !ok && f.required:
			r.fault(at, "missing")
		case f.required:
			known[f.key] = true
			*f.to = r.hex(at, field)
			if len(*f.to) != 64 && r.err == nil {
				r.warn("%s has %d digits, where a sha256 digest has 64: it matches nothing", at, len(*f.to))
			}
		default:
			// The other kind's digest is not read; it stays if it is one.
			if digits, valid := cutHex(s); valid {
				*f.to, known[f.key] = digits, true
			}
		}
	}
	known["kernel_cmdline"] = true
	k.CommandLine, _ = r.text(path, m, "kernel_cmdline")
	k.extra = r.unread(path, m, known)
	return k
}

func (r *reader) firmware(path string, value any) Firmware {
	m := r.object(path, value)
	var f Firmware
	if scrtm, ok := m.lookup("scrtm"); ok {
		f.SCRTM = r.digests(join(path, "scrtm"), scrtm)
	} else {
		r.fault(join(path, "scrtm"), "missing")
	}
	blobs, ok := m.lookup("platform_firmware")
	if !ok {
		r.fault(join(path, "platform_firmware"), "missing")
	}
	for i, blob := range r.list(join(path, "platform_firmware"), blobs) {
		f.Blobs = append(f.Blobs, r.digests(fmt.Sprintf("%s[%d]", join(path, "platform_firmware"), i), blob))
	}
	f.extra = r.unread(path, m, map[string]bool{"scrtm": true, "platform_firmware": true})
	return f
}

func (r *reader) digests(path string, value any) Digests {
	d := Digests{}
	for _, e := range r.object(path, value).list {
		d[e.key] = r.hex(join(path, e.key), e.value)
	}
	return d
}

// keys reads a list of signatures. Other empty values of JSON pass for an
// empty list where they do for a verifier.
func (r *reader) keys(path string, value any) []Key {
	if _, ok := value.([]any); !ok && falsy(value) {
		_, isText := value.(string)
		_, isObject := value.(*members)
		if isText || isObject || !r.p.HasSecureBoot && path != "" {
			r.warn("%s is %s; a verifier takes it for an empty list", path, kindOf(value))
			return nil
		}
	}
	var out []Key
	for i, entry := range r.list(path, value) {
		at := fmt.Sprintf("%s[%d]", path, i)
		m := r.object(at, entry)
		owner, _ := r.text(at, m, "SignatureOwner")
		data, ok := r.text(at, m, "SignatureData")
		digits, prefixed := strings.CutPrefix(data, "0x")
		if ok && !prefixed {
			r.fault(join(at, "SignatureData"), "%.40q does not begin with 0x", data)
		}
		if prefixed && !isHex(digits) {
			r.warn("%s is not lower-case hexadecimal digits: it matches nothing", join(at, "SignatureData"))
		}
		r.unread(at, m, map[string]bool{"SignatureOwner": true, "SignatureData": true})
		out = append(out, Key{Owner: owner, Data: digits})
	}
	return out
}

// patterns checks the regular expressions as the verifier compiles them.
func (r *reader) patterns() {
	if r.err != nil {
		return
	}
	for i, k := range r.p.Kernels {
		if _, err := newMatcher(k.CommandLine); err != nil {
			r.err = &ParseError{Path: fmt.Sprintf("kernels[%d].kernel_cmdline", i), Cause: fmt.Sprintf("the regular expression %.200q cannot be used", k.CommandLine), Err: err}
			return
		}
	}
}

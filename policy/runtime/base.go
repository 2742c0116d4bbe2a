package runtime

import (
	"fmt"
	"slices"
	"strings"
)

// ParseBase reads a policy to build on, of any version and as incomplete as
// `keylime-policy create runtime --base-policy` takes it: digests, excludes,
// keyrings, ima-buf, log_hash_alg, ignored keyrings and verification keys that
// are there are taken over, everything else is that of the empty policy. The
// warnings name members that are left out.
//
// Errors: *[SyntaxError], *[SchemaError], *[LegacyError] for what is no policy
// at all.
func ParseBase(data []byte) (*Policy, []string, error) {
	v, err := parseJSON(data)
	switch {
	case err != nil:
		return nil, nil, err
	case v.kind != kindObject:
		return nil, nil, &LegacyError{Reason: "base policy is no JSON object"}
	case truthy(v.get("payload")):
		return nil, nil, &LegacyError{Reason: "base policy is signed; take the policy out of its envelope first"}
	case truthy(v.get("hashes")):
		return nil, nil, &LegacyError{Reason: "base policy is an old allowlist; convert it first"}
	}
	fresh, err := parseJSON(Empty().Marshal())
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	for i := range v.kids {
		name, val := v.kids[i].key, v.get(v.kids[i].key)
		switch {
		case name == "meta" || name == "release":
		case name == "ima" && val.kind == kindObject:
			mergeIMA(fresh.get("ima"), val)
		case fresh.get(name) != nil:
			*fresh.get(name) = *val
		default:
			warnings = append(warnings, fmt.Sprintf("member %.60q of the base policy is not part of a runtime policy and left out", name))
		}
	}
	if e := checkSchema(&fresh); e != nil {
		return nil, nil, e
	}
	return fromValue(&fresh), warnings, nil
}

// mergeIMA takes over what an "ima" object has; dm_policy has no values.
func mergeIMA(into, from *value) {
	for _, name := range []string{"ignored_keyrings", "log_hash_alg"} {
		if val := from.get(name); val != nil {
			*into.get(name) = *val
		}
	}
}

// Normalize sorts all lists and makes their elements unique, as
// `keylime-policy create runtime` does with its result. Names keep their order.
func (p *Policy) Normalize() {
	for _, m := range []*DigestMap{&p.Digests, &p.Keyrings, &p.IMABuf} {
		for name, list := range m.lists {
			m.lists[name] = sorted(list)
		}
	}
	p.Excludes = sorted(p.Excludes)
	p.IMA.IgnoredKeyrings = sorted(p.IMA.IgnoredKeyrings)
}

// sorted returns a sorted copy without repetitions; lists that are in order
// already, nearly all, are returned as they are.
func sorted(list []string) []string {
	if len(list) == 1 || slices.IsSorted(list) && len(slices.Compact(slices.Clone(list))) == len(list) {
		return list
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// Allowlist writes the digests as a flat allowlist, the form of sha256sum:
// "DIGEST  PATH", boot_aggregate first, one a line.
func (p *Policy) Allowlist() []byte {
	const boot = "boot_aggregate"
	var b strings.Builder
	write := func(path string, digests []string) {
		for _, d := range digests {
			b.WriteString(d + "  " + path + "\n")
		}
	}
	write(boot, p.Digests.Get(boot))
	for path, digests := range p.Digests.All() {
		if path != boot {
			write(path, digests)
		}
	}
	return []byte(b.String())
}

package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrIsPolicy is wrapped when an allowlist was asked for and a runtime policy
// was given.
var ErrIsPolicy = errors.New("file is a runtime policy already, no allowlist")

// LegacyError is the refusal of an old allowlist or policy.
type LegacyError struct {
	// Line is the line of a flat allowlist, from 1; 0 if no line is meant.
	Line int
	// Reason says what is wrong, without a period.
	Reason string
	// Err is an underlying error, or nil.
	Err error
}

func (e *LegacyError) Error() string {
	s := e.Reason
	if e.Err != nil && s != "" {
		s += ": "
	}
	if e.Err != nil {
		s += e.Err.Error()
	}
	if e.Line > 0 {
		s = fmt.Sprintf("line %d: %s", e.Line, s)
	}
	return s
}

func (e *LegacyError) Unwrap() error { return e.Err }

// timestamp is meta.timestamp as Python's str(datetime.now()) writes it: local
// time without a zone.
func timestamp(now time.Time) string { return now.Format("2006-01-02 15:04:05.000000") }

// Stamp sets who made the policy and when, for [Policy.Marshal].
func (p *Policy) Stamp(generator int, now time.Time) {
	p.Meta.Version, p.Meta.Generator, p.Meta.Timestamp = Version, generator, timestamp(now)
}

// ConvertLegacy makes a policy of an allowlist of any old form (PROTOCOL.md
// 10.5), flat or JSON with "hashes", and of an exclude list, nil for none. The
// warnings say what was left out or changed.
//
// Two things differ from upstream, which makes policies of them that the
// verifier then refuses: lines of a flat list that begin with "#" are comments,
// and digests in capital letters are written small.
//
// Errors: *[LegacyError], which wraps [ErrIsPolicy] where that is the cause;
// *[SchemaError] if a JSON allowlist holds what no policy may hold;
// *[ExcludeError].
func ConvertLegacy(allowlist, excludes []byte, now time.Time) (p *Policy, warnings []string, err error) {
	if v, errJSON := parseJSON(allowlist); errJSON == nil {
		p, warnings, err = fromLegacyJSON(&v, now)
	} else {
		p, warnings, err = FromAllowlist(allowlist)
	}
	if err != nil {
		return nil, nil, err
	}
	p.Stamp(GeneratorLegacy, now)
	patterns, more, err := ParseExcludes(excludes)
	if err != nil {
		return nil, nil, err
	}
	p.AddExcludes(patterns)
	return p, append(warnings, more...), nil
}

// Convert brings a file of any generation to the present format: flat and JSON
// allowlists as [ConvertLegacy], policies of a version below 1 or without
// members that are required now as upstream's converter does. A policy of the
// present format is returned as it is, and changed is false. Errors as of
// [ConvertLegacy].
func Convert(data []byte, now time.Time) (p *Policy, changed bool, warnings []string, err error) {
	v, errJSON := parseJSON(data)
	if errJSON != nil || v.kind != kindObject || truthy(v.get("hashes")) && !truthy(v.get("digests")) {
		p, warnings, err = ConvertLegacy(data, nil, now)
		return p, true, warnings, err
	}
	refusal := checkSchema(&v)
	meta := v.get("meta")
	old := meta != nil && meta.kind == kindObject && meta.get("version") != nil && integerBelow(meta.get("version"), Version)
	if refusal == nil && !old {
		return fromValue(&v), false, nil, nil
	}
	if v.get("digests") == nil {
		return nil, false, nil, &LegacyError{Reason: "neither an allowlist (\"hashes\") nor a policy (\"digests\")"}
	}
	p, warnings, err = rebuild(&v, "")
	if err != nil {
		return nil, false, nil, err
	}
	p.Stamp(GeneratorCompatible, now)
	return p, true, warnings, nil
}

func integerBelow(v *value, n int) bool {
	f, err := strconv.ParseFloat(v.text, 64)
	return v.kind == kindNumber && err == nil && f < float64(n)
}

// fromLegacyJSON reads the allowlist format before runtime policies.
func fromLegacyJSON(v *value, now time.Time) (*Policy, []string, error) {
	switch {
	case v.kind != kindObject:
		return nil, nil, &LegacyError{Reason: "JSON allowlist is no object"}
	case truthy(v.get("hashes")):
		return rebuild(v, "hashes")
	case truthy(v.get("digests")):
		return nil, nil, &LegacyError{Err: ErrIsPolicy}
	default:
		return nil, nil, &LegacyError{Reason: "JSON allowlist has no \"hashes\""}
	}
}

// rebuild puts the members of an old file that are there and not empty into an
// empty policy; digestsKey is the old name of "digests", "" if it is the same.
func rebuild(v *value, digestsKey string) (*Policy, []string, error) {
	text := Empty().Marshal()
	fresh, err := parseJSON(text)
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	for i := range fresh.kids {
		name := fresh.kids[i].key
		from := name
		if name == "meta" {
			continue
		}
		if name == "digests" && digestsKey != "" {
			from = digestsKey
		}
		if old := v.get(from); truthy(old) {
			fresh.kids[i].val = *old
		}
	}
	for i := range v.kids {
		if name := v.kids[i].key; name != "meta" && name != digestsKey && fresh.get(name) == nil {
			warnings = append(warnings, fmt.Sprintf("member %.60q is not part of a runtime policy and left out", name))
		}
	}
	if e := checkSchema(&fresh); e != nil {
		return nil, nil, e
	}
	return fromValue(&fresh), warnings, nil
}

// keyringPrefix marks lines of a flat allowlist that are about keys.
const keyringPrefix = "%keyring:"

// FromAllowlist makes a policy of a flat allowlist alone: lines of digest and
// path, such as sha256sum prints; "%keyring:NAME" in place of a path is for
// keys. Paths stay as they are. Error: *[LegacyError] naming the line.
func FromAllowlist(data []byte) (*Policy, []string, error) {
	if !utf8.Valid(data) {
		return nil, nil, &LegacyError{Reason: "allowlist is not UTF-8 text"}
	}
	p := Empty()
	p.Meta.Generator = GeneratorLegacy
	var warnings []string
	comments, capitals := 0, 0
	for i, line := range strings.Split(universalNewlines(string(bytes.TrimPrefix(data, []byte("\ufeff")))), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "#"):
			comments++
			continue
		}
		digest, _, ok := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		if !ok {
			warnings = append(warnings, fmt.Sprintf("line %d has no path and is left out: %.100q", i+1, line))
			continue
		}
		path := strings.TrimSpace(line[len(digest):])
		if small := strings.ToLower(digest); small != digest {
			digest = small
			capitals++
		}
		if !isDigest(digest) {
			return nil, nil, &LegacyError{Line: i + 1, Reason: fmt.Sprintf("%.140q is no digest of 40 to 128 hexadecimal digits", digest)}
		}
		target := &p.Digests
		if name, ok := strings.CutPrefix(path, keyringPrefix); ok {
			target, path = &p.Keyrings, name
		}
		target.Add(path, digest)
	}
	if comments > 0 {
		warnings = append(warnings, fmt.Sprintf("%d line(s) that begin with # are taken as comments; upstream takes them as entries", comments))
	}
	if capitals > 0 {
		warnings = append(warnings, fmt.Sprintf("%d digest(s) in capital letters are written small, as the kernel shows them", capitals))
	}
	return p, warnings, nil
}

// Package pyre takes Python regular expressions as CPython 3.11 takes them:
// the same patterns are accepted, the same are refused with the same words, and
// a match means what it means there.
//
// Keylime verifiers apply exclude lists and kernel command lines of policies
// with Python's re module. Go's regexp reads nearly the same syntax with other
// meanings ($, \w, {,n}) and takes patterns that Python refuses, so a policy
// checked with it would be judged differently by the verifier. [Compile] parses
// the pattern itself and translates what it understood: to Go's regexp, which
// runs in linear time, where the meaning can be kept exactly, and to regexp2
// with a limit of time for the rest (look-around, back-references, atomic
// groups). Passing the limit is an error and never a "no".
//
// Where CPython's answer depends on what it tried before, as with a condition
// on a group that is still open, a match is an error. One difference is known:
// when an iteration of a repetition matches the empty text and sets a group to
// which a later iteration refers back, regexp2 may end the repetition where
// CPython goes on.
//
// It works on text (str patterns), not on bytes, and only answers whether a
// subject matches; there are no groups in its answers. Bytes of a subject that
// are no UTF-8 count as U+FFFD each. Unicode data are those of Go (15.0) where
// CPython 3.11 has 14.0, and \N{...} knows the names of Latin-1 only.
package pyre

import (
	"sort"
	"strings"
)

// Regexp is a compiled pattern, safe for concurrent use. A nil *Regexp, which
// [Join] returns for no patterns, matches nothing.
type Regexp struct {
	text string
	root *node
	// prefixes decide alternatives which match every subject that begins with
	// one of them; sorted, none the beginning of another.
	prefixes []string
	// match and full are made when first needed.
	match, full engines
}

// Compile parses a pattern as re.compile(pattern) does. The error is an
// *[Error] with CPython's message and position. Translation is left to the
// first match.
func Compile(pattern string) (*Regexp, error) {
	n, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	r := &Regexp{text: pattern, root: n}
	alternatives := flatten(n, nil)
	var rest []*node
	for _, a := range alternatives {
		if prefix, ok := prefixOf(a); ok {
			r.prefixes = append(r.prefixes, prefix)
		} else {
			rest = append(rest, a)
		}
	}
	r.prefixes = shortest(r.prefixes)
	r.match = engines{pattern: pattern, alternatives: rest}
	r.full = engines{pattern: pattern, alternatives: alternatives, full: true}
	return r, nil
}

// String returns the pattern as given, "" for nil.
func (r *Regexp) String() string {
	if r == nil {
		return ""
	}
	return r.text
}

// Match tells whether the pattern matches at the start of s, as re.match: it
// need not reach the end. Errors: *[TimeoutError].
func (r *Regexp) Match(s string) (bool, error) {
	if r == nil {
		return false, nil
	}
	// The greatest prefix that is not greater than s is the only candidate.
	if i := sort.SearchStrings(r.prefixes, s); i < len(r.prefixes) && r.prefixes[i] == s || i > 0 && strings.HasPrefix(s, r.prefixes[i-1]) {
		return true, nil
	}
	return r.match.run(s)
}

// FullMatch tells whether the pattern matches all of s, as re.fullmatch.
// Errors: *[TimeoutError].
func (r *Regexp) FullMatch(s string) (bool, error) {
	if r == nil {
		return false, nil
	}
	return r.full.run(s)
}

// flatten appends the alternatives of a pattern: what is tried at the start,
// one after the other, through groups that hold nothing else.
func flatten(n *node, to []*node) []*node {
	switch n.kind {
	case kindBranch:
		for _, s := range n.subs {
			to = flatten(s, to)
		}
		return to
	case kindGroup:
		if inner := flatten(n.subs[0], nil); len(inner) > 1 && !refersTo(n.subs[0], n.n) {
			return append(to, inner...)
		}
	}
	return append(to, n)
}

// refersTo tells whether a reference to group g stands inside the group.
func refersTo(n *node, g int) bool {
	return !n.walk(func(n *node) bool { return n.kind != kindRef && n.kind != kindCond || n.n != g })
}

// prefixOf tells whether an alternative matches exactly the subjects with a
// certain beginning, and returns that.
func prefixOf(n *node) (string, bool) {
	var b strings.Builder
	ok, open := true, true
	var take func(*node)
	take = func(n *node) {
		switch {
		case !ok:
		case n.kind == kindEmpty, open && n.kind == kindAt && n.at == atStart && b.Len() == 0:
		case open && n.kind == kindRune && (n.r < 0xd800 || n.r > 0xdfff) && n.r != 0xfffd:
			b.WriteRune(n.r)
		case open && (n.kind == kindConcat || n.kind == kindGroup):
			for _, s := range n.subs {
				take(s)
			}
		case n.nullable():
			open = false
		default:
			ok = false
		}
	}
	take(n)
	return b.String(), ok
}

// shortest sorts prefixes and drops those that begin with another.
func shortest(prefixes []string) []string {
	sort.Strings(prefixes)
	var out []string
	for _, p := range prefixes {
		if len(out) == 0 || !strings.HasPrefix(p, out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}

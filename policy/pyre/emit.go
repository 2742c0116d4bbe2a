package pyre

import (
	"fmt"
	"strings"
)

// dialect is the syntax that a tree is written in.
type dialect uint8

const (
	dialectGo      dialect = iota // Go's regexp
	dialectRegexp2                // regexp2 without options
)

// emitter writes a tree in one dialect for one kind of subject.
type emitter struct {
	dialect dialect
	// ascii is for subjects that are ASCII: sets shrink, and \b is Go's own.
	ascii bool
	// full writes for a match of the whole subject.
	full bool
	// groups are the groups of the text that something refers to; others do not
	// capture. helper is the number of the next group that only separates.
	groups map[int]bool
	helper int
	b      strings.Builder
	// exact turns false when the dialect cannot say the same.
	exact bool
}

// emit writes alternatives as one pattern that begins at the start of the
// subject, and ends at its end if full. It returns false if the dialect cannot
// express them exactly.
func emit(alternatives []*node, d dialect, ascii, full bool) (string, bool) {
	e := &emitter{dialect: d, ascii: ascii, full: full, exact: true, groups: map[int]bool{}}
	if d == dialectRegexp2 {
		e.capture(alternatives)
	}
	e.b.WriteString(`\A(?:`)
	for i, n := range alternatives {
		if i > 0 {
			e.b.WriteByte('|')
		}
		e.node(n, true)
	}
	e.b.WriteByte(')')
	if full {
		e.b.WriteString(`\z`)
	}
	return e.b.String(), e.exact
}

// capture finds the groups that capture, and a number above all groups.
func (e *emitter) capture(alternatives []*node) {
	wanted := map[int]bool{}
	visit := func(see func(*node)) {
		for _, n := range alternatives {
			n.walk(func(n *node) bool { see(n); return true })
		}
	}
	visit(func(n *node) {
		e.helper = max(e.helper, n.n+1)
		wanted[n.n] = wanted[n.n] || n.kind == kindRef || n.kind == kindCond
	})
	visit(func(n *node) { e.groups[n.n] = e.groups[n.n] || n.kind == kindGroup && wanted[n.n] })
}

// node writes one node. last says that nothing follows it in the pattern.
func (e *emitter) node(n *node, last bool) {
	switch n.kind {
	case kindEmpty:
		e.b.WriteString(`(?:)`)
	case kindRune:
		e.set(singleton(n.r))
	case kindSet:
		e.set(n.set)
	case kindAt:
		e.position(n, last)
	case kindConcat:
		for i, s := range n.subs {
			e.group(s, last && i == len(n.subs)-1)
		}
	case kindBranch:
		for i, s := range n.subs {
			if i > 0 {
				e.b.WriteByte('|')
			}
			e.node(s, last)
		}
	case kindGroup:
		if e.groups[n.n] {
			fmt.Fprintf(&e.b, `(?<%d>`, n.n)
		} else {
			e.b.WriteString(`(?:`)
		}
		e.node(n.subs[0], last)
		e.b.WriteByte(')')
	case kindRepeat:
		e.repeat(n)
	default:
		e.special(n)
	}
}

// group writes a node so that it stands as one element of a sequence.
func (e *emitter) group(n *node, last bool) {
	if n.kind != kindBranch && n.kind != kindConcat {
		e.node(n, last)
		return
	}
	e.b.WriteString(`(?:`)
	e.node(n, last)
	e.b.WriteByte(')')
}

// maxGoRepeat is the largest count that Go's regexp takes.
const maxGoRepeat = 1000

// maxCount stands for every larger count: no subject is that long.
const maxCount = 1 << 30

func (e *emitter) repeat(n *node) {
	if n.greed == possessive {
		e.b.WriteString(`(?>`)
		e.exact = e.exact && e.dialect == dialectRegexp2
	}
	if e.dialect == dialectRegexp2 && holdsAtomic(n.subs[0]) {
		// regexp2 (2.12.0) multiplies the counts of a repetition and of an atomic
		// repetition directly in it, which is wrong; a group keeps them apart.
		fmt.Fprintf(&e.b, `(?<%d>`, e.helper)
		e.helper++
	} else {
		e.b.WriteString(`(?:`)
	}
	e.node(n.subs[0], false)
	e.b.WriteByte(')')
	from, to := min(n.min, maxCount), n.max
	if e.dialect == dialectGo && (from > maxGoRepeat || to != unbounded && to > maxGoRepeat) {
		e.exact = false
	}
	switch {
	case to >= maxCount && from == 0:
		e.b.WriteByte('*')
	case to >= maxCount && from == 1:
		e.b.WriteByte('+')
	case to >= maxCount:
		fmt.Fprintf(&e.b, "{%d,}", from)
	case from == 0 && to == 1:
		e.b.WriteByte('?')
	default:
		fmt.Fprintf(&e.b, "{%d,%d}", from, to)
	}
	switch n.greed {
	case lazy:
		e.b.WriteByte('?')
	case possessive:
		e.b.WriteByte(')')
	}
}

// holdsAtomic tells whether an atomic group or a possessive repetition is in n.
func holdsAtomic(n *node) bool {
	return !n.walk(func(n *node) bool { return n.kind != kindAtomic && (n.kind != kindRepeat || n.greed != possessive) })
}

// position writes an assertion about the place.
func (e *emitter) position(n *node, last bool) {
	switch n.at {
	case atStart:
		e.b.WriteString(`\A`)
	case atLineStart:
		e.b.WriteString(`(?m:^)`)
	case atLineEnd:
		e.b.WriteString(`(?m:$)`)
	case atAbsoluteEnd:
		e.b.WriteString(`\z`)
	case atEnd:
		switch {
		case e.dialect == dialectRegexp2:
			e.b.WriteString(`(?=\n?\z)`)
		case !last:
			e.exact = false
		case e.full:
			e.b.WriteString(`\z`)
		default:
			// Nothing follows, so consuming the newline does no harm.
			e.b.WriteString(`(?:\n?\z)`)
		}
	case atBoundary, atNoBoundary:
		e.boundary(n)
	}
}

// boundary writes \b and \B. CPython 3.11 has neither in an empty subject.
func (e *emitter) boundary(n *node) {
	if e.dialect == dialectGo {
		// Go's \b knows ASCII words only; its \B holds in an empty subject.
		e.exact = e.exact && n.at == atBoundary && (n.ascii || e.ascii)
		e.b.WriteString(`\b`)
		return
	}
	w := e.setText(word(n.ascii))
	if n.at == atBoundary {
		fmt.Fprintf(&e.b, `(?:(?<=%[1]s)(?!%[1]s)|(?<!%[1]s)(?=%[1]s))`, w)
		return
	}
	fmt.Fprintf(&e.b, `(?!\A\z)(?:(?<=%[1]s)(?=%[1]s)|(?<!%[1]s)(?!%[1]s))`, w)
}

// special writes what only regexp2 has.
func (e *emitter) special(n *node) {
	if e.dialect == dialectGo {
		e.exact = false
		return
	}
	switch n.kind {
	case kindLook:
		e.b.WriteString(`(?`)
		if n.behind {
			e.b.WriteByte('<')
		}
		if n.negative {
			e.b.WriteByte('!')
		} else {
			e.b.WriteByte('=')
		}
		e.node(n.subs[0], false)
		e.b.WriteByte(')')
	case kindAtomic:
		e.b.WriteString(`(?>`)
		e.node(n.subs[0], false)
		e.b.WriteByte(')')
	case kindRef:
		e.reference(n)
	case kindCond:
		if !e.groups[n.n] {
			e.group(n.subs[1], false)
			return
		}
		fmt.Fprintf(&e.b, `(?(%d)(?:`, n.n)
		e.node(n.subs[0], false)
		e.b.WriteString(`)|(?:`)
		e.node(n.subs[1], false)
		e.b.WriteString(`))`)
	}
}

// reference writes a back-reference. A group of an alternative that is not in
// this pattern cannot have taken part, and a reference to it never matches.
func (e *emitter) reference(n *node) {
	switch {
	case !e.groups[n.n]:
		e.b.WriteString(`(?!)`)
	case n.fold:
		fmt.Fprintf(&e.b, `(?i:\k<%d>)`, n.n)
	default:
		fmt.Fprintf(&e.b, `\k<%d>`, n.n)
	}
}

// set writes a set of characters.
func (e *emitter) set(s set) { e.b.WriteString(e.setText(s)) }

func (e *emitter) setText(s set) string {
	if e.ascii {
		s = s.within(0, 0x7f)
	}
	if len(s) == 2 && s[0] == 0 && s[1] == maxRune {
		return `(?s:.)`
	}
	// Text has no surrogates.
	s = append(s.within(0, 0xd7ff), s.within(0xe000, maxRune)...)
	if len(s) == 0 {
		if e.dialect == dialectGo {
			return `[^\x00-\x{10FFFF}]`
		}
		return `(?!)`
	}
	if len(s) == 2 && s[0] == s[1] {
		return e.rune(s[0])
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(s); i += 2 {
		b.WriteString(e.rune(s[i]))
		if s[i+1] > s[i] {
			b.WriteByte('-')
			b.WriteString(e.rune(s[i+1]))
		}
	}
	b.WriteByte(']')
	return b.String()
}

// rune writes one character, inside or outside of a set.
func (e *emitter) rune(r rune) string {
	switch {
	case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', r == '/', r == '_':
		return string(r)
	case e.dialect == dialectGo:
		return fmt.Sprintf(`\x{%X}`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04X`, r)
	default:
		return string(r)
	}
}

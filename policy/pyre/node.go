package pyre

// kind is the kind of a node of a parsed pattern.
type kind uint8

const (
	kindEmpty  kind = iota // matches the empty text
	kindRune               // one character: r
	kindSet                // one character out of set
	kindAt                 // a position: at
	kindConcat             // subs, one after the other
	kindBranch             // one of subs, tried in order
	kindGroup              // capturing group number n around subs[0]
	kindRepeat             // subs[0] min to max times
	kindLook               // look-around: subs[0] must (not) match here
	kindRef                // the text of group n again
	kindCond               // subs[0] if group n took part, else subs[1]
	kindAtomic             // subs[0] without going back into it
)

// position is what a kindAt node asserts.
type position uint8

const (
	atStart       position = iota // \A, and ^ without MULTILINE
	atLineStart                   // ^ with MULTILINE
	atEnd                         // $: the end, or before a final newline
	atLineEnd                     // $ with MULTILINE
	atAbsoluteEnd                 // \Z
	atBoundary                    // \b
	atNoBoundary                  // \B
)

// greed is how a repetition chooses its count.
type greed uint8

const (
	greedy greed = iota
	lazy
	possessive
)

// unbounded is the max of a repetition without upper limit; CPython's
// MAXREPEAT, which no count may reach.
const unbounded = 1<<32 - 1

// maxWidth caps computed widths, as CPython's MAXWIDTH does.
const maxWidth = 1 << 62

// node is a node of a parsed pattern. Flags are resolved: sets are those that
// the flags in force made of the pattern's text.
type node struct {
	kind     kind
	at       position
	greed    greed
	ascii    bool // kindAt boundaries: \w is ASCII; kindRef: compare in ASCII
	fold     bool // kindRef: compare without case
	behind   bool // kindLook: look back
	negative bool // kindLook: must not match
	template bool // kindRepeat: below the flag TEMPLATE, which refuses it
	byNumber bool // kindRef, kindCond: the group is named by its number
	open     bool // kindCond: the condition stands inside the group it asks for
	r        rune
	n        int // group number
	min, max uint64
	set      set
	subs     []*node

	lo, hi uint64 // width of what it matches, in characters
}

// concat joins nodes to a sequence.
func concat(subs []*node) *node {
	switch len(subs) {
	case 0:
		return &node{kind: kindEmpty}
	case 1:
		return subs[0]
	}
	n := &node{kind: kindConcat, subs: subs}
	for _, s := range subs {
		n.lo, n.hi = addWidth(n.lo, s.lo), addWidth(n.hi, s.hi)
	}
	return n
}

// branch joins alternatives.
func branch(subs []*node) *node {
	if len(subs) == 1 {
		return subs[0]
	}
	n := &node{kind: kindBranch, subs: subs, lo: maxWidth}
	for _, s := range subs {
		n.lo, n.hi = min(n.lo, s.lo), max(n.hi, s.hi)
	}
	return n
}

// repeat repeats sub.
func repeat(sub *node, from, to uint64, g greed) *node {
	n := &node{kind: kindRepeat, subs: []*node{sub}, min: from, max: to, greed: g}
	n.lo = mulWidth(sub.lo, from)
	if to == unbounded && sub.hi > 0 {
		n.hi = maxWidth
	} else {
		n.hi = mulWidth(sub.hi, to)
	}
	return n
}

// wrap puts a node of the given kind, and of the width of sub, around sub.
func wrap(k kind, sub *node) *node {
	return &node{kind: k, subs: []*node{sub}, lo: sub.lo, hi: sub.hi}
}

func addWidth(a, b uint64) uint64 { return min(a+b, maxWidth) }

func mulWidth(a, b uint64) uint64 {
	if a != 0 && b > maxWidth/a {
		return maxWidth
	}
	return a * b
}

// oneRune makes the node of a literal character under the flags.
func oneRune(r rune, f flags) *node {
	if f.ignoreCase {
		if s := foldSet(singleton(r), f.ascii); len(s) != 2 || s[0] != s[1] {
			return &node{kind: kindSet, set: s, lo: 1, hi: 1}
		}
	}
	return &node{kind: kindRune, r: r, lo: 1, hi: 1}
}

// walk calls visit for every node in the order in which CPython compiles them,
// until visit returns false.
func (n *node) walk(visit func(*node) bool) bool {
	if !visit(n) {
		return false
	}
	for _, s := range n.subs {
		if !s.walk(visit) {
			return false
		}
	}
	return true
}

// nullable tells whether the node surely matches the empty text at every
// position; false where that depends on anything.
func (n *node) nullable() bool {
	switch n.kind {
	case kindEmpty:
		return true
	case kindConcat:
		for _, s := range n.subs {
			if !s.nullable() {
				return false
			}
		}
		return true
	case kindBranch:
		for _, s := range n.subs {
			if s.nullable() {
				return true
			}
		}
		return false
	case kindGroup:
		return n.subs[0].nullable()
	case kindRepeat:
		return n.min == 0 || n.subs[0].nullable()
	default:
		return false
	}
}

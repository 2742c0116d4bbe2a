package pyre

import (
	"strings"
	"unicode/utf8"
)

// token is what CPython's tokenizer yields: one character, or a backslash with
// the character after it.
type token struct {
	r      rune
	escape bool
}

var end = token{r: -1}

// is tells whether the token is the plain character c.
func (t token) is(c rune) bool { return t.r == c && !t.escape }

// in tells whether the token is one of the plain characters.
func (t token) in(chars string) bool {
	return !t.escape && t.r >= 0 && strings.ContainsRune(chars, t.r)
}

func (t token) width() int {
	switch {
	case t == end:
		return 0
	case t.escape:
		return 2
	default:
		return 1
	}
}

func (t token) text() string {
	switch {
	case t == end:
		return ""
	case t.escape:
		return `\` + string(t.r)
	default:
		return string(t.r)
	}
}

// flags are the flags in force at one place of a pattern.
type flags struct {
	ignoreCase, multiLine, dotAll, verbose, ascii, template bool
}

// maxDepth bounds the nesting of groups. CPython itself gives up with a
// RecursionError at 495 when called from an empty stack, and a verifier's
// stack is not empty.
const maxDepth = 450

// parser is CPython 3.11's Lib/re/_parser.py for str patterns, step by step, so
// that faults are found in the same order and at the same positions.
//
// The first fault is kept in err, and the input then ends, so that all loops
// end; callers look at err last.
type parser struct {
	pattern string
	runes   []rune
	index   int // behind next
	next    token
	err     *Error

	typeA     bool // the global flag a was given
	typeU     bool // the global flag u was given
	groups    []group
	names     map[string]int
	lookGroup int         // number of groups before the outermost look-behind; -1 outside
	condPos   map[int]int // group number -> position of the first condition on it
	condOrder []int
	depth     int
}

// group is a capturing group; number 0 is the whole pattern.
type group struct {
	closed bool
	lo, hi uint64
}

// parse reads a pattern to its end.
func parse(pattern string) (*node, *Error) {
	p := &parser{pattern: pattern, groups: make([]group, 1), lookGroup: -1}
	if !utf8.ValidString(pattern) {
		return nil, &Error{Pattern: pattern, Msg: "pattern is not valid UTF-8", Pos: -1}
	}
	p.runes = []rune(pattern)
	p.advance()
	n := p.alternatives(flags{}, true)
	if p.err == nil && p.typeA && p.typeU {
		p.failAt("ASCII and UNICODE flags are incompatible", -1)
	}
	if p.err == nil && p.next != end {
		p.fail("unbalanced parenthesis", 0)
	}
	if p.err == nil {
		for _, g := range p.condOrder {
			if g >= len(p.groups) {
				p.failAt("invalid group reference "+itoa(g), p.condPos[g])
				break
			}
		}
	}
	if p.err == nil {
		p.checkCompiled(n)
	}
	if p.err != nil {
		return nil, p.err
	}
	return n, nil
}

// checkCompiled finds what CPython refuses only when it compiles the parsed
// pattern; it gives no positions then.
func (p *parser) checkCompiled(n *node) {
	n.walk(func(n *node) bool {
		switch {
		case n.kind == kindRepeat && n.template:
			p.failAt("internal: unsupported template operator "+[]string{"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}[n.greed], -1)
		case n.kind == kindLook && n.behind && n.subs[0].lo > unbounded:
			p.failAt("looks too much behind", -1)
		case n.kind == kindLook && n.behind && n.subs[0].lo != n.subs[0].hi:
			p.failAt("look-behind requires fixed-width pattern", -1)
		}
		return p.err == nil
	})
}

// fail keeps a fault at offset characters before the next token.
func (p *parser) fail(msg string, offset int) { p.failAt(msg, p.tell()-offset) }

func (p *parser) failAt(msg string, pos int) {
	if p.err == nil {
		p.err = &Error{Pattern: p.pattern, Msg: msg, Pos: pos}
	}
	p.index, p.next = len(p.runes), end
}

// tell is the position of the next token.
func (p *parser) tell() int { return p.index - p.next.width() }

func (p *parser) seek(index int) {
	if p.err == nil {
		p.index = index
		p.advance()
	}
}

// advance reads the next token.
func (p *parser) advance() {
	if p.err != nil || p.index >= len(p.runes) {
		p.next = end
		return
	}
	r := p.runes[p.index]
	if r != '\\' {
		p.index++
		p.next = token{r: r}
		return
	}
	if p.index+1 >= len(p.runes) {
		p.failAt("bad escape (end of pattern)", len(p.runes)-1)
		return
	}
	p.next = token{r: p.runes[p.index+1], escape: true}
	p.index += 2
}

// get returns the next token and goes on.
func (p *parser) get() token {
	t := p.next
	p.advance()
	return t
}

// match goes on if the next token is the plain character c.
func (p *parser) match(c rune) bool {
	if p.next.is(c) {
		p.advance()
		return true
	}
	return false
}

// while reads up to n plain characters out of chars; n < 0 is without limit.
func (p *parser) while(n int, chars string) string {
	var b strings.Builder
	for ; n != 0 && p.next.in(chars); n-- {
		b.WriteRune(p.get().r)
	}
	return b.String()
}

// until reads up to the plain character terminator, which it consumes.
func (p *parser) until(terminator rune, what string) string {
	var b strings.Builder
	n := 0
	for p.err == nil {
		t := p.get()
		switch {
		case p.err != nil:
		case t == end && n == 0:
			p.fail("missing "+what, 0)
		case t == end:
			p.fail("missing "+string(terminator)+", unterminated name", n)
		case t.is(terminator):
			if n == 0 {
				p.fail("missing "+what, 1)
			}
			return b.String()
		default:
			b.WriteString(t.text())
			n += t.width()
		}
	}
	return ""
}

// alternatives reads a|b|c; top is true for the whole pattern.
func (p *parser) alternatives(f flags, top bool) *node {
	var subs []*node
	for {
		n, after := p.sequence(f, top && subs == nil)
		subs = append(subs, n)
		if !p.match('|') {
			return branch(subs)
		}
		if top {
			f = after
		}
	}
}

// sequence reads one alternative. Global flags may stand at its beginning if
// first is true; the flags then in force are returned.
func (p *parser) sequence(f flags, first bool) (*node, flags) {
	if p.depth++; p.depth > maxDepth {
		p.failAt("groups are nested too deeply", -1)
	}
	defer func() { p.depth-- }()
	var items []item
	for p.err == nil {
		t := p.next
		if t == end || t.in("|)") {
			break
		}
		p.advance()
		if f.verbose {
			if t.in(" \t\n\r\v\f") {
				continue
			}
			if t.is('#') {
				for t != end && !t.is('\n') {
					t = p.get()
				}
				continue
			}
		}
		switch {
		case t.escape:
			n := p.escape(t, f)
			items = append(items, item{n: n, at: n.kind == kindAt})
		case t.is('['):
			items = append(items, item{n: p.charSet(f)})
		case t.in("*+?{"):
			items = p.repetition(items, t, f)
		case t.is('.'):
			n := &node{kind: kindSet, set: set{0, maxRune}, lo: 1, hi: 1}
			if !f.dotAll {
				n.set = singleton('\n').negated()
			}
			items = append(items, item{n: n})
		case t.is('('):
			if n := p.parenthesis(&f, first && len(items) == 0); n != nil {
				items = append(items, item{n: n})
			}
		case t.is('^'):
			n := &node{kind: kindAt, at: atStart}
			if f.multiLine {
				n.at = atLineStart
			}
			items = append(items, item{n: n, at: true})
		case t.is('$'):
			n := &node{kind: kindAt, at: atEnd}
			if f.multiLine {
				n.at = atLineEnd
			}
			items = append(items, item{n: n, at: true})
		default:
			items = append(items, item{n: oneRune(t.r, f)})
		}
	}
	subs := make([]*node, len(items))
	for i, it := range items {
		subs[i] = it.n
	}
	return concat(subs), f
}

// item is one element of a sequence while it is read.
type item struct {
	n *node
	// repeated says that n is a repetition itself, not a group around one; at
	// that it is a position.
	repeated, at bool
}

// repetition applies the quantifier t to the last item.
func (p *parser) repetition(items []item, t token, f flags) []item {
	here := p.tell()
	from, to := uint64(0), uint64(unbounded)
	switch t.r {
	case '?':
		to = 1
	case '+':
		from = 1
	case '{':
		var ok bool
		if from, to, ok = p.counts(here); !ok {
			return append(items, item{n: oneRune('{', f)})
		}
	}
	if p.err != nil {
		return items
	}
	if len(items) == 0 || items[len(items)-1].at {
		p.fail("nothing to repeat", p.tell()-here+1)
		return items
	}
	last := &items[len(items)-1]
	if last.repeated {
		p.fail("multiple repeat", p.tell()-here+1)
		return items
	}
	g := greedy
	switch {
	case p.match('?'):
		g = lazy
	case p.match('+'):
		g = possessive
	}
	last.n, last.repeated = repeat(last.n, from, to, g), true
	last.n.template = f.template
	return items
}

// counts reads {m}, {m,}, {,n} or {m,n} behind its brace; anything else is
// literal text, and false.
func (p *parser) counts(here int) (from, to uint64, ok bool) {
	if p.next.is('}') {
		return 0, 0, false
	}
	const digits = "0123456789"
	lo := p.while(-1, digits)
	hi := lo
	if p.match(',') {
		hi = p.while(-1, digits)
	}
	if !p.match('}') {
		p.seek(here)
		return 0, 0, false
	}
	from, to = 0, unbounded
	if lo != "" {
		if from, ok = count(lo); !ok {
			p.failAt("the repetition number is too large", -1)
			return 0, 0, true
		}
	}
	if hi != "" {
		if to, ok = count(hi); !ok {
			p.failAt("the repetition number is too large", -1)
			return 0, 0, true
		}
		if to < from {
			p.fail("min repeat greater than max repeat", p.tell()-here)
		}
	}
	return from, to, true
}

// count reads a decimal number below [unbounded].
func count(digits string) (uint64, bool) {
	n := uint64(0)
	for _, d := range digits {
		if n = n*10 + uint64(d-'0'); n >= unbounded {
			return 0, false
		}
	}
	return n, true
}

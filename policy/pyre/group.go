package pyre

import (
	"strconv"
	"strings"
	"unicode"
)

func itoa(n int) string { return strconv.Itoa(n) }

// parenthesis reads what begins with "(", which is consumed. It returns nil
// for comments and global flags, which it adds to f; atStart says that global
// flags may stand here.
func (p *parser) parenthesis(f *flags, atStart bool) *node {
	start := p.tell() - 1
	if !p.match('?') {
		return p.capture(start, "", *f)
	}
	t := p.get()
	switch {
	case t == end:
		p.fail("unexpected end of pattern", 0)
	case t.is('P'):
		return p.pythonGroup(start, *f)
	case t.is(':'):
		return p.plain(start, *f)
	case t.is('>'):
		return wrap(kindAtomic, p.plain(start, *f))
	case t.is('#'):
		p.comment(start)
		return nil
	case t.in("=!<"):
		return p.lookAround(start, t, *f)
	case t.is('('):
		return p.condition(start, *f)
	case t.in("aiLmstux-"):
		scoped := *f
		if global := p.flags(&scoped, t); global {
			if !atStart {
				p.fail("global flags not at the start of the expression", p.tell()-start)
			}
			*f = scoped
			return nil
		}
		return p.plain(start, scoped)
	default:
		p.fail("unknown extension ?"+t.text(), t.width()+1)
	}
	return &node{kind: kindEmpty}
}

// plain reads a group's contents and its ")".
func (p *parser) plain(start int, f flags) *node {
	n := p.alternatives(f, false)
	if !p.match(')') {
		p.fail("missing ), unterminated subpattern", p.tell()-start)
	}
	return n
}

// capture reads a capturing group, whose name, if any, has been read.
func (p *parser) capture(start int, name string, f flags) *node {
	number := len(p.groups)
	if name != "" {
		if old, taken := p.names[name]; taken {
			p.fail("redefinition of group name "+Repr(name)+" as group "+itoa(number)+"; was group "+itoa(old), length(name)+1)
		} else {
			if p.names == nil {
				p.names = map[string]int{}
			}
			p.names[name] = number
		}
	}
	p.groups = append(p.groups, group{})
	n := wrap(kindGroup, p.plain(start, f))
	n.n = number
	p.groups[number] = group{closed: true, lo: n.lo, hi: n.hi}
	return n
}

// pythonGroup reads what follows "(?P".
func (p *parser) pythonGroup(start int, f flags) *node {
	switch {
	case p.match('<'):
		name := p.until('>', "group name")
		p.checkName(name)
		return p.capture(start, name, f)
	case p.match('='):
		name := p.until(')', "group name")
		p.checkName(name)
		return p.named(name, f)
	}
	if t := p.get(); t == end {
		p.fail("unexpected end of pattern", 0)
	} else {
		p.fail("unknown extension ?P"+t.text(), t.width()+2)
	}
	return &node{kind: kindEmpty}
}

// named makes the back-reference (?P=name).
func (p *parser) named(name string, f flags) *node {
	g, known := p.names[name]
	switch {
	case p.err != nil:
	case !known:
		p.fail("unknown group name "+Repr(name), length(name)+1)
	case !p.groups[g].closed:
		p.fail("cannot refer to an open group", length(name)+1)
	default:
		p.checkLookBehind(g)
		return p.reference(g, f, false)
	}
	return &node{kind: kindEmpty}
}

// reference makes a back-reference to a closed group.
func (p *parser) reference(g int, f flags, byNumber bool) *node {
	n := &node{kind: kindRef, n: g, fold: f.ignoreCase, ascii: f.ascii, byNumber: byNumber}
	n.lo, n.hi = p.groups[g].lo, p.groups[g].hi
	return n
}

func (p *parser) checkName(name string) {
	if p.err == nil && !isIdentifier(name) {
		p.fail("bad character in group name "+Repr(name), length(name)+1)
	}
}

// checkLookBehind refuses references to groups that a look-behind may see only
// later.
func (p *parser) checkLookBehind(g int) {
	if p.lookGroup < 0 {
		return
	}
	if g >= len(p.groups) || !p.groups[g].closed {
		p.fail("cannot refer to an open group", 0)
	} else if g >= p.lookGroup {
		p.fail("cannot refer to group defined in the same lookbehind subpattern", 0)
	}
}

// comment skips to the ")" of "(?#".
func (p *parser) comment(start int) {
	for p.err == nil {
		if p.next == end {
			p.fail("missing ), unterminated comment", p.tell()-start)
		} else if p.get().is(')') {
			return
		}
	}
}

// lookAround reads (?=, (?!, (?<= and (?<!; t is the character behind "?".
func (p *parser) lookAround(start int, t token, f flags) *node {
	n := &node{kind: kindLook}
	before := p.lookGroup
	if t.is('<') {
		t = p.get()
		if t == end {
			p.fail("unexpected end of pattern", 0)
		} else if !t.in("=!") {
			p.fail("unknown extension ?<"+t.text(), t.width()+2)
		}
		n.behind = true
		if before < 0 {
			p.lookGroup = len(p.groups)
		}
	}
	n.negative = t.is('!')
	sub := p.alternatives(f, false)
	p.lookGroup = before
	if !p.match(')') {
		p.fail("missing ), unterminated subpattern", p.tell()-start)
	}
	n.subs = []*node{sub}
	return n
}

// condition reads (?(group)yes|no) behind "(?(".
func (p *parser) condition(start int, f flags) *node {
	name := p.until(')', "group name")
	n := &node{kind: kindCond}
	if isIdentifier(name) {
		g, known := p.names[name]
		if !known {
			p.fail("unknown group name "+Repr(name), length(name)+1)
		}
		n.n = g
	} else {
		n.byNumber = true
		g, ok := pythonInt(name)
		switch {
		case p.err != nil:
		case !ok:
			p.fail("bad character in group name "+Repr(name), length(name)+1)
		case g == 0:
			p.fail("bad group number", length(name)+1)
		case g >= maxGroups:
			p.fail("invalid group reference "+strconv.FormatUint(g, 10), length(name)+1)
		}
		n.n = int(min(g, maxGroups))
		if _, seen := p.condPos[n.n]; !seen && p.err == nil {
			if p.condPos == nil {
				p.condPos = map[int]int{}
			}
			p.condPos[n.n] = p.tell() - length(name) - 1
			p.condOrder = append(p.condOrder, n.n)
		}
	}
	n.open = n.n < len(p.groups) && !p.groups[n.n].closed
	p.checkLookBehind(n.n)
	yes, _ := p.sequence(f, false)
	no := &node{kind: kindEmpty}
	if p.match('|') {
		no, _ = p.sequence(f, false)
		if p.next.is('|') {
			p.fail("conditional backref with more than two branches", 0)
		}
	}
	if !p.match(')') {
		p.fail("missing ), unterminated subpattern", p.tell()-start)
	}
	n.subs = []*node{yes, no}
	n.lo, n.hi = min(yes.lo, no.lo), max(yes.hi, no.hi)
	return n
}

// maxGroups is CPython's MAXGROUPS.
const maxGroups = 1<<30 - 1

// pythonInt reads a number as Python's int() does, as far as it is not
// negative: blanks around, a sign, single underscores between digits, digits of
// any script.
func pythonInt(s string) (uint64, bool) {
	s = strings.TrimPrefix(strings.TrimFunc(s, func(r rune) bool { return uniSpace.has(r) }), "+")
	if neg, ok := strings.CutPrefix(s, "-"); ok { // -0 is 0
		n, ok := pythonInt("+" + neg)
		return 0, ok && n == 0 && !strings.HasPrefix(neg, "+")
	}
	n, digit := uint64(0), false
	for _, r := range s {
		if r == '_' && digit {
			digit = false
			continue
		}
		d, ok := decimal(r)
		if !ok {
			return 0, false
		}
		n, digit = min(n*10+d, 1<<40), true
	}
	return n, digit
}

// decimal is the value of a decimal digit: each script's ten follow each other.
func decimal(r rune) (uint64, bool) {
	digits := uniDigit()
	for i := 0; i < len(digits); i += 2 {
		if digits[i] <= r && r <= digits[i+1] {
			return uint64(r-digits[i]) % 10, true
		}
	}
	return 0, false
}

// isIdentifier is str.isidentifier.
func isIdentifier(s string) bool {
	for i, r := range s {
		start := r == '_' || unicode.In(r, unicode.L, unicode.Nl, unicode.Other_ID_Start)
		if !start && (i == 0 || !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue)) {
			return false
		}
	}
	return s != ""
}

// length is len(s) in Python.
func length(s string) int { return len([]rune(s)) }

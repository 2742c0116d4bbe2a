package pyre

import (
	"strconv"
	"strings"
)

const (
	octal = "01234567"
	hex   = "0123456789abcdefABCDEF"
)

// controls are the letters of control characters.
var controls = map[rune]rune{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}

// escape makes the node of an escape outside a set; t holds its first letter.
func (p *parser) escape(t token, f flags) *node {
	at := func(what position) *node { return &node{kind: kindAt, at: what, ascii: f.ascii} }
	switch t.r {
	case 'A':
		return at(atStart)
	case 'b':
		return at(atBoundary)
	case 'B':
		return at(atNoBoundary)
	case 'Z':
		return at(atAbsoluteEnd)
	}
	if s, ok := class(t.r, f.ascii); ok {
		return &node{kind: kindSet, set: s, lo: 1, hi: 1}
	}
	if c, ok := controls[t.r]; ok {
		return oneRune(c, f)
	}
	if t.r == '0' {
		digits := p.while(2, octal)
		n, _ := strconv.ParseUint("0"+digits, 8, 32)
		return oneRune(rune(n), f)
	}
	if '1' <= t.r && t.r <= '9' {
		return p.numbered(t, f)
	}
	r, ok := p.coded(t)
	if !ok {
		return &node{kind: kindEmpty}
	}
	return oneRune(r, f)
}

// numbered makes the node of \1 to \99 or of an octal escape of three digits.
func (p *parser) numbered(t token, f flags) *node {
	digits := string(t.r)
	if p.next.in("0123456789") {
		digits += string(p.get().r)
		if strings.Contains(octal, digits[:1]) && strings.Contains(octal, digits[1:]) && p.next.in(octal) {
			digits += string(p.get().r)
			n, _ := strconv.ParseUint(digits, 8, 32)
			if n > 0o377 {
				p.fail(`octal escape value \`+digits+` outside of range 0-0o377`, 4)
			}
			return oneRune(rune(n), f)
		}
	}
	g, _ := strconv.Atoi(digits)
	switch {
	case g >= len(p.groups):
		p.fail("invalid group reference "+itoa(g), len(digits))
	case !p.groups[g].closed:
		p.fail("cannot refer to an open group", len(digits)+1)
	default:
		p.checkLookBehind(g)
		return p.reference(g, f, true)
	}
	return &node{kind: kindEmpty}
}

// coded reads the escapes that set and sequence have in common: \x, \u, \U, \N
// and any character that is no ASCII letter or digit.
func (p *parser) coded(t token) (rune, bool) {
	n := map[rune]int{'x': 2, 'u': 4, 'U': 8}[t.r]
	switch {
	case n > 0:
		digits := p.while(n, hex)
		text := t.text() + digits
		if len(digits) != n {
			p.fail("incomplete escape "+text, len(text))
			return 0, false
		}
		v, _ := strconv.ParseUint(digits, 16, 64)
		if v > maxRune {
			p.fail("bad escape "+text, len(text))
			return 0, false
		}
		return rune(v), true
	case t.r == 'N':
		return p.namedRune()
	case 'a' <= t.r && t.r <= 'z', 'A' <= t.r && t.r <= 'Z', '0' <= t.r && t.r <= '9':
		p.fail("bad escape "+t.text(), 2)
		return 0, false
	}
	return t.r, true
}

// namedRune reads the name of \N{...}.
func (p *parser) namedRune() (rune, bool) {
	if !p.match('{') {
		p.fail("missing {", 0)
		return 0, false
	}
	name := p.until('}', "character name")
	if p.err != nil {
		return 0, false
	}
	r, ok := named(name)
	if !ok {
		p.fail("undefined character name "+Repr(name), length(name)+4)
	}
	return r, ok
}

// charSet reads a set behind its "[".
func (p *parser) charSet(f flags) *node {
	here := p.tell() - 1
	negate := p.match('^')
	var plain, classes []rune
	for n := 0; p.err == nil; n++ {
		t := p.get()
		if t == end {
			p.fail("unterminated character set", p.tell()-here)
			break
		}
		if t.is(']') && n > 0 {
			break
		}
		lo, class, one := p.member(t, f)
		if !p.match('-') {
			plain, classes = addMember(plain, classes, lo, class, one)
			continue
		}
		t2 := p.get()
		switch {
		case t2 == end:
			p.fail("unterminated character set", p.tell()-here)
		case t2.is(']'):
			plain, classes = addMember(plain, classes, lo, class, one)
			plain = append(plain, '-', '-')
			return finishSet(plain, classes, negate, f)
		default:
			hi, _, oneHi := p.member(t2, f)
			if p.err == nil && (!one || !oneHi || hi < lo) {
				p.fail("bad character range "+t.text()+"-"+t2.text(), t.width()+1+t2.width())
			}
			plain = append(plain, lo, hi)
		}
	}
	if p.err != nil {
		return &node{kind: kindEmpty}
	}
	return finishSet(plain, classes, negate, f)
}

// member reads one member of a set: a character (one is true) or a class.
func (p *parser) member(t token, f flags) (r rune, members set, one bool) {
	if !t.escape {
		return t.r, nil, true
	}
	if c, ok := controls[t.r]; ok {
		return c, nil, true
	}
	if s, ok := class(t.r, f.ascii); ok {
		return 0, s, false
	}
	if t.in(octal) || strings.ContainsRune(octal, t.r) {
		digits := string(t.r) + p.while(2, octal)
		n, _ := strconv.ParseUint(digits, 8, 32)
		if n > 0o377 {
			p.fail(`octal escape value \`+digits+` outside of range 0-0o377`, len(digits)+1)
		}
		return rune(n), nil, true
	}
	r, _ = p.coded(t)
	return r, nil, true
}

func addMember(plain, classes []rune, r rune, members set, one bool) (newPlain, newClasses []rune) {
	if one {
		return append(plain, r, r), classes
	}
	return plain, append(classes, members...)
}

// finishSet applies case and negation. Classes are not folded: no letter's
// class depends on its case.
func finishSet(plain, classes []rune, negate bool, f flags) *node {
	s := normal(plain)
	if f.ignoreCase {
		s = foldSet(s, f.ascii)
	}
	s = normal(append(append([]rune(nil), s...), classes...))
	if negate {
		s = s.negated()
	}
	return &node{kind: kindSet, set: s, lo: 1, hi: 1}
}

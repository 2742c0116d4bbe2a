package pyre

import (
	"slices"
	"sync"
	"unicode"
)

// set is a set of characters: pairs of first and last, ascending, neither
// overlapping nor touching.
type set []rune

const maxRune = unicode.MaxRune

func singleton(r rune) set { return set{r, r} }

// normal sorts and joins pairs.
func normal(pairs []rune) set {
	if len(pairs) <= 2 {
		return pairs
	}
	type pair struct{ lo, hi rune }
	ps := make([]pair, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		ps = append(ps, pair{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(ps, func(a, b pair) int { return int(a.lo - b.lo) })
	s := set{ps[0].lo, ps[0].hi}
	for _, p := range ps[1:] {
		if last := len(s) - 1; p.lo <= s[last]+1 {
			s[last] = max(s[last], p.hi)
		} else {
			s = append(s, p.lo, p.hi)
		}
	}
	return s
}

// negated is the set of all other characters.
func (s set) negated() set {
	var out set
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > next {
			out = append(out, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= maxRune {
		out = append(out, next, maxRune)
	}
	return out
}

// has tells whether r is in the set.
func (s set) has(r rune) bool {
	lo, hi := 0, len(s)/2
	for lo < hi {
		m := (lo + hi) / 2
		switch {
		case r < s[2*m]:
			hi = m
		case r > s[2*m+1]:
			lo = m + 1
		default:
			return true
		}
	}
	return false
}

// within is the part of the set from lo to hi.
func (s set) within(lo, hi rune) set {
	var out set
	for i := 0; i < len(s); i += 2 {
		if a, b := max(s[i], lo), min(s[i+1], hi); a <= b {
			out = append(out, a, b)
		}
	}
	return out
}

// Character classes of CPython's sre module: of ASCII text (flag a) and of
// Unicode text, where \w is str.isalnum or "_", \d str.isdecimal and \s
// str.isspace.
var (
	asciiDigit = set{'0', '9'}
	asciiWord  = set{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	asciiSpace = set{'\t', '\r', ' ', ' '}
	uniSpace   = set{'\t', '\r', 0x1c, ' ', 0x85, 0x85, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a,
		0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000}
	uniDigit = sync.OnceValue(func() set { return tableSet(unicode.Nd) })
	uniWord  = sync.OnceValue(func() set {
		return tableSet(unicode.L, unicode.N, &unicode.RangeTable{R16: []unicode.Range16{{Lo: '_', Hi: '_', Stride: 1}}})
	})
)

func tableSet(tables ...*unicode.RangeTable) set {
	var pairs []rune
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			pairs = append(pairs, lo, hi)
			return
		}
		for r := lo; r <= hi; r += stride {
			pairs = append(pairs, r, r)
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return normal(pairs)
}

// class returns the set of \d, \s or \w, negated for upper case letters; false
// for other letters.
func class(letter rune, ascii bool) (set, bool) {
	var s set
	switch letter {
	case 'd', 'D':
		if s = asciiDigit; !ascii {
			s = uniDigit()
		}
	case 's', 'S':
		if s = asciiSpace; !ascii {
			s = uniSpace
		}
	case 'w', 'W':
		s = word(ascii)
	default:
		return nil, false
	}
	if letter < 'a' {
		return s.negated(), true
	}
	return s, true
}

// word is the set of \w.
func word(ascii bool) set {
	if ascii {
		return asciiWord
	}
	return uniWord()
}

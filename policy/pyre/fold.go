package pyre

import (
	"sync"
	"unicode"
)

// sameUpper lists lower-case characters that CPython takes as equal without
// case because their upper case is the same (Lib/re/_casefix.py), each string
// one class.
var sameUpper = []string{
	"i\u0131", "s\u017f", "\u00b5\u03bc", "\u0345\u03b9\u1fbe", "\u0390\u1fd3", "\u03b0\u1fe3", "\u03b2\u03d0",
	"\u03b5\u03f5", "\u03b8\u03d1", "\u03ba\u03f0", "\u03c0\u03d6", "\u03c1\u03f1", "\u03c2\u03c3", "\u03c6\u03d5",
	"\u0432\u1c80", "\u0434\u1c81", "\u043e\u1c82", "\u0441\u1c83", "\u0442\u1c84\u1c85", "\u044a\u1c86",
	"\u0463\u1c87", "\u1c88\ua64b", "\u1e61\u1e9b", "\ufb05\ufb06",
}

// foldClasses maps each character that equals another one without case to all
// characters of its class.
var foldClasses = sync.OnceValue(func() map[rune][]rune {
	lead := map[rune]rune{}
	for _, class := range sameUpper {
		var first rune
		for i, r := range class {
			if i == 0 {
				first = r
			}
			lead[r] = first
		}
	}
	of := func(r rune) rune {
		low := unicode.ToLower(r)
		if l, ok := lead[low]; ok {
			return l
		}
		return low
	}
	members := map[rune][]rune{}
	add := func(r rune) {
		if l := of(r); l != r {
			if members[l] == nil {
				members[l] = []rune{l}
			}
			members[l] = append(members[l], r)
		}
	}
	// Only these categories have other lower-case characters.
	for _, table := range []*unicode.RangeTable{unicode.Lu, unicode.Lt, unicode.Nl, unicode.So} {
		s := tableSet(table)
		for i := 0; i < len(s); i += 2 {
			for r := s[i]; r <= s[i+1]; r++ {
				add(r)
			}
		}
	}
	for r := range lead {
		add(r)
	}
	classes := make(map[rune][]rune, 3*len(members))
	for _, class := range members {
		for _, r := range class {
			classes[r] = class
		}
	}
	return classes
})

// foldSet adds all characters that equal a member without case. In ASCII mode
// these are the letters a to z alone.
//
// CPython has a defect here that is not copied: inside a set, capital letters
// above U+FFFF do not match themselves.
func foldSet(s set, ascii bool) set {
	pairs := append([]rune(nil), s...)
	if ascii {
		for _, p := range s.within('A', 'Z') {
			pairs = append(pairs, p+'a'-'A')
		}
		for _, p := range s.within('a', 'z') {
			pairs = append(pairs, p-('a'-'A'))
		}
		return normal(pairs)
	}
	if len(s) == 2 && s[0] == s[1] {
		for _, other := range foldClasses()[s[0]] {
			pairs = append(pairs, other, other)
		}
		return normal(pairs)
	}
	for r, class := range foldClasses() {
		if s.has(r) {
			for _, other := range class {
				pairs = append(pairs, other, other)
			}
		}
	}
	return normal(pairs)
}

package pyre

import "unicode"

// Letters of the flags that a group may not switch, of those that exclude each
// other, and of all.
const (
	globalOnly = "t"
	typeFlags  = "auL"
	allFlags   = "aiLmstux"
)

// flags reads the letters behind "(?", of which t is the first, into f. It
// returns true at the end of global flags, whose ")" it consumes, and else
// consumes the ":".
func (p *parser) flags(f *flags, t token) (global bool) {
	added, removed := "", ""
	if !t.is('-') {
		var ok bool
		if added, t, ok = p.addedFlags(t); !ok {
			return false
		}
	}
	if t.is(')') {
		for _, c := range added {
			f.set(c, true)
			p.typeA = p.typeA || c == 'a'
			p.typeU = p.typeU || c == 'u'
		}
		return true
	}
	if anyOf(added, globalOnly) {
		p.fail("bad inline flags: cannot turn on global flag", 1)
		return false
	}
	if t.is('-') {
		removed = p.removedFlags()
	}
	switch {
	case p.err != nil:
		return false
	case anyOf(removed, globalOnly):
		p.fail("bad inline flags: cannot turn off global flag", 1)
	case anyOf(added, removed):
		p.fail("bad inline flags: flag turned on and off", 1)
	}
	for _, c := range added {
		f.set(c, true)
	}
	for _, c := range removed {
		f.set(c, false)
	}
	return false
}

// addedFlags reads letters up to ")", "-" or ":".
func (p *parser) addedFlags(t token) (added string, after token, ok bool) {
	kind := rune(0)
	for {
		if t.is('L') {
			p.fail("bad inline flags: cannot use 'L' flag with a str pattern", 0)
			return "", t, false
		}
		added += string(t.r)
		if anyOf(string(t.r), typeFlags) {
			if kind != 0 && kind != t.r {
				p.fail("bad inline flags: flags 'a', 'u' and 'L' are incompatible", 0)
				return "", t, false
			}
			kind = t.r
		}
		t = p.get()
		switch {
		case t == end:
			p.fail("missing -, : or )", 0)
			return "", t, false
		case t.in(")-:"):
			return added, t, true
		case !t.in(allFlags):
			p.unknownFlag(t, "missing -, : or )")
			return "", t, false
		}
	}
}

// removedFlags reads the letters behind "-" and the ":".
func (p *parser) removedFlags() string {
	t := p.get()
	if t == end {
		p.fail("missing flag", 0)
		return ""
	}
	if !t.in(allFlags) {
		p.unknownFlag(t, "missing flag")
		return ""
	}
	removed := ""
	for {
		if t.in(typeFlags) {
			p.fail("bad inline flags: cannot turn off flags 'a', 'u' and 'L'", 0)
			return ""
		}
		removed += string(t.r)
		t = p.get()
		switch {
		case t == end:
			p.fail("missing :", 0)
			return ""
		case t.is(':'):
			return removed
		case !t.in(allFlags):
			p.unknownFlag(t, "missing :")
			return ""
		}
	}
}

// unknownFlag refuses a character that is no flag.
func (p *parser) unknownFlag(t token, missing string) {
	if !t.escape && unicode.IsLetter(t.r) {
		missing = "unknown flag"
	}
	p.fail(missing, t.width())
}

// set switches one flag; a and u are the two values of one.
func (f *flags) set(letter rune, on bool) {
	switch letter {
	case 'i':
		f.ignoreCase = on
	case 'm':
		f.multiLine = on
	case 's':
		f.dotAll = on
	case 'x':
		f.verbose = on
	case 't':
		f.template = on
	case 'a':
		f.ascii = true
	case 'u':
		f.ascii = false
	}
}

// anyOf tells whether a and b share a letter.
func anyOf(a, b string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

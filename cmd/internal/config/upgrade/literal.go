package upgrade

import (
	"math/big"
	"slices"
	"strings"
)

// evalLiteral reads a Python literal as ast.literal_eval does: texts, numbers,
// tuples, lists, sets, dicts, True, False, None and Ellipsis. ok is false for
// everything else, where Python raises an error of one kind or other. Not
// understood are \N{...} and halves of surrogate pairs.
func evalLiteral(text string) (v literal, ok bool) {
	p := &literalReader{rest: strings.TrimLeft(text, " \t")}
	if strings.ContainsRune(text, 0) {
		return literal{}, false
	}
	if !p.leadingLines() {
		return literal{}, false
	}
	items, tuple, ok := p.items("")
	if !ok || len(items) == 0 || !p.ended() {
		return literal{}, false
	}
	if tuple {
		return literal{kind: kindTuple, items: items}, true
	}
	return items[0], true
}

// literalReader reads from the beginning of rest. Inside of brackets, whose
// number is depth, line ends are blanks.
type literalReader struct {
	rest  string
	depth int
}

// maxDepth is how many brackets Python's parser has open at a time.
const maxDepth = 200

// leadingLines skips empty lines and comments; the first line with something in
// it must not be indented.
func (p *literalReader) leadingLines() bool {
	for {
		line := strings.TrimLeft(p.rest, " \t\f")
		switch {
		case strings.HasPrefix(line, "\n"):
			p.rest = line[1:]
		case strings.HasPrefix(line, "#"):
			_, after, found := strings.Cut(line, "\n")
			if !found {
				return false
			}
			p.rest = after
		default:
			return line == p.rest || strings.HasPrefix(p.rest, "\f")
		}
	}
}

// ended says that nothing but blanks, line ends and comments is left.
func (p *literalReader) ended() bool {
	p.blank()
	for p.rest != "" {
		if !p.take("\n") {
			return false
		}
		p.blank()
	}
	return true
}

func (p *literalReader) take(token string) bool {
	rest, found := strings.CutPrefix(p.rest, token)
	if found {
		p.rest = rest
	}
	return found
}

// blank skips what may stand between tokens.
func (p *literalReader) blank() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\f")
		switch {
		case p.depth > 0 && p.take("\n"):
		case strings.HasPrefix(p.rest, "\\\n") && len(p.rest) > 2:
			p.rest = p.rest[2:]
		case strings.HasPrefix(p.rest, "#"):
			if i := strings.IndexByte(p.rest, '\n'); i >= 0 {
				p.rest = p.rest[i:]
			} else {
				p.rest = ""
			}
		default:
			return
		}
	}
}

// items reads expressions with commas between them up to a bracket, which is
// taken, or without one up to the end. comma says that there was one.
func (p *literalReader) items(end string) (items []literal, comma, ok bool) {
	for {
		p.blank()
		if p.closes(end) {
			return items, comma, true
		}
		v, ok := p.expression()
		if !ok {
			return nil, false, false
		}
		items = append(items, v)
		p.blank()
		if p.closes(end) {
			return items, comma, true
		}
		if !p.take(",") {
			return nil, false, false
		}
		comma = true
	}
}

func (p *literalReader) closes(end string) bool {
	if end == "" {
		return p.rest == "" || p.rest[0] == '\n'
	}
	if p.take(end) {
		p.depth--
		return true
	}
	return false
}

func (p *literalReader) opens(bracket string) bool {
	if p.depth >= maxDepth || !p.take(bracket) {
		return false
	}
	p.depth++
	return true
}

// expression is an operand, or a real and an imaginary number with a sign
// between.
func (p *literalReader) expression() (literal, bool) {
	left, _, ok := p.operand()
	if !ok {
		return left, false
	}
	p.blank()
	minus := strings.HasPrefix(p.rest, "-")
	if !minus && !strings.HasPrefix(p.rest, "+") {
		return left, true
	}
	p.rest = p.rest[1:]
	p.blank()
	right, signed, ok := p.operand()
	real, isReal := left.real()
	if !ok || signed || !isReal || right.kind != kindComplex {
		return left, false
	}
	imag := right.imag
	if minus {
		imag = -imag
	}
	return literal{kind: kindComplex, float: real, imag: imag}, true
}

// operand is an atom, or a number with a sign.
func (p *literalReader) operand() (v literal, signed, ok bool) {
	p.blank()
	minus := p.take("-")
	signed = minus || p.take("+")
	if signed {
		p.blank()
	}
	v, ok = p.atom()
	if !ok || !signed {
		return v, false, ok
	}
	switch v.kind {
	case kindInt, kindFloat, kindComplex:
	default:
		return v, true, false
	}
	if minus {
		v = v.negated()
	}
	return v, true, true
}

func (p *literalReader) atom() (literal, bool) {
	if p.rest == "" {
		return literal{}, false
	}
	switch c := p.rest[0]; {
	case p.opens("["):
		items, _, ok := p.items("]")
		return literal{kind: kindList, items: items}, ok
	case p.opens("("):
		items, comma, ok := p.items(")")
		if ok && len(items) == 1 && !comma {
			return items[0], true
		}
		return literal{kind: kindTuple, items: items}, ok
	case p.opens("{"):
		return p.braces()
	case c >= '0' && c <= '9', c == '.' && len(p.rest) > 1 && p.rest[1] >= '0' && p.rest[1] <= '9':
		return p.number()
	case p.take("..."):
		return literal{kind: kindName, text: "Ellipsis"}, true
	}
	if v, isText, ok := p.texts(); isText {
		return v, ok
	}
	name := p.word()
	p.rest = p.rest[len(name):]
	switch name {
	case "True", "False", "None":
		return literal{kind: kindName, text: name}, true
	case "set":
		p.blank()
		if !p.opens("(") {
			return literal{}, false
		}
		items, comma, ok := p.items(")")
		return literal{kind: kindSet}, ok && len(items) == 0 && !comma
	}
	return literal{}, false
}

// word is the name or number at the beginning.
func (p *literalReader) word() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80)
	})
	if end < 0 {
		return p.rest
	}
	return p.rest[:end]
}

// braces is a set or a dict. A member that equals an earlier one replaces its
// value and keeps its place.
func (p *literalReader) braces() (literal, bool) {
	v := literal{kind: kindDict}
	p.blank()
	if p.closes("}") {
		return v, true
	}
	var seen []string
	for {
		key, ok := p.expression()
		if !ok {
			return v, false
		}
		p.blank()
		if len(v.items) == 0 && !strings.HasPrefix(p.rest, ":") {
			v.kind = kindSet
		}
		pair := literal{items: []literal{key}}
		if v.kind == kindDict {
			if !p.take(":") {
				return v, false
			}
			value, ok := p.expression()
			if !ok {
				return v, false
			}
			pair.items = append(pair.items, value)
			p.blank()
		}
		hash, hashable := key.hash()
		if !hashable {
			return v, false
		}
		if i := slices.Index(seen, hash); i < 0 {
			seen, v.items = append(seen, hash), append(v.items, pair)
		} else if v.kind == kindDict {
			v.items[i].items[1] = pair.items[1]
		}
		if p.closes("}") {
			return v, true
		}
		if !p.take(",") {
			return v, false
		}
		p.blank()
		if p.closes("}") {
			return v, true
		}
	}
}

// number reads an integer or a float, with a j behind an imaginary one.
func (p *literalReader) number() (literal, bool) {
	n := p.numeral()
	if n == 0 {
		return literal{}, false
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	imaginary := p.take("j") || p.take("J")
	if p.word() != "" || strings.HasPrefix(p.rest, ".") {
		return literal{}, false
	}
	clean := strings.ReplaceAll(text, "_", "")
	if imaginary || strings.ContainsAny(clean, ".eE") && !strings.HasPrefix(strings.ToLower(clean), "0x") {
		f := parseFloat(clean)
		if imaginary {
			return literal{kind: kindComplex, imag: f}, true
		}
		return literal{kind: kindFloat, float: f}, true
	}
	i, ok := new(big.Int).SetString(clean, 0)
	if strings.Trim(clean, "0") == "" {
		i, ok = new(big.Int), true
	} else if clean[0] == '0' && clean[1] >= '0' && clean[1] <= '9' {
		return literal{}, false // 0777 is no number in Python
	}
	if !ok || len(clean) > 4300 {
		return literal{}, false
	}
	return literal{kind: kindInt, int: i}, true
}

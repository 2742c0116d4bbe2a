package upgrade

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

type literalKind int

const (
	kindName literalKind = iota // True, False, None, Ellipsis
	kindString
	kindBytes
	kindInt
	kindFloat
	kindComplex
	kindTuple
	kindList
	kindSet
	kindDict
)

// literal is a value of Python's.
type literal struct {
	kind        literalKind
	text        string // name, text, or bytes
	int         *big.Int
	float, imag float64
	// items are the members; those of a set are literals of one item, those of a
	// dict of two.
	items []literal
}

// real is the value of an integer or a float.
func (v literal) real() (float64, bool) {
	switch v.kind {
	case kindInt:
		f, _ := new(big.Float).SetInt(v.int).Float64()
		return f, !math.IsInf(f, 0)
	case kindFloat:
		return v.float, true
	}
	return 0, false
}

func (v literal) negated() literal {
	switch v.kind {
	case kindInt:
		v.int = new(big.Int).Neg(v.int)
	case kindFloat, kindComplex:
		v.float, v.imag = -v.float, -v.imag
	}
	return v
}

// repr is how Python prints the value. Members of sets keep their order, which
// Python's do not.
func (v literal) repr() string {
	switch v.kind {
	case kindName:
		return v.text
	case kindString:
		return pyjson.Quote(v.text)
	case kindBytes:
		return bytesRepr(v.text)
	case kindInt:
		return v.int.String()
	case kindFloat:
		return floatRepr(v.float)
	case kindComplex:
		imag := strings.TrimSuffix(floatRepr(v.imag), ".0") + "j"
		if v.float == 0 && !math.Signbit(v.float) {
			return imag
		}
		if imag[0] != '-' {
			imag = "+" + imag
		}
		return "(" + strings.TrimSuffix(floatRepr(v.float), ".0") + imag + ")"
	}
	var parts []string
	for _, item := range v.items {
		switch v.kind {
		case kindSet:
			parts = append(parts, item.items[0].repr())
		case kindDict:
			parts = append(parts, item.items[0].repr()+": "+item.items[1].repr())
		default:
			parts = append(parts, item.repr())
		}
	}
	inner := strings.Join(parts, ", ")
	switch {
	case v.kind == kindList:
		return "[" + inner + "]"
	case v.kind == kindSet && len(parts) == 0:
		return "set()"
	case v.kind == kindTuple && len(parts) == 1:
		return "(" + inner + ",)"
	case v.kind == kindTuple:
		return "(" + inner + ")"
	}
	return "{" + inner + "}"
}

// hash is the same for values that are equal, as 1, 1.0 and True are.
func (v literal) hash() (string, bool) {
	switch v.kind {
	case kindName:
		switch v.text {
		case "True":
			return "1", true
		case "False":
			return "0", true
		}
		return v.text, true
	case kindString, kindBytes:
		return v.repr(), true
	case kindInt:
		return v.int.String(), true
	case kindFloat, kindComplex:
		if v.imag != 0 {
			return v.repr(), true
		}
		if v.float == math.Trunc(v.float) && !math.IsInf(v.float, 0) {
			i, _ := big.NewFloat(v.float).Int(nil)
			return i.String(), true
		}
		return floatRepr(v.float), true
	case kindTuple:
		var b strings.Builder
		for _, item := range v.items {
			h, ok := item.hash()
			if !ok {
				return "", false
			}
			fmt.Fprintf(&b, "%d:%s,", len(h), h)
		}
		return "(" + b.String() + ")", true
	}
	return "", false
}

func parseFloat(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64) // out of range is infinite, as in Python
	return f
}

// floatRepr is a float as Python prints it: the shortest form that reads back,
// with an exponent from 1e16 and below 1e-4.
func floatRepr(f float64) string {
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)), "+")
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(scientific, "e")
	if n, _ := strconv.Atoi(exponent); f != 0 && (n < -4 || n >= 16) {
		return scientific
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}

func bytesRepr(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteString("b" + string(quote))
	for i := range len(s) {
		switch c := s[i]; {
		case c == quote || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

package ek

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// textLimit is how much of a name from a certificate is shown, in bytes.
const textLimit = 300

// name is a distinguished name (RFC 5280, section 4.1.2.4).
type name struct {
	// canonical is equal for names whose attributes have equal values, be the
	// strings of whatever type and the attributes of one set in whatever order.
	canonical string
	text      string // for people: "C=CH, O=Maker, CN=Intermediate CA 05"
}

// attribute is one attribute of a name.
type attribute struct{ oid, value string }

// parseName reads a Name.
func parseName(e element) (name, error) {
	rdns, err := nameAttributes(e)
	if err != nil {
		return name{}, err
	}
	var n name
	var texts []string
	for _, rdn := range rdns {
		var keys []string
		for _, a := range rdn {
			keys = append(keys, a.oid+"="+strconv.Quote(a.value))
			texts = append(texts, attributeName(a.oid)+"="+printable(a.value))
		}
		slices.Sort(keys)
		n.canonical += strings.Join(keys, "+") + "\n"
	}
	n.text = strings.Join(texts, ", ")
	if len(n.text) > textLimit {
		n.text = strings.ToValidUTF8(n.text[:textLimit], "") + "..."
	}
	return n, nil
}

// nameAttributes are the attributes of a Name, set by set.
func nameAttributes(e element) ([][]attribute, error) {
	sets, err := sequence(e, "name")
	if err != nil {
		return nil, err
	}
	var rdns [][]attribute
	for _, set := range sets {
		if !set.is(classUniversal, tagSet) {
			return nil, errors.New("name: a part is not a SET")
		}
		members, err := children(set.body)
		if err != nil {
			return nil, fmt.Errorf("name: %w", err)
		}
		var rdn []attribute
		for _, m := range members {
			a, err := parseAttribute(m)
			if err != nil {
				return nil, fmt.Errorf("attribute of a name: %w", err)
			}
			rdn = append(rdn, a)
		}
		rdns = append(rdns, rdn)
	}
	return rdns, nil
}

// parseAttribute reads type and value; what follows them is ignored.
func parseAttribute(e element) (attribute, error) {
	if !e.is(classUniversal, tagSequence) {
		return attribute{}, errors.New("it is not a SEQUENCE")
	}
	kind, rest, err := readElement(e.body)
	if err != nil {
		return attribute{}, err
	}
	id, err := oid(kind)
	if err != nil {
		return attribute{}, err
	}
	value, _, err := readElement(rest)
	if err != nil {
		return attribute{}, err
	}
	return attribute{oid: id, value: stringValue(value)}, nil
}

// stringValue is the text of a string of any type; of anything else the bytes
// in hex.
func stringValue(e element) string {
	const utf8String, numeric, printableString, t61, ia5, visible, universal, bmp = 12, 18, 19, 20, 22, 26, 28, 30
	if e.class != classUniversal {
		return "#" + hex.EncodeToString(e.full)
	}
	switch e.tag {
	case utf8String, numeric, printableString, ia5, visible:
		return string(e.body)
	case t61: // as good as always Latin-1
		runes := make([]rune, len(e.body))
		for i, b := range e.body {
			runes[i] = rune(b)
		}
		return string(runes)
	case bmp:
		units := make([]uint16, len(e.body)/2)
		for i := range units {
			units[i] = uint16(e.body[2*i])<<8 | uint16(e.body[2*i+1])
		}
		return string(utf16.Decode(units))
	case universal:
		var runes []rune
		for i := 0; i+4 <= len(e.body); i += 4 {
			runes = append(runes, rune(e.body[i])<<24|rune(e.body[i+1])<<16|rune(e.body[i+2])<<8|rune(e.body[i+3]))
		}
		return string(runes)
	}
	return "#" + hex.EncodeToString(e.full)
}

// attributeName is the usual short name of an attribute type, or its number.
func attributeName(id string) string {
	switch id {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	}
	return id
}

// printable makes text of a certificate fit for a terminal.
func printable(text string) string {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

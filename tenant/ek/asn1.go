package ek

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// EK certificates in the field are not always DER: sets out of order, lengths
// longer than need be, negative serial numbers, text of the wrong kind.
// crypto/x509 and encoding/asn1 refuse those, rightly for the web. Here a
// signature over the very bytes decides, so a certificate is only walked: this
// file reads BER (ITU-T X.690, section 8) of definite and indefinite length.

const (
	maxDepth = 32 // of values within values of indefinite length

	tagBoolean     = 1
	tagInteger     = 2
	tagBitString   = 3
	tagOctetString = 4
	tagOID         = 6
	tagSequence    = 16
	tagSet         = 17

	classUniversal = 0
	classContext   = 2
)

// errCut: a value ends before its announced length.
var errCut = errors.New("it is cut short")

// element is one ASN.1 value: full with its header, body without.
type element struct {
	class, tag  int
	constructed bool
	full, body  []byte
}

func (e element) is(class, tag int) bool { return e.class == class && e.tag == tag }

// readElement takes the first value off data.
func readElement(data []byte) (e element, rest []byte, err error) { return readNested(data, 0) }

func readNested(data []byte, depth int) (e element, rest []byte, err error) {
	if len(data) < 2 {
		return element{}, nil, errCut
	}
	e = element{class: int(data[0] >> 6), constructed: data[0]&0x20 != 0, tag: int(data[0] & 0x1f)}
	head := 1
	if e.tag == 0x1f { // a tag of several octets: nothing we look for has one
		for e.tag = 0; ; head++ {
			if head >= len(data) || head > 4 {
				return element{}, nil, errors.New("a tag is cut short or too long")
			}
			e.tag = e.tag<<7 | int(data[head]&0x7f)
			if data[head]&0x80 == 0 {
				head++
				break
			}
		}
		if head >= len(data) {
			return element{}, nil, errCut
		}
	}
	length := int(data[head])
	head++
	switch {
	case length == 0x80:
		return readIndefinite(e, data, head, depth)
	case length > 0x80:
		octets := length & 0x7f
		if octets > 8 || head+octets > len(data) {
			return element{}, nil, errCut
		}
		// Not an int, which has 32 bits on some machines: it could become negative.
		long := uint64(0)
		for _, b := range data[head : head+octets] {
			if long > uint64(len(data)) {
				return element{}, nil, errCut
			}
			long = long<<8 | uint64(b)
		}
		if long > uint64(len(data)) {
			return element{}, nil, errCut
		}
		length = int(long)
		head += octets
	}
	if length > len(data)-head {
		return element{}, nil, errCut
	}
	e.full, e.body = data[:head+length], data[head:head+length]
	return e, data[head+length:], nil
}

// readIndefinite reads a value that two zero octets end.
func readIndefinite(e element, data []byte, head, depth int) (element, []byte, error) {
	if !e.constructed || depth >= maxDepth {
		return element{}, nil, errors.New("a value without length that cannot have any")
	}
	at := head
	for {
		if len(data)-at >= 2 && data[at] == 0 && data[at+1] == 0 {
			e.body, e.full = data[head:at], data[:at+2]
			return e, data[at+2:], nil
		}
		inner, _, err := readNested(data[at:], depth+1)
		if err != nil {
			return element{}, nil, err
		}
		at += len(inner.full)
	}
}

// children splits the body of a constructed value.
func children(body []byte) ([]element, error) {
	var list []element
	for len(body) > 0 {
		e, rest, err := readElement(body)
		if err != nil {
			return nil, err
		}
		list, body = append(list, e), rest
	}
	return list, nil
}

// sequence demands a SEQUENCE and splits it.
func sequence(e element, what string) ([]element, error) {
	if !e.is(classUniversal, tagSequence) {
		return nil, fmt.Errorf("%s is not a SEQUENCE", what)
	}
	list, err := children(e.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}

// sequenceOf reads data that is one SEQUENCE and splits it.
func sequenceOf(data []byte, what string) ([]element, error) {
	e, _, err := readElement(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return sequence(e, what)
}

// oid reads an OBJECT IDENTIFIER in dotted form.
func oid(e element) (string, error) {
	if !e.is(classUniversal, tagOID) {
		return "", errors.New("an object identifier is missing")
	}
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(append([]byte{tagOID, byte(len(e.body))}, e.body...), &id); err != nil || len(e.body) > 127 {
		return "", errors.New("an object identifier is malformed")
	}
	return id.String(), nil
}

// integer reads an INTEGER of any length and sign.
func integer(e element) (*big.Int, error) {
	if !e.is(classUniversal, tagInteger) || len(e.body) == 0 {
		return nil, errors.New("an INTEGER is missing")
	}
	n := new(big.Int).SetBytes(e.body)
	if e.body[0]&0x80 != 0 { // two's complement
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(e.body))*8))
	}
	return n, nil
}

// bits reads a BIT STRING of whole octets.
func bits(e element) ([]byte, error) {
	if !e.is(classUniversal, tagBitString) || len(e.body) == 0 || e.body[0] > 7 {
		return nil, errors.New("a BIT STRING is missing")
	}
	return e.body[1:], nil
}

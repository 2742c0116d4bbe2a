//go:build unix

package tpmdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// busMessage is what counts of a message.
type busMessage struct {
	kind      byte
	replyTo   uint32
	errorName string
	// text is the first text of the body, as errors have it.
	text string
}

// readBusMessage reads a message. Values in the header that are none of the few
// kinds that headers have end the reading with an error.
func readBusMessage(r io.Reader) (m busMessage, err error) {
	var fixed [16]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return m, err
	}
	order := binary.ByteOrder(binary.LittleEndian)
	switch fixed[0] {
	case 'l':
	case 'B':
		order = binary.BigEndian
	default:
		return m, errors.New("this is no message of a bus")
	}
	m.kind = fixed[1]
	body, fields := order.Uint32(fixed[4:]), order.Uint32(fixed[12:])
	if fields > maxBusFields || body > maxBusBody {
		return m, fmt.Errorf("a message of %d + %d bytes is too long", fields, body)
	}
	header := make([]byte, fields+-fields&7)
	if _, err := io.ReadFull(r, header); err != nil {
		return m, err
	}
	content := make([]byte, body)
	if _, err := io.ReadFull(r, content); err != nil {
		return m, err
	}
	c := busCursor{order: order, left: header[:fields]}
	for len(c.left) > 0 && c.err == nil {
		c.align(8)
		code, value, number := c.field()
		switch code {
		case fieldErrorName:
			m.errorName = value
		case fieldReplyTo:
			m.replyTo = number
		}
	}
	if m.kind == busError {
		// Its body begins with a text, or is something else, which is not told.
		if text := (busCursor{order: order, left: content}); len(content) > 0 {
			m.text = text.text()
		}
	}
	return m, c.err
}

// busCursor reads values one after the other.
type busCursor struct {
	order binary.ByteOrder
	left  []byte
	at    int
	err   error
}

// take gives the next n bytes, nil if there are not that many.
func (c *busCursor) take(n int) []byte {
	if c.err == nil && n > len(c.left) {
		c.err = errors.New("a message of the bus is cut off")
	}
	if c.err != nil {
		return nil
	}
	taken := c.left[:n]
	c.left, c.at = c.left[n:], c.at+n
	return taken
}

func (c *busCursor) align(n int) { c.take(-c.at & (n - 1)) }

func (c *busCursor) octet() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *busCursor) number() uint32 {
	c.align(4)
	if b := c.take(4); b != nil {
		return c.order.Uint32(b)
	}
	return 0
}

// text reads a text, which has a length in front and a zero behind.
func (c *busCursor) text() string {
	n := c.number()
	if n > maxBusBody {
		n = maxBusBody // more than there can be
	}
	text := c.take(int(n))
	c.take(1)
	return string(text)
}

// field reads a code and a variant of a kind that headers have.
func (c *busCursor) field() (code byte, text string, number uint32) {
	code = c.octet()
	switch kind := string(c.take(int(c.octet()))); kind {
	case "s", "o":
		c.take(1)
		return code, c.text(), 0
	case "u":
		c.take(1)
		return code, "", c.number()
	case "g":
		c.take(1)
		c.take(int(c.octet()) + 1)
		return code, "", 0
	default:
		if c.err == nil {
			c.err = fmt.Errorf("a header holds a value of kind %.20q", kind)
		}
		return code, "", 0
	}
}

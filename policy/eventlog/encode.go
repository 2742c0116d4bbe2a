package eventlog

import (
	"encoding/binary"
	"fmt"
)

// Encode writes the log back in its own form, padding included: for a log that
// [Parse] returned, the very octets it was parsed from. It serves those who
// change a recorded boot, as the lab does; see [Event.Measure].
//
// An event whose digests do not fit the header's banks gives [*BodyError].
func (l *Log) Encode() ([]byte, error) {
	le := binary.LittleEndian
	b := make([]byte, 0, l.Size)
	for i := range l.Events {
		e := &l.Events[i]
		b = le.AppendUint32(b, uint32(e.PCR))
		b = le.AppendUint32(b, uint32(e.Type))
		switch {
		case l.Header != nil && i == 0:
			b = append(b, make([]byte, 20)...)
		case l.Header == nil:
			if len(e.Digests) != 1 || len(e.Digests[0].Value) != SHA1.Size() {
				return nil, e.bad("%d digests, where one of SHA-1 is wanted", len(e.Digests))
			}
			b = append(b, e.Digests[0].Value...)
		default:
			b = le.AppendUint32(b, uint32(len(e.Digests)))
			for _, d := range e.Digests {
				a, ok := l.Header.algorithm(d.Bank)
				if !ok || a.Size != len(d.Value) {
					return nil, e.bad("a digest of %d octets for bank %s", len(d.Value), d.Bank)
				}
				b = le.AppendUint16(b, uint16(a.ID))
				b = append(b, d.Value...)
			}
		}
		b = le.AppendUint32(b, uint32(len(e.Data)))
		b = append(b, e.Data...)
	}
	return append(b, l.padding...), nil
}

// algorithm returns the header's entry for a bank.
func (h *SpecID) algorithm(bank string) (SpecAlgorithm, bool) {
	for _, a := range h.Algorithms {
		if a.ID.String() == bank {
			return a, true
		}
	}
	return SpecAlgorithm{}, false
}

// Measure replaces the event's digests by those of the given octets, in each
// bank that the event has. An algorithm that is unknown here gives
// [*BankError].
func (e *Event) Measure(measured []byte) error {
	digests := make([]Digest, len(e.Digests))
	for i, d := range e.Digests {
		h := NewHash(d.Bank)
		if h == nil {
			return fmt.Errorf("boot event %d: %w", e.Num, &BankError{Bank: d.Bank, Unknown: true})
		}
		h.Write(measured)
		digests[i] = Digest{Bank: d.Bank, Value: h.Sum(nil)}
	}
	e.Digests = digests
	return nil
}

package eventlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// specID03 begins the data of a crypto-agile log's header; the older
// signatures begin logs in SHA-1 form (PFP 10.4.5.1 and appendix).
const (
	specID03     = "Spec ID Event03\x00"
	sha1Header   = 32 // PCR, type, digest, length: the fixed part of TCG_PCClientPCREvent
	agileHeader  = 12 // PCR, type, number of digests: the fixed part of TCG_PCR_EVENT2
	maxDigests   = 16 // banks in one header; TPMs have up to 5
	specIDHeader = 28 // the fixed part of TCG_EfiSpecIDEvent
)

// Read reads a log from r to its end and parses it. It suits files whose size
// the system gives as 0 (securityfs) and standard input. It stops with
// KindTooLarge after [MaxSize] octets; a failing reader gives KindRead; else
// see [Parse].
func Read(r io.Reader) (*Log, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, &Error{Kind: KindRead, Offset: len(data), Cause: "the boot log cannot be read", Err: err}
	}
	return Parse(data)
}

// Parse reads a whole log. It keeps data and refers to it.
//
// Errors are of type [*Error], one of every kind but KindRead.
func Parse(data []byte) (*Log, error) {
	switch {
	case len(data) == 0:
		return nil, &Error{Kind: KindEmpty, Cause: "the boot log is empty",
			Hint: "the kernel has none: no TPM, or firmware without measured boot"}
	case len(data) > MaxSize:
		return nil, &Error{Kind: KindTooLarge, Offset: MaxSize,
			Cause: fmt.Sprintf("the boot log is larger than %d MiB", MaxSize>>20)}
	}
	p := parser{data: data, log: &Log{Size: len(data)}}
	first, ok := p.sha1Event()
	if !ok || first.PCR >= pcrCount && first.Type != NoAction {
		return nil, notALog(data)
	}
	p.log.Events = append(p.log.Events, first)
	next := p.sha1Event
	if first.Type == NoAction && bytes.HasPrefix(first.Data, []byte(specID03)) {
		if err := p.header(first); err != nil {
			return nil, err
		}
		// The header extends nothing; its digest field is not a digest.
		p.log.Events[0].Digests = nil
		next = p.agileEvent
	} else {
		p.log.Banks = []string{"sha1"}
	}
	for p.offset < len(data) {
		if p.padded() {
			break
		}
		if len(p.log.Events) == maxEvents {
			return nil, p.fault(KindTooLarge, "the boot log has more than %d events", maxEvents)
		}
		e, ok := next()
		if !ok {
			return nil, p.err
		}
		p.log.Events = append(p.log.Events, e)
	}
	return p.log, nil
}

// parser walks once over a log. After a failed step, err has the fault.
type parser struct {
	data   []byte
	offset int
	log    *Log
	err    *Error
	// digests backs the digests of many events, to allocate seldom.
	digests []Digest
}

func (p *parser) fault(kind Kind, format string, args ...any) *Error {
	p.err = &Error{Kind: kind, Offset: p.offset, Event: len(p.log.Events), Cause: fmt.Sprintf(format, args...)}
	return p.err
}

// take returns the next n octets.
func (p *parser) take(n int, what string) ([]byte, bool) {
	if rest := len(p.data) - p.offset; n > rest {
		p.fault(KindTruncated, "%s has %d octets, but the log ends after %d", what, n, rest)
		return nil, false
	}
	b := p.data[p.offset : p.offset+n : p.offset+n]
	p.offset += n
	return b, true
}

// body reads a length and that many octets of event data.
func (p *parser) body() ([]byte, bool) {
	length, ok := p.take(4, "the length of the event data")
	if !ok {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(length)
	if rest := len(p.data) - p.offset; uint64(n) > uint64(rest) {
		p.fault(KindTruncated, "the event data have %d octets, but the log ends after %d", n, rest)
		return nil, false
	}
	return p.take(int(n), "the event data")
}

// sha1Event reads a TCG_PCClientPCREvent, the SHA-1 form (PFP 10.2.1).
func (p *parser) sha1Event() (Event, bool) {
	e := Event{Num: len(p.log.Events), Offset: p.offset}
	fixed, ok := p.take(sha1Header-4, "the event's head")
	if !ok {
		return e, false
	}
	if !p.head(&e, fixed) {
		return e, false
	}
	e.Digests = p.own(1)
	e.Digests[0] = Digest{Bank: "sha1", Value: fixed[8:28:28]}
	e.Data, ok = p.body()
	return e, ok
}

// agileEvent reads a TCG_PCR_EVENT2 (PFP 10.2.2).
func (p *parser) agileEvent() (Event, bool) {
	e := Event{Num: len(p.log.Events), Offset: p.offset}
	fixed, ok := p.take(agileHeader, "the event's head")
	if !ok || !p.head(&e, fixed) {
		return e, false
	}
	n := binary.LittleEndian.Uint32(fixed[8:])
	if n > uint32(len(p.log.Banks)) {
		p.fault(KindDigests, "%d digests, where the log's header names %d banks", n, len(p.log.Banks))
		return e, false
	}
	e.Digests = p.own(int(n))
	for i := range e.Digests {
		id, ok := p.take(2, "a digest's algorithm")
		if !ok {
			return e, false
		}
		alg := Algorithm(binary.LittleEndian.Uint16(id))
		bank, size := p.bank(alg)
		if bank == "" {
			p.fault(KindDigests, "a digest of algorithm %s, which the log's header does not name", alg)
			return e, false
		}
		if e.Digest(bank) != nil {
			p.fault(KindDigests, "two digests of bank %s", bank)
			return e, false
		}
		value, ok := p.take(size, "a "+bank+" digest")
		if !ok {
			return e, false
		}
		e.Digests[i] = Digest{Bank: bank, Value: value}
	}
	e.Data, ok = p.body()
	return e, ok
}

// head fills in register and type. Only events that extend nothing may name a
// register out of range: firmware logs some with 0xFFFFFFFF.
func (p *parser) head(e *Event, fixed []byte) bool {
	pcr := binary.LittleEndian.Uint32(fixed)
	e.Type = Type(binary.LittleEndian.Uint32(fixed[4:]))
	if pcr >= pcrCount && e.Type != NoAction {
		p.offset = e.Offset
		p.fault(KindPCR, "it extends PCR %d; there are %d", pcr, pcrCount)
		return false
	}
	e.PCR = int(pcr)
	return true
}

// bank returns name and digest size of an algorithm of the header.
func (p *parser) bank(alg Algorithm) (string, int) {
	for i, a := range p.log.Header.Algorithms {
		if a.ID == alg {
			return p.log.Banks[i], a.Size
		}
	}
	return "", 0
}

// own returns n digests out of a common allocation.
func (p *parser) own(n int) []Digest {
	if n > len(p.digests) {
		p.digests = make([]Digest, max(n, 64))
	}
	d := p.digests[:n:n]
	p.digests = p.digests[n:]
	return d
}

// header reads the data of the first event of a crypto-agile log.
func (p *parser) header(first Event) error {
	b := first.Data
	bad := func(format string, args ...any) error {
		e := p.fault(KindHeader, "the log's header: "+format, args...)
		e.Event, e.Offset = 0, sha1Header
		return e
	}
	if len(b) < specIDHeader {
		return bad("%d octets are too few", len(b))
	}
	if first.PCR != 0 {
		return bad("it names PCR %d instead of 0", first.PCR)
	}
	if !bytes.Equal(first.Digests[0].Value, make([]byte, 20)) {
		return bad("its digest is not zero")
	}
	h := &SpecID{
		Signature:     string(bytes.TrimRight(b[:16], "\x00")),
		PlatformClass: binary.LittleEndian.Uint32(b[16:]),
		Minor:         b[20], Major: b[21], Errata: b[22], UintnSize: b[23],
	}
	n := binary.LittleEndian.Uint32(b[24:])
	b = b[specIDHeader:]
	if n == 0 || n > maxDigests {
		return bad("it names %d hash algorithms", n)
	}
	if len(b) < int(n)*4+1 {
		return bad("it ends before its %d hash algorithms do", n)
	}
	for range n {
		a := SpecAlgorithm{ID: Algorithm(binary.LittleEndian.Uint16(b)), Size: int(binary.LittleEndian.Uint16(b[2:]))}
		b = b[4:]
		if want := a.ID.Size(); want != 0 && a.Size != want || a.Size == 0 {
			return bad("%d octets for digests of %s", a.Size, a.ID)
		}
		for _, other := range h.Algorithms {
			if other.ID == a.ID {
				return bad("it names %s twice", a.ID)
			}
		}
		h.Algorithms = append(h.Algorithms, a)
		p.log.Banks = append(p.log.Banks, a.ID.String())
	}
	if int(b[0]) != len(b)-1 {
		return bad("it promises %d octets of vendor information and has %d", b[0], len(b)-1)
	}
	h.VendorInfo = b[1:]
	p.log.Header = h
	return nil
}

// padded recognises the unused end of a table: octets of one value, 0x00 or
// 0xFF, to the end. A real event of PCR 0 and type 0 has digests.
func (p *parser) padded() bool {
	rest := p.data[p.offset:]
	if rest[0] != 0 && rest[0] != 0xff {
		return false
	}
	for _, c := range rest {
		if c != rest[0] {
			return false
		}
	}
	p.log.Padding, p.log.padding = len(rest), rest
	p.offset = len(p.data)
	return true
}

// notALog says what the data look like instead of a log.
func notALog(data []byte) *Error {
	e := &Error{Kind: KindNotALog, Cause: "not a TCG boot event log"}
	text := bytes.TrimLeft(data[:min(len(data), 256)], "\ufeff \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("---")), bytes.HasPrefix(text, []byte("version:")):
		e.Hint = "it looks like the output of tpm2_eventlog; the binary log is wanted"
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		e.Hint = "it looks like JSON"
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}), bytes.HasPrefix(data, []byte("\xfd7zXZ")), bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		e.Hint = "it is compressed"
	case bytes.HasPrefix(data, []byte("TPM2")), bytes.HasPrefix(data, []byte("CCEL")), bytes.HasPrefix(data, []byte("TCPA")):
		e.Hint = "it looks like the ACPI table that points to the log"
	case bytes.HasPrefix(text, []byte("10 ")):
		e.Hint = "it looks like an IMA measurement list"
	case bytes.HasPrefix(text, []byte("AAAAAAMAAAAAAAAA")):
		e.Hint = "it looks like base64; decode it first"
	case len(data) < sha1Header:
		e.Cause = fmt.Sprintf("not a TCG boot event log: %d octets, the shortest event has %d", len(data), sha1Header)
	}
	return e
}

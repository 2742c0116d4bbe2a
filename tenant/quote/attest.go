package quote

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// errShort: a structure ends before all its fields are read.
var errShort = errors.New("it is cut short")

// reader takes big-endian fields off a TPM structure. After the first field
// that is not there it yields zeros; end tells.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.data) {
		r.short, r.data = true, nil
		return nil
	}
	field := r.data[:n]
	r.data = r.data[n:]
	return field
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized takes a TPM2B: a u16 length and as many octets.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

// end says whether the structure was complete and is used up.
func (r *reader) end() error {
	switch {
	case r.short:
		return errShort
	case len(r.data) != 0:
		return fmt.Errorf("%d bytes follow its end", len(r.data))
	}
	return nil
}

// attestation is a TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE, after its magic
// and type (TPM 2.0 Part 2, sections 10.12.8 and 10.12.1).
type attestation struct {
	extraData  []byte
	clock      Clock
	firmware   uint64
	selections []quotedSelection
	pcrDigest  []byte
}

// quotedSelection is a TPMS_PCR_SELECTION.
type quotedSelection struct {
	hash tpm2.TPMAlgID
	pcrs []int
}

const headOctets = 4 + 2 // magic and type

// parseAttest reads a TPMS_ATTEST of which magic and type have been checked.
func parseAttest(data []byte) (attestation, error) {
	r := &reader{data: data}
	r.take(headOctets)
	var a attestation
	r.sized() // qualifiedSigner: bound by the signature, not compared with anything
	a.extraData = r.sized()
	a.clock.Clock = r.u64()
	a.clock.ResetCount = r.u32()
	a.clock.RestartCount = r.u32()
	safe := r.u8()
	a.clock.Safe = safe == 1
	a.firmware = r.u64()
	count := r.u32()
	if count > slots {
		return attestation{}, fmt.Errorf("it selects registers of %d banks, at most %d are allowed", count, slots)
	}
	for range count {
		s := quotedSelection{hash: tpm2.TPMAlgID(r.u16())}
		s.pcrs = selectedPCRs(r.take(int(r.u8())))
		a.selections = append(a.selections, s)
	}
	a.pcrDigest = r.sized()
	if err := r.end(); err != nil {
		return attestation{}, err
	}
	if safe > 1 {
		return attestation{}, fmt.Errorf("its safe flag is %d instead of 0 or 1", safe)
	}
	return a, nil
}

// signature is a TPMT_SIGNATURE (TPM 2.0 Part 2, section 11.3.4).
type signature struct {
	scheme, hash tpm2.TPMAlgID
	rsa          []byte // RSASSA
	r, s         []byte // ECDSA
}

// parseSignature reads a TPMT_SIGNATURE. Of a scheme other than RSASSA and
// ECDSA it reads the name alone: the caller will refuse it.
func parseSignature(data []byte) (signature, error) {
	r := &reader{data: data}
	s := signature{scheme: tpm2.TPMAlgID(r.u16()), hash: tpm2.TPMAlgID(r.u16())}
	switch s.scheme {
	case tpm2.TPMAlgRSASSA:
		s.rsa = r.sized()
	case tpm2.TPMAlgECDSA:
		s.r, s.s = r.sized(), r.sized()
	default:
		if r.short {
			return signature{}, errShort
		}
		return s, nil
	}
	if err := r.end(); err != nil {
		return signature{}, err
	}
	return s, nil
}

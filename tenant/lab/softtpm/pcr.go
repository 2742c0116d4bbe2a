package softtpm

import (
	"bytes"
	"crypto"
	_ "crypto/sha1"   // the hashes of the banks
	_ "crypto/sha256" //
	_ "crypto/sha512" //
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

const (
	registers    = 24 // PCRs of a PC client
	transportPCR = 16 // binds the transport key; may be reset at any time
)

// bank is a PCR bank; its name is that of its hash.
type bank struct {
	id   tpm2.TPMAlgID
	name string
	hash crypto.Hash
}

func banks() [3]bank {
	return [3]bank{
		{tpm2.TPMAlgSHA1, "sha1", crypto.SHA1},
		{tpm2.TPMAlgSHA256, "sha256", crypto.SHA256},
		{tpm2.TPMAlgSHA384, "sha384", crypto.SHA384},
	}
}

// Banks are the names of the PCR banks of every TPM.
func Banks() []string {
	var names []string
	for _, b := range banks() {
		names = append(names, b.name)
	}
	return names
}

func bankByName(name string) (bank, error) {
	for _, b := range banks() {
		if b.name == name {
			return b, nil
		}
	}
	return bank{}, fmt.Errorf("unknown PCR bank or hash %q: use sha1, sha256 or sha384", name)
}

// sum hashes the parts, one after the other.
func (b bank) sum(parts ...[]byte) []byte {
	h := b.hash.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// startValues are the registers after power-on: zero, save 17 to 22, which are
// ones until a dynamic launch (TCG PC Client Platform TPM Profile, 4.6.2).
func startValues(b bank) *[registers][]byte {
	var values [registers][]byte
	for n := range values {
		values[n] = make([]byte, b.hash.Size())
		if n >= 17 && n <= 22 {
			values[n] = bytes.Repeat([]byte{0xff}, b.hash.Size())
		}
	}
	return &values
}

// register finds a register.
func (t *TPM) register(name string, n int) (*[]byte, bank, error) {
	b, err := bankByName(name)
	if err != nil {
		return nil, bank{}, err
	}
	if n < 0 || n >= registers {
		return nil, bank{}, fmt.Errorf("there is no PCR %d: use 0 to %d", n, registers-1)
	}
	return &t.registers[name][n], b, nil
}

// PCR is a register's value. It fails if there is no such bank or register.
func (t *TPM) PCR(bank string, n int) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	value, _, err := t.register(bank, n)
	if err != nil {
		return nil, err
	}
	return slices.Clone(*value), nil
}

// SetPCRs sets registers of a bank, as a recorded boot has left them. It sets
// none and fails if a register or the length of a value is wrong.
func (t *TPM) SetPCRs(bank string, values map[int][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, value := range values {
		if _, b, err := t.register(bank, n); err != nil {
			return err
		} else if len(value) != b.hash.Size() {
			return wrongLength(b, n, value)
		}
	}
	for n, value := range values {
		t.registers[bank][n] = slices.Clone(value)
	}
	return nil
}

// Extend sets a register to H(old value || digest). It fails if there is no
// such bank or register, or the digest is not of the bank's length.
func (t *TPM) Extend(bank string, n int, digest []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.extend(bank, n, digest)
}

func (t *TPM) extend(bank string, n int, digest []byte) error {
	value, b, err := t.register(bank, n)
	if err != nil {
		return err
	}
	if len(digest) != b.hash.Size() {
		return wrongLength(b, n, digest)
	}
	*value = b.sum(*value, digest)
	return nil
}

func wrongLength(b bank, n int, value []byte) error {
	return fmt.Errorf("PCR %d of bank %s takes %d bytes, not %d", n, b.name, b.hash.Size(), len(value))
}

// Reset16 sets PCR 16 to zero in all banks.
func (t *TPM) Reset16() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reset16()
}

func (t *TPM) reset16() {
	for _, b := range banks() {
		t.registers[b.name][transportPCR] = make([]byte, b.hash.Size())
	}
}

// BindTransportKey resets PCR 16 and extends it with the hash of the text, in
// the bank of the AK's hash only (PROTOCOL.md 5.4).
func (t *TPM) BindTransportKey(pem string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reset16()
	return t.extend(t.hash.name, transportPCR, t.hash.sum([]byte(pem)))
}

// Package softtpm is a TPM 2.0 in software, for the lab: it has an EK, an AK
// and PCR banks, and makes quotes, credentials and certificates in the real
// formats (TCG TPM 2.0 Library 1.59; TCG EK Credential Profile 2.5). It works
// at the level of keys and structures; [Device] speaks, over it, the few TPM
// commands that an attestation needs.
//
// It protects nothing: its private keys lie in memory and in the state file.
package softtpm

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// Options say what TPM to make.
type Options struct {
	// EKAlg is rsa or rsa2048 (the same; default), rsa3072, ecc or ecc256, or
	// ecc384: the templates L-1, H-6, L-2 and H-3 of the EK Credential Profile.
	EKAlg string
	// AKAlg is rsa or rsa2048 (default), rsa3072, ecc224, ecc or ecc256, ecc384
	// or ecc521. RSA keys sign with RSASSA, ECC keys with ECDSA.
	AKAlg string
	// Hash is the hash of the AK's name and signatures, and so the bank that
	// Keylime quotes: sha256 (default), sha1 or sha384.
	Hash string
	// Rand is the source of the keys; nil: crypto/rand. Since Go 1.26 key
	// generation uses it only with GODEBUG=cryptocustomrand=1.
	Rand io.Reader
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// firmwareVersion is what the quotes say of the TPM's firmware.
const firmwareVersion = 0x4b4c_4c41_4200_0001 // "KLLAB", version 1

// startTicks is the clock of a TPM that has just been made, in milliseconds.
const startTicks = 1000

// TPM is a TPM. It is safe for concurrent use.
type TPM struct {
	mu           sync.Mutex
	ek, ak       object
	iak, idevid  *object // nil: the TPM has no device identity
	hash         bank
	registers    map[string]*[registers][]byte
	resetCount   uint32
	restartCount uint32
	ticks        uint64 // the clock when started, in milliseconds
	started      time.Time
	now          func() time.Time
}

// New makes a TPM with new keys that has been switched on once. It fails for
// an algorithm that [Options] does not name, and when random numbers fail.
func New(o Options) (*TPM, error) {
	hash, err := bankByName(orDefault(o.Hash, "sha256"))
	if err != nil {
		return nil, err
	}
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	ek, err := newEK(orDefault(o.EKAlg, "rsa"), random)
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	ak, err := newAK(orDefault(o.AKAlg, "rsa"), hash, random)
	if err != nil {
		return nil, fmt.Errorf("AK: %w", err)
	}
	t := &TPM{ek: ek, ak: ak, hash: hash, now: o.Now, ticks: startTicks, resetCount: 1}
	t.powerOn()
	return t, nil
}

func orDefault(name, fallback string) string {
	if name == "" {
		return fallback
	}
	return name
}

// powerOn starts the clock and sets the registers to their start values.
func (t *TPM) powerOn() {
	if t.now == nil {
		t.now = time.Now
	}
	t.started = t.now()
	t.registers = map[string]*[registers][]byte{}
	for _, b := range banks() {
		t.registers[b.name] = startValues(b)
	}
}

// Reboot does what a reset of the platform does: the count of resets goes up,
// that of restarts and the registers go to their start values.
func (t *TPM) Reboot() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ticks = t.clock()
	t.resetCount++
	t.restartCount = 0
	t.powerOn()
}

// clock is the time the TPM has been on, in milliseconds. It never goes back,
// and no two readings are equal, however fast they follow.
func (t *TPM) clock() uint64 {
	now := t.now()
	if passed := now.Sub(t.started).Milliseconds(); passed > 0 {
		t.ticks += uint64(passed)
		t.started = t.started.Add(time.Duration(passed) * time.Millisecond)
	} else {
		t.ticks++
	}
	return t.ticks
}

// EKPublic is the EK's TPM2B_PUBLIC.
func (t *TPM) EKPublic() []byte { return slices.Clone(t.ek.raw) }

// AKPublic is the AK's TPM2B_PUBLIC.
func (t *TPM) AKPublic() []byte { return slices.Clone(t.ak.raw) }

// EKKey is the EK's public key: *rsa.PublicKey or *ecdsa.PublicKey.
func (t *TPM) EKKey() crypto.PublicKey { return t.ek.private.Public() }

// AKName is the name of this TPM's AK; see [AKName].
func (t *TPM) AKName() []byte { return slices.Clone(t.ak.name) }

// HashAlg is the hash that an agent reports: sha256.
func (t *TPM) HashAlg() string { return t.hash.name }

// EncAlg is the encryption algorithm that an agent reports since API 2.5: the
// kind of the EK, rsa2048 for example.
func (t *TPM) EncAlg() string { return t.ek.algorithm }

// SignAlg is the signing algorithm that an agent reports: rsassa or ecdsa.
func (t *TPM) SignAlg() string {
	if t.ak.public.Type == tpm2.TPMAlgECC {
		return "ecdsa"
	}
	return "rsassa"
}

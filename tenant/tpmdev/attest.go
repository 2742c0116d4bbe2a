package tpmdev

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// Secret is a password of a TPM. It prints as [redacted].
type Secret string

// Format prints [redacted], whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) } // as fmt wants it

// MarshalText prints [redacted], in JSON and YAML too.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Request says what to make.
type Request struct {
	// Hash is sha1, sha256 (default), sha384 or sha512: of the signature, and so
	// the bank of PCRs, since Keylime wants both to be the same (PROTOCOL.md 5.4).
	Hash string
	// Keys is the kind of EK and AK: rsa or rsa2048 (default), ecc or ecc256.
	// With EKHandle it is that of the AK.
	Keys string
	// Signing is rsassa or ecdsa; empty is the one that goes with Keys.
	Signing string
	// EKHandle is the handle of an EK that is there, such as 0x81010001; 0 makes
	// one by the template of the EK Credential Profile: the same each time, for
	// it comes of the TPM's seed.
	EKHandle uint32
	// EndorsementPassword is that of the endorsement hierarchy.
	EndorsementPassword Secret
	// Nonce is the qualifying data of the quote.
	Nonce string
	// PCRs are the registers to quote, 0 to 23.
	PCRs []int
}

// Evidence is what a TPM has made. Nothing in it is verified.
type Evidence struct {
	// EK and AK are TPM2B_PUBLIC.
	EK, AK []byte
	// EKAlg and AKAlg are the kinds of the keys, rsa2048 for example.
	EKAlg, AKAlg string
	// Quote has the form that agents send (PROTOCOL.md 5.2).
	Quote string
	// HashAlg and SignAlg are the algorithms of the signature.
	HashAlg, SignAlg string
	// Tries is how often it had to be quoted until PCRs held still.
	Tries int
}

// cleanupLimit is how long flushing may take when the caller has given up.
const cleanupLimit = 30 * time.Second

// session is one use of a TPM: what it puts there it takes out again.
type session struct {
	t       *TPM
	tpm     bound
	request Request
	alg     algorithms
	handles []tpm2.TPMHandle
}

// Attest makes or reads an EK, makes an AK below it and quotes PCRs with it, in
// that order. The AK has a password of its own for the time of the call. All is
// flushed before Attest returns, whatever happens, so that nothing is left in
// the TPM. Every error is an *[Error], or the joined errors of the call and of
// flushing; the end of ctx is found below it by errors.Is.
func (t *TPM) Attest(ctx context.Context, r Request) (e *Evidence, err error) {
	alg, err := choose(r.Hash, r.Keys, r.Signing)
	if err != nil {
		return nil, err
	}
	for _, n := range r.PCRs {
		if n < 0 || n > maxPCR {
			return nil, unsupported("there is no PCR %d: use 0 to %d", n, maxPCR)
		}
	}
	r.PCRs = slices.Compact(slices.Sorted(slices.Values(r.PCRs)))
	if len(r.PCRs) == 0 {
		return nil, unsupported("no PCR is to be quoted")
	}
	s := &session{t: t, tpm: bound{ctx, t}, request: r, alg: alg}
	defer func() {
		if err = errors.Join(err, s.close(ctx)); err != nil {
			e = nil
		}
	}()
	if err := s.bank(); err != nil {
		return nil, err
	}
	ek, err := s.ek()
	if err != nil {
		return nil, err
	}
	password := make([]byte, 16)
	if _, err := rand.Read(password); err != nil {
		return nil, &Error{Kind: Failed, Op: "making a password for the AK", Err: err}
	}
	ak, err := s.ak(ek, password)
	if err != nil {
		return nil, err
	}
	e = &Evidence{EK: ek.raw, AK: ak.raw, EKAlg: algorithmOf(ek.public), AKAlg: algorithmOf(ak.public), HashAlg: alg.hash.name, SignAlg: alg.signing}
	q, tries, err := s.quote(ak, password)
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	e.Quote, e.Tries = "r"+b64(q.attest)+":"+b64(q.signature)+":"+b64(q.blob), tries
	return e, nil
}

// keep notes that something has to be flushed.
func (s *session) keep(handle tpm2.TPMHandle) { s.handles = append(s.handles, handle) }

// drop flushes a handle. One that could not be flushed stays noted.
func (s *session) drop(ctx context.Context, handle tpm2.TPMHandle) error {
	if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(bound{ctx, s.t}); err != nil {
		return s.t.ofTPM(fmt.Sprintf("flushing %#x", uint32(handle)), "", err)
	}
	s.handles = slices.DeleteFunc(s.handles, func(h tpm2.TPMHandle) bool { return h == handle })
	return nil
}

// close flushes everything, the newest first, also for a caller that has given
// up.
func (s *session) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	var errs []error
	for _, handle := range slices.Backward(slices.Clone(s.handles)) {
		if err := s.drop(ctx, handle); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

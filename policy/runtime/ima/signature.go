package ima

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
)

// The reasons for which a file signature does not count.
var (
	// ErrSignatureForm: the header is wrong, or its type or version is none that
	// is verified.
	ErrSignatureForm = errors.New("signature has an unknown form")
	// ErrSignatureHash: the hash is unknown or another than the entry's.
	ErrSignatureHash = errors.New("signature is over another kind of hash")
	// ErrNoKey: no keyring holds the key that is named.
	ErrNoKey = errors.New("no key with the id that the signature names")
	// ErrSignatureValue: the key did not make the signature.
	ErrSignatureValue = errors.New("signature was not made by its key over this digest")
)

// Types of a signature: the first byte of security.ima and security.evm (kernel
// enum evm_ima_xattr_type).
const (
	typeDigsig         = 3
	typePortableDigsig = 5
)

// hashIDs are the kernel's hash_algo numbers that signatures may name, with the
// names in measurement lists. The Streebog hashes have names and no
// implementation, here as in Keylime's.
var hashIDs = map[byte]struct {
	name string
	hash crypto.Hash
}{
	1: {"md5", crypto.MD5}, 2: {"sha1", crypto.SHA1}, 4: {"sha256", crypto.SHA256}, 5: {"sha384", crypto.SHA384},
	6: {"sha512", crypto.SHA512}, 7: {"sha224", crypto.SHA224}, 18: {"streebog256", 0}, 19: {"streebog512", 0},
}

// Signature is a file signature with its header taken apart (kernel struct
// signature_v2_hdr, big endian: u8 type, u8 version, u8 hash, u32 key id, u16
// length, signature).
type Signature struct {
	// Type is 3 for a signature over the file, 5 for one over its metadata too,
	// which Keylime verifies as if it were 3.
	Type byte
	// HashAlg is the name of the hash that is signed.
	HashAlg string
	// KeyID names the key: the last four bytes of its subject key identifier.
	KeyID uint32
	// Value is an RSA (PKCS #1 v1.5) or ECDSA (DER) signature.
	Value []byte

	hash crypto.Hash
}

// ParseSignature takes a signature apart. Errors wrap [ErrSignatureForm] or
// [ErrSignatureHash]. Value shares the memory of sig.
func ParseSignature(sig []byte) (Signature, error) {
	if err := checkSigHeader(sig); err != nil {
		return Signature{}, fmt.Errorf("%w: %w", ErrSignatureForm, err)
	}
	if t := sig[0]; t != typeDigsig && t != typePortableDigsig {
		return Signature{}, fmt.Errorf("%w: type %d", ErrSignatureForm, t)
	}
	if sig[1] != 2 {
		return Signature{}, fmt.Errorf("%w: version %d", ErrSignatureForm, sig[1])
	}
	alg, ok := hashIDs[sig[2]]
	if !ok {
		return Signature{}, fmt.Errorf("%w: hash number %d", ErrSignatureHash, sig[2])
	}
	return Signature{Type: sig[0], HashAlg: alg.name, KeyID: binary.BigEndian.Uint32(sig[3:7]), Value: sig[sigHeader:], hash: alg.hash}, nil
}

// verify checks the value over a digest of the entry's algorithm.
func (s Signature) verify(key crypto.PublicKey, digest []byte) error {
	if !s.hash.Available() || len(digest) != s.hash.Size() {
		return ErrSignatureHash
	}
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, s.hash, digest, s.Value) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, s.Value)
	}
	if !ok {
		return ErrSignatureValue
	}
	return nil
}

// VerifyEntry checks the signature of an entry against keyrings, tried in
// order: the first that holds the key id decides. Nil keyrings are skipped.
// Errors wrap one of the Err variables of this file.
func VerifyEntry(e *Entry, rings ...*Keyring) error {
	s, err := ParseSignature(e.Sig)
	if err != nil {
		return err
	}
	if s.HashAlg != string(e.Alg) {
		return fmt.Errorf("%w: %s for a digest of %.20q", ErrSignatureHash, s.HashAlg, e.Alg)
	}
	for _, ring := range rings {
		if key := ring.Key(s.KeyID); key != nil {
			return s.verify(key, e.Digest)
		}
	}
	return fmt.Errorf("%w: %08x", ErrNoKey, s.KeyID)
}

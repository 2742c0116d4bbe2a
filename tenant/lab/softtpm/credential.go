package softtpm

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// A credential is a secret that only the TPM with a certain EK can open, and
// only if it holds a key of a certain name (TPM 2.0 Part 1, section 24). The
// blob is that of tpm2-tools, as Keylime sends it (PROTOCOL.md 3.5).
const (
	credentialMagic   = 0xbadcc0de
	credentialVersion = 1
	credentialHead    = 8 // octets of magic and version
	maxSecret         = 64
)

// errCredential: a credential is for another TPM or another AK, or spoiled.
var errCredential = errors.New("the credential is not for this TPM and this AK, or it has been changed")

// MakeCredential wraps a secret for the TPM with this EK (TPM2B_PUBLIC) and a
// key of this name (TPM2_MakeCredential). random is the source of the seed;
// nil: crypto/rand. It fails if ekPub is not the public area of an RSA or ECC
// decryption key with an AES storage cipher, if the secret is empty or longer
// than 64 bytes or than the EK's name hash, and when random numbers fail.
func MakeCredential(ekPub, akName, secret []byte, random io.Reader) ([]byte, error) {
	public, err := tpmkey.Parse(ekPub)
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	if random == nil {
		random = rand.Reader
	}
	p, err := protectionOf(public)
	if err != nil {
		return nil, fmt.Errorf("EK: %w", err)
	}
	if len(secret) == 0 || len(secret) > min(maxSecret, p.hash.Size()) {
		return nil, fmt.Errorf("a secret of %d bytes does not fit a credential: 1 to %d do", len(secret), min(maxSecret, p.hash.Size()))
	}
	seed, wrapped, err := p.newSeed(public, random)
	if err != nil {
		return nil, err
	}
	idObject, err := p.seal(seed, akName, secret)
	if err != nil {
		return nil, err
	}
	blob := binary.BigEndian.AppendUint32(nil, credentialMagic)
	blob = binary.BigEndian.AppendUint32(blob, credentialVersion)
	return appendSized(appendSized(blob, idObject), wrapped), nil
}

// ActivateCredential opens a credential for this TPM's AK
// (TPM2_ActivateCredential). It fails if the blob is malformed, or is for
// another TPM or another AK.
func (t *TPM) ActivateCredential(blob []byte) ([]byte, error) {
	return activate(t.ek, t.ak.name, blob)
}

func activate(ek object, akName, blob []byte) ([]byte, error) {
	if len(blob) < credentialHead || binary.BigEndian.Uint32(blob) != credentialMagic || binary.BigEndian.Uint32(blob[4:]) != credentialVersion {
		return nil, errors.New("not a credential: it does not begin with badcc0de 00000001")
	}
	idObject, rest, err := takeSized(blob[credentialHead:])
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	wrapped, rest, err := takeSized(rest)
	if err != nil || len(rest) != 0 {
		return nil, errors.New("credential: its length does not fit its contents")
	}
	p, err := protectionOf(ek.public)
	if err != nil {
		return nil, err
	}
	seed, err := p.openSeed(ek.private, wrapped)
	if err != nil {
		return nil, err
	}
	return p.open(seed, akName, idObject)
}

// protection is how an EK protects secrets: the hash of its name and the size
// of its AES keys.
type protection struct {
	hash    crypto.Hash
	keyBits int
}

func protectionOf(public tpm2.TPMTPublic) (protection, error) {
	var symmetric tpm2.TPMTSymDefObject
	if parms, err := public.Parameters.RSADetail(); err == nil {
		symmetric = parms.Symmetric
	} else if parms, err := public.Parameters.ECCDetail(); err == nil {
		symmetric = parms.Symmetric
	}
	if symmetric.Algorithm != tpm2.TPMAlgAES {
		return protection{}, errors.New("it has no AES cipher, so nothing can be sealed to it")
	}
	bits, err := symmetric.KeyBits.AES()
	if err != nil {
		return protection{}, err
	}
	if *bits != 128 && *bits != 192 && *bits != 256 {
		return protection{}, fmt.Errorf("AES has no keys of %d bits", *bits)
	}
	hash, err := public.NameAlg.Hash()
	if err != nil {
		return protection{}, err
	}
	return protection{hash: hash, keyBits: int(*bits)}, nil
}

// seal is encrypt-then-MAC: TPM2B integrity || encrypted TPM2B of the secret.
func (p protection) seal(seed, akName, secret []byte) ([]byte, error) {
	identity := appendSized(nil, secret)
	if err := p.cfb(seed, akName, identity, true); err != nil {
		return nil, err
	}
	return append(appendSized(nil, p.mac(seed, akName, identity)), identity...), nil
}

// open undoes seal.
func (p protection) open(seed, akName, idObject []byte) ([]byte, error) {
	integrity, identity, err := takeSized(idObject)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	if !hmac.Equal(integrity, p.mac(seed, akName, identity)) {
		return nil, errCredential
	}
	plain := append([]byte(nil), identity...)
	if err := p.cfb(seed, akName, plain, false); err != nil {
		return nil, err
	}
	secret, rest, err := takeSized(plain)
	if err != nil || len(rest) != 0 {
		return nil, errCredential
	}
	return secret, nil
}

func (p protection) mac(seed, akName, identity []byte) []byte {
	m := hmac.New(p.hash.New, tpm2.KDFa(p.hash, seed, "INTEGRITY", nil, nil, p.hash.Size()*8))
	m.Write(identity)
	m.Write(akName)
	return m.Sum(nil)
}

// cfb is AES-CFB with a zero IV, in place.
func (p protection) cfb(seed, akName, data []byte, encrypt bool) error {
	block, err := aes.NewCipher(tpm2.KDFa(p.hash, seed, "STORAGE", akName, nil, p.keyBits))
	if err != nil {
		return err
	}
	cfb(block, data, encrypt)
	return nil
}

// cfb is the mode that TPMs use; the standard library has deprecated its own,
// since it authenticates nothing (here the HMAC around it does).
func cfb(block cipher.Block, data []byte, encrypt bool) {
	previous := make([]byte, block.BlockSize())
	stream := make([]byte, block.BlockSize())
	for len(data) > 0 {
		block.Encrypt(stream, previous)
		n := min(len(data), len(stream))
		if !encrypt {
			copy(previous, data[:n])
		}
		for i := range n {
			data[i] ^= stream[i]
		}
		if encrypt {
			copy(previous, data[:n])
		}
		data = data[n:]
	}
}

// newSeed draws a seed and wraps it for the EK.
func (p protection) newSeed(public tpm2.TPMTPublic, random io.Reader) (seed, wrapped []byte, err error) {
	key, err := tpmkey.Key(public)
	if err != nil {
		return nil, nil, fmt.Errorf("EK: %w", err)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		seed = make([]byte, p.hash.Size())
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, nil, fmt.Errorf("random numbers: %w", err)
		}
		wrapped, err = rsa.EncryptOAEP(p.hash.New(), random, key, seed, []byte("IDENTITY\x00"))
		return seed, wrapped, err
	case *ecdsa.PublicKey:
		return p.newECCSeed(key, random)
	}
	return nil, nil, fmt.Errorf("EK: unsupported key type %T", key)
}

// newECCSeed is one-pass Diffie-Hellman (TPM 2.0 Part 1, section C.6.1).
func (p protection) newECCSeed(key *ecdsa.PublicKey, random io.Reader) (seed, wrapped []byte, err error) {
	ek, err := key.ECDH()
	if err != nil {
		return nil, nil, fmt.Errorf("EK: %w", err)
	}
	ephemeral, err := ecdsa.GenerateKey(key.Curve, random)
	if err != nil {
		return nil, nil, err
	}
	_, point, err := eccPoint(&ephemeral.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	private, err := ephemeral.ECDH()
	if err != nil {
		return nil, nil, err
	}
	z, err := private.ECDH(ek)
	if err != nil {
		return nil, nil, err
	}
	return p.kdfe(z, private.PublicKey(), ek), tpm2.Marshal(point), nil
}

// openSeed unwraps a seed with the EK.
func (p protection) openSeed(ek crypto.Signer, wrapped []byte) ([]byte, error) {
	switch key := ek.(type) {
	case *rsa.PrivateKey:
		seed, err := rsa.DecryptOAEP(p.hash.New(), nil, key, wrapped, []byte("IDENTITY\x00"))
		if err != nil {
			return nil, errCredential
		}
		return seed, nil
	case *ecdsa.PrivateKey:
		private, err := key.ECDH()
		if err != nil {
			return nil, err
		}
		x, rest, err := takeSized(wrapped)
		if err != nil {
			return nil, fmt.Errorf("credential: %w", err)
		}
		y, rest, err := takeSized(rest)
		if err != nil || len(rest) != 0 {
			return nil, errors.New("credential: its point has the wrong length")
		}
		ephemeral, err := private.Curve().NewPublicKey(append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, fmt.Errorf("credential: %w", err)
		}
		z, err := private.ECDH(ephemeral)
		if err != nil {
			return nil, err
		}
		return p.kdfe(z, ephemeral, private.PublicKey()), nil
	}
	return nil, fmt.Errorf("unsupported EK type %T", ek)
}

func (p protection) kdfe(z []byte, ephemeral, ek *ecdh.PublicKey) []byte {
	x := func(key *ecdh.PublicKey) []byte { b := key.Bytes(); return b[1 : 1+len(b)/2] }
	return tpm2.KDFe(p.hash, z, "IDENTITY", x(ephemeral), x(ek), p.hash.Size()*8)
}

// appendSized and takeSized write and read a TPM2B.
func appendSized(to, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(data))), data...)
}

func takeSized(from []byte) (data, rest []byte, err error) {
	if len(from) < 2 || len(from)-2 < int(binary.BigEndian.Uint16(from)) {
		return nil, nil, errors.New("it is cut short")
	}
	n := 2 + int(binary.BigEndian.Uint16(from))
	return from[2:n], from[n:], nil
}

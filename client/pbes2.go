package client

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Limits on what a key file may make us compute.
const (
	maxIterations = 10_000_000
	// maxScryptWork is cost times block size times lanes, in blocks of 128
	// bytes: 1 GiB if there is one lane.
	maxScryptWork = 1 << 23
)

// encryptedKey is EncryptedPrivateKeyInfo of PKCS#8 (RFC 5958, 3).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2Params is PBES2-params of PKCS#5 (RFC 8018, A.4).
type pbes2Params struct{ KDF, Scheme pkix.AlgorithmIdentifier }

// pbkdf2Params is PBKDF2-params of PKCS#5 (RFC 8018, A.2).
type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams is scrypt-params of RFC 7914, 7.
type scryptParams struct {
	Salt                      []byte
	Cost, BlockSize, Parallel int
	KeyLength                 int `asn1:"optional"`
}

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo made with PBES2: PBKDF2 with
// any HMAC of SHA-1 and SHA-2, or scrypt; AES-CBC or 3DES-CBC. Errors are
// errWrongPassword, or name what is not supported.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var outer encryptedKey
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return nil, errors.New("the encrypted private key in it is damaged")
	}
	if oid := outer.Algorithm.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return nil, fmt.Errorf("the key is encrypted in an old way (object identifier %s, not PBES2): convert it with openssl pkcs8 -topk8 -v2 aes256", oid)
	}
	var params pbes2Params
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, errors.New("the encrypted private key in it is damaged: PBES2 parameters")
	}
	scheme, err := schemeOf(params.Scheme)
	if err != nil {
		return nil, err
	}
	key, err := deriveKey(params.KDF, password, scheme.keyLength)
	if err != nil {
		return nil, err
	}
	return scheme.decrypt(key, outer.Data)
}

// scheme is a block cipher in CBC mode.
type scheme struct {
	keyLength int
	block     func(key []byte) (cipher.Block, error)
	iv        []byte
}

func schemeOf(id pkix.AlgorithmIdentifier) (scheme, error) {
	var s scheme
	size := aes.BlockSize
	s.block = aes.NewCipher
	switch oid := id.Algorithm.String(); oid {
	case "2.16.840.1.101.3.4.1.2":
		s.keyLength = 16
	case "2.16.840.1.101.3.4.1.22":
		s.keyLength = 24
	case "2.16.840.1.101.3.4.1.42":
		s.keyLength = 32
	case "1.2.840.113549.3.7":
		s.keyLength, size, s.block = 24, des.BlockSize, des.NewTripleDESCipher
	default:
		return s, fmt.Errorf("the key is encrypted with a cipher that is not supported (object identifier %s): AES-CBC and 3DES-CBC are", oid)
	}
	if _, err := asn1.Unmarshal(id.Parameters.FullBytes, &s.iv); err != nil || len(s.iv) != size {
		return s, errors.New("the encrypted private key in it is damaged: initialization vector")
	}
	return s, nil
}

// decrypt undoes CBC and the padding of PKCS#7. Nobody learns from us which of
// the two failed but the owner of the file.
func (s scheme) decrypt(key, data []byte) ([]byte, error) {
	block, err := s.block(key)
	if err != nil {
		return nil, fmt.Errorf("the key cannot be decrypted: %w", err)
	}
	size := block.BlockSize()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, errors.New("the encrypted private key in it is damaged: its length")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size {
		return nil, errWrongPassword
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, errWrongPassword
		}
	}
	return plain[:len(plain)-padding], nil
}

func deriveKey(kdf pkix.AlgorithmIdentifier, password string, length int) ([]byte, error) {
	damaged := errors.New("the encrypted private key in it is damaged: key derivation")
	switch oid := kdf.Algorithm.String(); oid {
	case "1.2.840.113549.1.5.12":
		var p pbkdf2Params
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Iterations < 1 || (p.KeyLength != 0 && p.KeyLength != length) {
			return nil, damaged
		}
		if p.Iterations > maxIterations {
			return nil, fmt.Errorf("the key is encrypted with %d iterations, which are too many", p.Iterations)
		}
		prf, err := prfOf(p.PRF)
		if err != nil {
			return nil, err
		}
		key, err := pbkdf2.Key(prf, password, p.Salt, p.Iterations, length)
		if err != nil {
			return nil, fmt.Errorf("the key cannot be decrypted: %w", err)
		}
		return key, nil
	case "1.3.6.1.4.1.11591.4.11":
		var p scryptParams
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Cost < 2 || p.BlockSize < 1 || p.Parallel < 1 || (p.KeyLength != 0 && p.KeyLength != length) {
			return nil, damaged
		}
		if p.BlockSize > maxScryptWork || p.Cost > maxScryptWork/p.BlockSize || p.Parallel > maxScryptWork/(p.BlockSize*p.Cost) {
			return nil, errors.New("the key is encrypted with scrypt parameters that are too large")
		}
		key, err := scrypt.Key([]byte(password), p.Salt, p.Cost, p.BlockSize, p.Parallel, length)
		if err != nil {
			return nil, damaged
		}
		return key, nil
	default:
		return nil, fmt.Errorf("the key is encrypted with a key derivation that is not supported (object identifier %s): PBKDF2 and scrypt are", oid)
	}
}

// prfOf is the hash of a pseudo-random function of PBKDF2 (RFC 8018, B.1).
func prfOf(id pkix.AlgorithmIdentifier) (func() hash.Hash, error) {
	switch oid := id.Algorithm.String(); oid {
	case "", "1.2.840.113549.2.7": // hmacWithSHA1 is the default
		return sha1.New, nil
	case "1.2.840.113549.2.8":
		return sha256.New224, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	case "1.2.840.113549.2.12":
		return sha512.New512_224, nil
	case "1.2.840.113549.2.13":
		return sha512.New512_256, nil
	default:
		return nil, fmt.Errorf("the key is encrypted with a pseudo-random function that is not supported (object identifier %s)", oid)
	}
}

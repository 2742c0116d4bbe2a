package eventlog

import (
	"crypto/sha1" //nolint:gosec // logs have SHA-1 banks; what they are worth is the policy's affair
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"
	"hash"
)

// Algorithm is a TPM_ALG_ID of a hash algorithm (TCG Algorithm Registry).
type Algorithm uint16

// The hash algorithms of TPM 2.0.
const (
	SHA1    Algorithm = 0x0004
	SHA256  Algorithm = 0x000b
	SHA384  Algorithm = 0x000c
	SHA512  Algorithm = 0x000d
	SM3256  Algorithm = 0x0012
	SHA3256 Algorithm = 0x0027
	SHA3384 Algorithm = 0x0028
	SHA3512 Algorithm = 0x0029
)

// String returns the name that tpm2-tools and Keylime use ("sha256"), or
// "alg_0x1234" for an unknown algorithm.
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	case SM3256:
		return "sm3_256"
	case SHA3256:
		return "sha3_256"
	case SHA3384:
		return "sha3_384"
	case SHA3512:
		return "sha3_512"
	}
	return fmt.Sprintf("alg_0x%04x", uint16(a))
}

// Size is the digest's length in octets, 0 for an unknown algorithm.
func (a Algorithm) Size() int {
	switch a {
	case SHA1:
		return 20
	case SHA256, SM3256, SHA3256:
		return 32
	case SHA384, SHA3384:
		return 48
	case SHA512, SHA3512:
		return 64
	}
	return 0
}

// NewHash returns a hash of the named bank ("sha256", "sm3_256", …), nil for
// an unknown name.
func NewHash(bank string) hash.Hash {
	switch bank {
	case "sha1":
		return sha1.New() //nolint:gosec // see the import
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	case "sm3_256":
		return newSM3()
	case "sha3_256":
		return sha3.New256()
	case "sha3_384":
		return sha3.New384()
	case "sha3_512":
		return sha3.New512()
	}
	return nil
}

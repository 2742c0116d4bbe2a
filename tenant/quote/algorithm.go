package quote

import (
	"crypto"
	_ "crypto/sha1"   // the hashes that [crypto.Hash] is asked for
	_ "crypto/sha256" //
	_ "crypto/sha512" //
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// hashAlg is a hash as TPMs number it and Keylime names it. A PCR bank bears
// the name of its hash.
type hashAlg struct {
	id   tpm2.TPMAlgID
	name string
	hash crypto.Hash
}

// hashAlgs are the hashes that Keylime knows (PROTOCOL.md 3.7).
func hashAlgs() [4]hashAlg {
	return [4]hashAlg{
		{tpm2.TPMAlgSHA1, "sha1", crypto.SHA1},
		{tpm2.TPMAlgSHA256, "sha256", crypto.SHA256},
		{tpm2.TPMAlgSHA384, "sha384", crypto.SHA384},
		{tpm2.TPMAlgSHA512, "sha512", crypto.SHA512},
	}
}

func hashByID(id tpm2.TPMAlgID) (hashAlg, bool) {
	for _, h := range hashAlgs() {
		if h.id == id {
			return h, true
		}
	}
	return hashAlg{}, false
}

func hashByName(name string) (hashAlg, bool) {
	for _, h := range hashAlgs() {
		if h.name == name {
			return h, true
		}
	}
	return hashAlg{}, false
}

// schemeName is Keylime's name of a signature scheme, "" if it has none.
func schemeName(id tpm2.TPMAlgID) string {
	switch id {
	case tpm2.TPMAlgRSASSA:
		return "rsassa"
	case tpm2.TPMAlgECDSA:
		return "ecdsa"
	case tpm2.TPMAlgRSAPSS:
		return "rsapss"
	case tpm2.TPMAlgECDAA:
		return "ecdaa"
	case tpm2.TPMAlgECSchnorr:
		return "ecschnorr"
	}
	return ""
}

// encryption is the full name of an encryption algorithm: agents before API
// 2.5 say rsa and ecc where later ones say rsa2048 and ecc256 (PROTOCOL.md 5.1).
func encryption(name string) string {
	switch name {
	case "rsa":
		return "rsa2048"
	case "ecc":
		return "ecc256"
	}
	return name
}

// checkAccepted holds the reported algorithms against the caller's lists.
func checkAccepted(u Untrusted, e Expect) *VerificationError {
	for _, c := range []struct {
		check    Check
		found    string
		accepted []string
		full     func(string) string
	}{
		{CheckAcceptedHash, u.HashAlg, e.AcceptHash, asIs},
		{CheckAcceptedEnc, u.EncAlg, e.AcceptEnc, encryption},
		{CheckAcceptedSign, u.SignAlg, e.AcceptSign, asIs},
	} {
		if c.accepted == nil {
			continue
		}
		if !slices.ContainsFunc(c.accepted, func(a string) bool { return c.full(a) == c.full(c.found) }) {
			return &VerificationError{Check: c.check, Expected: oneOf(c.accepted), Found: shown(c.found)}
		}
	}
	return nil
}

func asIs(name string) string { return name }

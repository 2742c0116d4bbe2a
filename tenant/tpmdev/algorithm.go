package tpmdev

import (
	"crypto"
	_ "crypto/sha1"   // the hashes that [crypto.Hash] is asked for
	_ "crypto/sha256" //
	_ "crypto/sha512" //
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// hashAlg is a hash as TPMs number it and Keylime names it; a bank of PCRs
// bears its name.
type hashAlg struct {
	id   tpm2.TPMAlgID
	name string
	hash crypto.Hash
}

func hashAlgs() []hashAlg {
	return []hashAlg{
		{tpm2.TPMAlgSHA1, "sha1", crypto.SHA1},
		{tpm2.TPMAlgSHA256, "sha256", crypto.SHA256},
		{tpm2.TPMAlgSHA384, "sha384", crypto.SHA384},
		{tpm2.TPMAlgSHA512, "sha512", crypto.SHA512},
	}
}

// Hashes are the names of the hashes that can be asked for.
func Hashes() []string {
	var names []string
	for _, h := range hashAlgs() {
		names = append(names, h.name)
	}
	return names
}

// KeyKinds are the names of the kinds of keys that can be asked for.
func KeyKinds() []string { return []string{"rsa", "rsa2048", "ecc", "ecc256"} }

// SigningSchemes are the names of the signing schemes that can be asked for.
func SigningSchemes() []string { return []string{"rsassa", "ecdsa"} }

// algorithms are the algorithms of a request, checked.
type algorithms struct {
	hash    hashAlg
	ecc     bool
	keys    string // rsa2048 or ecc256
	signing string // rsassa or ecdsa
}

// choose reads the names; empty ones have the defaults sha256, rsa, and the
// scheme that goes with the key.
func choose(hash, keys, signing string) (algorithms, error) {
	var a algorithms
	if hash == "" {
		hash = "sha256"
	}
	i := slices.IndexFunc(hashAlgs(), func(h hashAlg) bool { return h.name == hash })
	if i < 0 {
		return a, unsupported("unknown hash %.40q: use %s", hash, oneOf(Hashes()))
	}
	a.hash = hashAlgs()[i]
	a.keys, a.signing = "rsa2048", "rsassa"
	switch keys {
	case "", "rsa", "rsa2048":
	case "ecc", "ecc256":
		a.ecc, a.keys, a.signing = true, "ecc256", "ecdsa"
	default:
		return a, unsupported("unknown kind of key %.40q: use %s", keys, oneOf(KeyKinds()))
	}
	switch {
	case signing == "" || signing == a.signing:
		return a, nil
	case slices.Contains(SigningSchemes(), signing):
		return a, unsupported("the scheme %s does not go with keys of kind %s: use %s", signing, a.keys, a.signing)
	}
	return a, unsupported("no verifier takes the signing scheme %.40q: use %s", signing, a.signing)
}

func oneOf(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ekTemplate is L-1 or L-2 of the EK Credential Profile (B.3.3, B.3.4).
func (a algorithms) ekTemplate() tpm2.TPMTPublic {
	if a.ecc {
		return tpm2.ECCEKTemplate
	}
	return tpm2.RSAEKTemplate
}

// akTemplate is a restricted signing key, as Keylime's agents have: a TPM signs
// with it only what it has made itself.
func (a algorithms) akTemplate() tpm2.TPMTPublic {
	public := tpm2.TPMTPublic{
		// The hash of the name is not that of the signatures: a TPM that still
		// signs with SHA-1 need not name keys by it.
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			Restricted: true, SignEncrypt: true},
	}
	none := tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}
	if a.ecc {
		public.Type = tpm2.TPMAlgECC
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: none, CurveID: tpm2.TPMECCNistP256, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: a.hash.id})}})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
		return public
	}
	public.Type = tpm2.TPMAlgRSA
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
		Symmetric: none, KeyBits: 2048,
		Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: a.hash.id})}})
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	return public
}

// algorithmOf is Keylime's name for the kind of a key: rsa2048, ecc256.
func algorithmOf(public *tpm2.TPMTPublic) string {
	if parms, err := public.Parameters.RSADetail(); err == nil {
		return fmt.Sprintf("rsa%d", parms.KeyBits)
	}
	if parms, err := public.Parameters.ECCDetail(); err == nil {
		if curve, err := parms.CurveID.Curve(); err == nil {
			return fmt.Sprintf("ecc%d", curve.Params().BitSize)
		}
	}
	return "unknown"
}

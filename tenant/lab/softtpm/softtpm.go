// Package softtpm is a TPM 2.0 in software, for the lab.
package softtpm

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"time"
)

var errNotYet = errors.New("not written yet")

// Options say what TPM to make.
type Options struct {
	// EKAlg is rsa (default), rsa2048, rsa3072, ecc, ecc256 or ecc384.
	EKAlg string
	// AKAlg is rsa (default), rsa2048, rsa3072, ecc, ecc256, ecc384 or ecc521.
	AKAlg string
	// Hash is the hash of the AK's signatures and so the bank quoted: sha256
	// (default), sha1 or sha384.
	Hash string
	// Rand is the source of randomness; nil: crypto/rand.
	Rand io.Reader
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// TPM is a TPM. It is safe for concurrent use.
type TPM struct{}

// New makes a TPM with new keys.
func New(o Options) (*TPM, error) { return nil, errNotYet }

// Load makes the TPM that Marshal described. Of the options only Rand and Now count.
func Load(state []byte, o Options) (*TPM, error) { return nil, errNotYet }

// Marshal describes the TPM, secrets included.
func (t *TPM) Marshal() ([]byte, error) { return nil, errNotYet }

// LoadFile reads a file of SaveFile.
func LoadFile(path string, o Options) (*TPM, error) { return nil, errNotYet }

// SaveFile writes the state to a file with mode 0600.
func (t *TPM) SaveFile(path string) error { return errNotYet }

// EKPublic and AKPublic are TPM2B_PUBLIC structures.
func (t *TPM) EKPublic() []byte { return nil }

// AKPublic is the AK's TPM2B_PUBLIC.
func (t *TPM) AKPublic() []byte { return nil }

// EKKey is the EK's public key.
func (t *TPM) EKKey() crypto.PublicKey { return nil }

// HashAlg, EncAlg and SignAlg are what an agent reports: sha256, rsa2048, rsassa.
func (t *TPM) HashAlg() string { return "" }

// EncAlg is the EK's kind: rsa2048, ecc256.
func (t *TPM) EncAlg() string { return "" }

// SignAlg is rsassa or ecdsa.
func (t *TPM) SignAlg() string { return "" }

// Banks are the names of the PCR banks.
func Banks() []string { return []string{"sha1", "sha256", "sha384"} }

// PCR is a register's value.
func (t *TPM) PCR(bank string, n int) ([]byte, error) { return nil, errNotYet }

// SetPCRs sets registers of a bank, as a boot would have left them.
func (t *TPM) SetPCRs(bank string, values map[int][]byte) error { return errNotYet }

// Extend extends a register.
func (t *TPM) Extend(bank string, n int, digest []byte) error { return errNotYet }

// Reset16 sets PCR 16 to zero in all banks.
func (t *TPM) Reset16() {}

// BindTransportKey resets PCR 16 and extends it with the hash of the text, in
// the bank of the AK's hash only (PROTOCOL.md 5.4).
func (t *TPM) BindTransportKey(pem string) error { return errNotYet }

// Reboot counts a reset and sets the registers to their start values.
func (t *TPM) Reboot() {}

// Quote quotes registers: TPMS_ATTEST, TPMT_SIGNATURE and PCR blob.
func (t *TPM) Quote(nonce []byte, pcrs []int, bank string) (attest, sig, blob []byte, err error) {
	return nil, nil, nil, errNotYet
}

// QuoteString is Quote in the form an agent sends (PROTOCOL.md 5.2).
func (t *TPM) QuoteString(nonce string, pcrs []int, bank string) (string, error) {
	return "", errNotYet
}

// Sign signs an attestation of any content with the AK.
func (t *TPM) Sign(attest []byte) (sig []byte, err error) { return nil, errNotYet }

// ActivateCredential opens a credential for this TPM's AK.
func (t *TPM) ActivateCredential(blob []byte) ([]byte, error) { return nil, errNotYet }

// MakeCredential wraps a secret for the TPM with this EK and an AK of this name.
func MakeCredential(ekPub, akName, secret []byte, rand io.Reader) ([]byte, error) {
	return nil, errNotYet
}

// AKName is the name of a key (TPM2B_PUBLIC).
func AKName(tpm2b []byte) ([]byte, error) { return nil, errNotYet }

// EKCA issues EK certificates.
type EKCA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewEKCA makes a CA that is valid from now on for ten years.
func NewEKCA(now time.Time) (*EKCA, error) { return nil, errNotYet }

// LoadEKCA reads what MarshalPEM wrote.
func LoadEKCA(pem []byte) (*EKCA, error) { return nil, errNotYet }

// MarshalPEM is certificate and private key.
func (c *EKCA) MarshalPEM() ([]byte, error) { return nil, errNotYet }

// CertificatePEM is the certificate, for a store of EK certificates.
func (c *EKCA) CertificatePEM() []byte { return nil }

// IssueEK makes a certificate (DER) for an EK (TPM2B_PUBLIC).
func (c *EKCA) IssueEK(ekPub []byte, now time.Time) ([]byte, error) { return nil, errNotYet }

// NewTransportKey makes an agent's transport key (NK).
func NewTransportKey() (*rsa.PrivateKey, error) { return nil, errNotYet }

// TransportKeyPEM is the key's public part as agents send it.
func TransportKeyPEM(key *rsa.PublicKey) (string, error) { return "", errNotYet }

package registrar

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// Check names one of the checks of a registration (PROTOCOL.md 3.4). The
// registrar answers 400 with one text for all of them; its log has the name.
type Check string

// The checks, by the steps of PROTOCOL.md 3.4.
const (
	// CheckField: a key or a certificate can be read.
	CheckField Check = "field"
	// CheckKeyMatch: a certificate is for the key that it comes with (3).
	CheckKeyMatch Check = "key-match"
	// CheckIssuer: the certificate of an IAK or IDevID was issued by a
	// certificate of the store (3).
	CheckIssuer Check = "issuer"
	// CheckBinding: the IAK has certified the AK (4).
	CheckBinding Check = "iak-binding"
	// CheckIdentity: the keys that tpm_identity demands are there (5).
	CheckIdentity Check = "tpm-identity"
	// CheckComplete: IAK, IDevID and their certificates come together (5).
	CheckComplete Check = "identity-complete"
)

// RegistrationError says why a registration is refused.
type RegistrationError struct {
	Check Check
	// Field is the field of the request.
	Field string
	Err   error
}

func (e *RegistrationError) Error() string {
	return fmt.Sprintf("%s refused by check %q: %v", e.Field, string(e.Check), e.Err)
}

func (e *RegistrationError) Unwrap() error { return e.Err }

// refuse makes a *[RegistrationError].
func refuse(check Check, field, format string, a ...any) error {
	return &RegistrationError{Check: check, Field: field, Err: fmt.Errorf(format, a...)}
}

// The values of tpm_identity (registrar.conf).
const (
	// IdentityDefault demands an EK, or IAK and IDevID.
	IdentityDefault = "default"
	// IdentityEither is the same.
	IdentityEither = "ek_cert_or_iak_idevid"
	// IdentityEK demands an EK.
	IdentityEK = "ek_cert"
	// IdentityDevID demands IAK and IDevID.
	IdentityDevID = "iak_idevid"
)

// Identities are the values that tpm_identity may have.
func Identities() []string {
	return []string{IdentityDefault, IdentityEK, IdentityEither, IdentityDevID}
}

func checkSetting(value string) error {
	if !slices.Contains(Identities(), value) {
		return fmt.Errorf("tpm_identity %.60q is none of %s", value, strings.Join(Identities(), ", "))
	}
	return nil
}

// deviceIdentity is what is kept of an agent's IAK and IDevID; all base64.
type deviceIdentity struct {
	IAK        string `json:"iak_tpm"`
	IAKCert    string `json:"iak_cert"`
	IDevID     string `json:"idevid_tpm"`
	IDevIDCert string `json:"idevid_cert"`
}

// identityKey is one of the two keys with its certificate.
type identityKey struct{ tpm, der []byte }

// identity checks IAK and IDevID of a registration; nil if there are none and
// none are demanded. Errors: *[RegistrationError].
func (s *Server) identity(id string, request wire.RegisterRequest) (*deviceIdentity, error) {
	if err := s.present(request); err != nil {
		return nil, err
	}
	if request.IAKTPM == "" && request.IDevIDTPM == "" {
		return nil, nil
	}
	iak, err := s.identityKey("iak", request.IAKTPM, *request.IAKCert)
	if err != nil {
		return nil, err
	}
	idevid, err := s.identityKey("idevid", request.IDevIDTPM, *request.IDevIDCert)
	if err != nil {
		return nil, err
	}
	if err := bound(id, iak.tpm, request); err != nil {
		return nil, err
	}
	encode := base64.StdEncoding.EncodeToString
	return &deviceIdentity{IAK: encode(iak.tpm), IAKCert: encode(iak.der), IDevID: encode(idevid.tpm), IDevIDCert: encode(idevid.der)}, nil
}

// present is step 5: the keys that the setting demands are there, and whoever
// brings one of a device identity brings all of it.
func (s *Server) present(request wire.RegisterRequest) error {
	has := func(cert *string) bool { return cert != nil && *cert != "" }
	both := request.IAKTPM != "" && request.IDevIDTPM != ""
	none := request.IAKTPM == "" && request.IDevIDTPM == ""
	certs := has(request.IAKCert) && has(request.IDevIDCert)
	noCerts := !has(request.IAKCert) && !has(request.IDevIDCert)
	missing := func(key string) string {
		if key == "" {
			return "iak_tpm"
		}
		return "idevid_tpm"
	}
	switch {
	case s.tpmIdentity == IdentityDevID && !both:
		return refuse(CheckIdentity, missing(request.IAKTPM), "it is missing, and tpm_identity = %s demands it", s.tpmIdentity)
	case s.tpmIdentity == IdentityEK && request.EKTPM == "":
		return refuse(CheckIdentity, "ek_tpm", "it is missing, and tpm_identity = %s demands it", s.tpmIdentity)
	case request.EKTPM == "" && !both:
		return refuse(CheckIdentity, missing(request.IAKTPM), "it is missing, and so is ek_tpm")
	case !none && !certs:
		return refuse(CheckComplete, "iak_cert, idevid_cert", "both are needed with the keys iak_tpm and idevid_tpm")
	case !noCerts && !both:
		return refuse(CheckComplete, "iak_tpm, idevid_tpm", "both are needed with the certificates iak_cert and idevid_cert")
	}
	return nil
}

// identityKey is step 3 for one key, "iak" or "idevid": its certificate is for
// it, and was issued directly by a certificate of the store, as the tenant
// checks those of EKs (PROTOCOL.md 9).
func (s *Server) identityKey(name, tpmText, certText string) (k identityKey, err error) {
	tpmField, certField := name+"_tpm", name+"_cert"
	if k.tpm, err = binary(tpmText); err != nil {
		return k, refuse(CheckField, tpmField, "%w", err)
	}
	public, err := ek.ParsePublic(k.tpm)
	if err != nil {
		return k, refuse(CheckField, tpmField, "the key %s", strings.TrimLeft(strings.TrimPrefix(err.Error(), "EK"), ": "))
	}
	if k.der, err = certificate(certText); err != nil {
		return k, refuse(CheckField, certField, "%w", err)
	}
	cert, err := ek.ParseCertificate(k.der)
	switch {
	case err != nil:
		return k, refuse(CheckField, certField, "%w", err)
	case !cert.IsFor(public):
		return k, refuse(CheckKeyMatch, certField, "it is for another key than %s", tpmField)
	}
	if s.certStore == "" {
		return k, refuse(CheckIssuer, certField, "the registrar has no store of certificates to verify it with")
	}
	store, err := ek.LoadStore(s.certStore)
	if err != nil {
		return k, refuse(CheckIssuer, certField, "%w", err)
	}
	if _, err := store.VerifyCertificate(k.der, ek.Options{Compat: true}); err != nil {
		return k, refuse(CheckIssuer, certField, "%w", err)
	}
	return k, nil
}

// bound is step 4: the TPM with the IAK has certified the AK for this agent.
func bound(id string, iak []byte, request wire.RegisterRequest) error {
	fail := func(err error) error { return &RegistrationError{Check: CheckBinding, Field: "aik_tpm", Err: err} }
	if request.IAKAttest == "" || request.IAKSign == "" {
		return fail(errors.New("iak_attest or iak_sign is missing, which bind it to the IAK"))
	}
	ak, err := binary(request.AIKTPM)
	if err != nil {
		return fail(err)
	}
	attest, err := base64.StdEncoding.DecodeString(request.IAKAttest)
	if err != nil {
		return fail(errors.New("iak_attest is not base64"))
	}
	sign, err := base64.StdEncoding.DecodeString(request.IAKSign)
	if err != nil {
		return fail(errors.New("iak_sign is not base64"))
	}
	hashed := sha256.Sum256([]byte(id))
	if err := quote.VerifyCertify(attest, sign, iak, ak, hashed[:], []byte(id)); err != nil {
		return fail(err)
	}
	return nil
}

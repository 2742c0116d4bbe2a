package softtpm

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/tpmkey"
)

// A device identity are two keys that the maker of a machine certifies (TCG TPM
// 2.0 Keys for Device Identity and Attestation 1.0, section 3): the IAK, a
// restricted key that attests, and the IDevID, which signs anything.

// MakeIdentity gives the TPM a device identity, unless it has one already. The
// algorithm is one of [Options].AKAlg, "" for RSA.
func (t *TPM) MakeIdentity(algorithm string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.iak != nil {
		return nil
	}
	hash, err := bankByName("sha256")
	if err != nil {
		return err
	}
	iak, err := newSigning(orDefault(algorithm, "rsa"), hash, akAttributes(), rand.Reader)
	if err != nil {
		return fmt.Errorf("IAK: %w", err)
	}
	free := akAttributes()
	free.Restricted = false
	idevid, err := newSigning(orDefault(algorithm, "rsa"), hash, free, rand.Reader)
	if err != nil {
		return fmt.Errorf("IDevID: %w", err)
	}
	t.iak, t.idevid = &iak, &idevid
	return nil
}

// IAKPublic is the IAK's TPM2B_PUBLIC, nil if there is none.
func (t *TPM) IAKPublic() []byte { return t.identityKey(func() *object { return t.iak }) }

// IDevIDPublic is the IDevID's TPM2B_PUBLIC, nil if there is none.
func (t *TPM) IDevIDPublic() []byte { return t.identityKey(func() *object { return t.idevid }) }

func (t *TPM) identityKey(which func() *object) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := which(); o != nil {
		return slices.Clone(o.raw)
	}
	return nil
}

// Certify certifies with the IAK that the AK is in this TPM (TPM2_Certify):
// TPMS_ATTEST and TPMT_SIGNATURE. It fails without an IAK, and for more
// extraData than 66 bytes.
func (t *TPM) Certify(extraData []byte) (attest, sig []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.iak == nil {
		return nil, nil, errors.New("the TPM has no IAK")
	}
	if len(extraData) > maxNonce {
		return nil, nil, fmt.Errorf("%d bytes of data are too long: at most %d fit", len(extraData), maxNonce)
	}
	attest = tpm2.Marshal(tpm2.TPMSAttest{
		Magic:           tpm2.TPMGeneratedValue,
		Type:            tpm2.TPMSTAttestCertify,
		QualifiedSigner: tpm2.TPM2BName{Buffer: qualify(tpm2.PrimaryHandleName(tpm2.TPMRHEndorsement), *t.iak)},
		ExtraData:       tpm2.TPM2BData{Buffer: extraData},
		ClockInfo:       tpm2.TPMSClockInfo{Clock: t.clock(), ResetCount: t.resetCount, RestartCount: t.restartCount, Safe: true},
		FirmwareVersion: firmwareVersion,
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{
			Name: tpm2.TPM2BName{Buffer: t.ak.name}, QualifiedName: tpm2.TPM2BName{Buffer: t.qualifiedName()},
		}),
	})
	sig, err = t.signWithIAK(attest)
	return attest, sig, err
}

// SignWithIAK signs an attestation with the IAK: a TPMT_SIGNATURE. As with
// [TPM.Sign], it signs anything, for tests of verifiers.
func (t *TPM) SignWithIAK(attest []byte) (sig []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.iak == nil {
		return nil, errors.New("the TPM has no IAK")
	}
	return t.signWithIAK(attest)
}

func (t *TPM) signWithIAK(attest []byte) ([]byte, error) {
	hash, err := bankByName("sha256")
	if err != nil {
		return nil, err
	}
	return t.iak.sign(hash, attest)
}

// IssueIdentity makes the certificate (DER) of a key of a device identity
// (TPM2B_PUBLIC), "IAK" or "IDevID" by its name, which never expires: its
// subjectAltName says that the key is in a TPM (RFC 4108, section 5;
// TCG TPM 2.0 Keys for Device Identity and Attestation 1.0, section 8).
func (c *EKCA) IssueIdentity(name string, public []byte, now time.Time) ([]byte, error) {
	area, err := tpmkey.Parse(public)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, err := tpmkey.Key(area)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	module, err := hardwareModule(serial.Text(16))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Keylime lab"}, CommonName: name, SerialNumber: serial.Text(16)},
		NotBefore:             now.AddDate(0, 0, -1),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{module},
	}, c.Certificate, key, c.key)
}

// hardwareModule is a subjectAltName with one otherName, HardwareModuleName.
func hardwareModule(serial string) (pkix.Extension, error) {
	module, err := asn1.Marshal(struct {
		Type   asn1.ObjectIdentifier
		Serial []byte
	}{asn1.ObjectIdentifier{2, 23, 133, 1, 2}, []byte(serial)}) // tcg-hwtype-tpm20
	if err != nil {
		return pkix.Extension{}, err
	}
	id, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}) // id-on-hardwareModuleName
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: module})
	if err != nil {
		return pkix.Extension{}, err
	}
	const otherName = 0
	names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: otherName, IsCompound: true, Bytes: append(id, value...)}})
	if err != nil {
		return pkix.Extension{}, err
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}, nil
}

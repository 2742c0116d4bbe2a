package softtpm_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

func newCA(t testing.TB) *softtpm.EKCA {
	t.Helper()
	ca, err := softtpm.NewEKCA(stopped())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestEKCertificate: certificates of the lab's CA pass tenant/ek, strictly,
// and have what the EK Credential Profile demands.
func TestEKCertificate(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]func() ([]byte, error){"rsa": rsaState, "ecc": eccState} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tpm, ca := load(t, state, softtpm.Options{}), newCA(t)
			der, err := ca.IssueEK(tpm.EKPublic(), stopped())
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "lab.pem"), ca.CertificatePEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			store, err := ek.LoadStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			v, err := store.Verify(der, tpm.EKPublic(), ek.Options{Now: stopped()})
			if err != nil {
				t.Fatal(err)
			}
			c := v.Certificate()
			if v.Waived() != nil || c.Subject != "" || c.Manufacturer != "id:4B4C4D45" || c.Model != "keylime-lab" || c.Version != "id:00010000" || c.Algorithm != tpm.EncAlg() {
				t.Errorf("%+v", c)
			}
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			usage := map[string]x509.KeyUsage{"rsa": x509.KeyUsageKeyEncipherment, "ecc": x509.KeyUsageKeyAgreement}[name]
			if parsed.KeyUsage != usage || len(parsed.UnknownExtKeyUsage) != 1 || parsed.UnknownExtKeyUsage[0].String() != "2.23.133.8.1" ||
				parsed.IsCA || parsed.NotAfter.Year() != 9999 || !bytes.Equal(parsed.AuthorityKeyId, ca.Certificate.SubjectKeyId) {
				t.Errorf("%+v", parsed)
			}
			critical := false
			for _, extension := range parsed.Extensions {
				critical = critical || extension.Id.String() == "2.5.29.17" && extension.Critical
			}
			if !critical {
				t.Error("the subjectAltName is not critical")
			}
		})
	}
}

// TestEKCAState: a CA that is written and read issues what the old one vouches for.
func TestEKCAState(t *testing.T) {
	t.Parallel()
	ca, other := newCA(t), newCA(t)
	text, err := ca.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := softtpm.LoadEKCA(text)
	if err != nil || !again.Certificate.Equal(ca.Certificate) {
		t.Fatal(err)
	}
	if _, err := again.IssueEK(load(t, eccState, softtpm.Options{}).EKPublic(), time.Now()); err != nil {
		t.Error(err)
	}
	otherText, err := other.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	key := string(otherText[len(other.CertificatePEM()):])
	for name, bad := range map[string]string{
		"nothing":            "",
		"no key":             string(ca.CertificatePEM()),
		"no certificate":     key,
		"another's key":      string(ca.CertificatePEM()) + key,
		"broken certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"broken key":         strings.Replace(string(text), "PRIVATE KEY-----\nM", "PRIVATE KEY-----\nN", 1),
	} {
		if _, err := softtpm.LoadEKCA([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := ca.IssueEK([]byte{1}, time.Now()); err == nil {
		t.Error("a certificate for no key")
	}
}

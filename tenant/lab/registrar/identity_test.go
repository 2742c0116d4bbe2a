package registrar

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

const agentID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// device is a TPM with a device identity, its authority and a registrar that
// trusts that.
type device struct {
	t      *testing.T
	tpm    *softtpm.TPM
	ca     *softtpm.EKCA
	server *Server
	log    []string
}

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func newDevice(t *testing.T, o Options, algorithm string) *device {
	t.Helper()
	d := &device{t: t}
	var err error
	if d.tpm, err = softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"}); err != nil {
		t.Fatal(err)
	}
	if err := d.tpm.MakeIdentity(algorithm); err != nil {
		t.Fatal(err)
	}
	if d.ca, err = softtpm.NewEKCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	o.CertStore = t.TempDir()
	if err := os.WriteFile(filepath.Join(o.CertStore, "ca.pem"), d.ca.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Log = func(line string) { d.log = append(d.log, line) }
	if d.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	return d
}

// cert is a certificate by an authority, base64.
func (d *device) cert(ca *softtpm.EKCA, name string, public []byte) *string {
	d.t.Helper()
	der, err := ca.IssueIdentity(name, public, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	text := encode(der)
	return &text
}

// request registers with everything.
func (d *device) request() wire.RegisterRequest {
	d.t.Helper()
	r := wire.RegisterRequest{EKTPM: encode(d.tpm.EKPublic()), AIKTPM: encode(d.tpm.AKPublic()),
		IAKTPM: encode(d.tpm.IAKPublic()), IDevIDTPM: encode(d.tpm.IDevIDPublic()),
		IAKCert: d.cert(d.ca, "IAK", d.tpm.IAKPublic()), IDevIDCert: d.cert(d.ca, "IDevID", d.tpm.IDevIDPublic())}
	hashed := sha256.Sum256([]byte(agentID))
	d.certify(&r, hashed[:], nil)
	return r
}

// certify makes attestation and signature, of an attestation that is changed.
func (d *device) certify(r *wire.RegisterRequest, extra []byte, change func(*tpm2.TPMSAttest)) {
	d.t.Helper()
	attest, sign, err := d.tpm.Certify(extra)
	if err != nil {
		d.t.Fatal(err)
	}
	if change != nil {
		a, err := tpm2.Unmarshal[tpm2.TPMSAttest](attest)
		if err != nil {
			d.t.Fatal(err)
		}
		change(a)
		attest = tpm2.Marshal(*a)
		if sign, err = d.tpm.SignWithIAK(attest); err != nil {
			d.t.Fatal(err)
		}
	}
	r.IAKAttest, r.IAKSign = encode(attest), encode(sign)
}

// TestDeviceIdentity: each check of PROTOCOL.md 3.4, steps 3 to 5, refuses what
// spoils just its input.
func TestDeviceIdentity(t *testing.T) {
	t.Parallel()
	good := newDevice(t, Options{}, "ecc")
	foreign, err := softtpm.NewEKCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.MakeIdentity("ecc"); err != nil {
		t.Fatal(err)
	}
	hashed := sha256.Sum256([]byte(agentID))
	empty := ""
	certified := func(change func(*tpm2.TPMSAttest)) func(*wire.RegisterRequest) {
		return func(r *wire.RegisterRequest) { good.certify(r, hashed[:], change) }
	}
	for _, c := range []struct {
		name  string
		spoil func(*wire.RegisterRequest)
		check Check
		field string
		quote quote.Check
	}{
		{"nothing", func(*wire.RegisterRequest) {}, "", "", ""},
		{"the raw id, as old agents", func(r *wire.RegisterRequest) { good.certify(r, []byte(agentID), nil) }, "", "", ""},
		{"certificates in PEM", func(r *wire.RegisterRequest) {
			der, _ := base64.StdEncoding.DecodeString(*r.IAKCert)
			text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			r.IAKCert = &text
		}, "", "", ""},
		{"no identity", func(r *wire.RegisterRequest) {
			*r = wire.RegisterRequest{EKTPM: r.EKTPM, AIKTPM: r.AIKTPM, IAKCert: &empty}
		}, "", "", ""},

		{"IAK is no key", func(r *wire.RegisterRequest) { r.IAKTPM = "AAAA" }, CheckField, "iak_tpm", ""},
		{"IAK is no base64", func(r *wire.RegisterRequest) { r.IAKTPM = "?" }, CheckField, "iak_tpm", ""},
		{"IDevID is no key", func(r *wire.RegisterRequest) { r.IDevIDTPM = "AAAA" }, CheckField, "idevid_tpm", ""},
		{"IAK certificate is none", func(r *wire.RegisterRequest) { r.IAKCert = &r.IAKTPM }, CheckField, "iak_cert", ""},
		{"IDevID certificate is none", func(r *wire.RegisterRequest) { r.IDevIDCert = &r.IAKTPM }, CheckField, "idevid_cert", ""},

		{"IAK certificate of another key", func(r *wire.RegisterRequest) { r.IAKCert = good.cert(good.ca, "IAK", other.IAKPublic()) }, CheckKeyMatch, "iak_cert", ""},
		{"IDevID certificate of another key", func(r *wire.RegisterRequest) { r.IDevIDCert = r.IAKCert }, CheckKeyMatch, "idevid_cert", ""},
		{"IAK certificate of a foreign authority", func(r *wire.RegisterRequest) { r.IAKCert = good.cert(foreign, "IAK", good.tpm.IAKPublic()) }, CheckIssuer, "iak_cert", ""},
		{"IDevID certificate of a foreign authority", func(r *wire.RegisterRequest) { r.IDevIDCert = good.cert(foreign, "IDevID", good.tpm.IDevIDPublic()) }, CheckIssuer, "idevid_cert", ""},

		{"no attestation", func(r *wire.RegisterRequest) { r.IAKAttest = "" }, CheckBinding, "aik_tpm", ""},
		{"no signature", func(r *wire.RegisterRequest) { r.IAKSign = "" }, CheckBinding, "aik_tpm", ""},
		{"attestation is no base64", func(r *wire.RegisterRequest) { r.IAKAttest = "?" }, CheckBinding, "aik_tpm", ""},
		{"signature is no base64", func(r *wire.RegisterRequest) { r.IAKSign = "?" }, CheckBinding, "aik_tpm", ""},
		{"AK is no base64", func(r *wire.RegisterRequest) { r.AIKTPM = "?" }, CheckBinding, "aik_tpm", ""},
		{"signature is none", func(r *wire.RegisterRequest) { r.IAKSign = "AAAA" }, CheckBinding, "aik_tpm", quote.CheckSignatureFormat},
		{"signature by another IAK", func(r *wire.RegisterRequest) {
			attest, _ := base64.StdEncoding.DecodeString(r.IAKAttest)
			sign, _ := other.SignWithIAK(attest)
			r.IAKSign = encode(sign)
		}, CheckBinding, "aik_tpm", quote.CheckSignature},
		{"attestation changed", func(r *wire.RegisterRequest) {
			attest, _ := base64.StdEncoding.DecodeString(r.IAKAttest)
			attest[len(attest)-1] ^= 1
			r.IAKAttest = encode(attest)
		}, CheckBinding, "aik_tpm", quote.CheckSignature},
		{"not made by a TPM", certified(func(a *tpm2.TPMSAttest) { a.Magic ^= 1 }), CheckBinding, "aik_tpm", quote.CheckMagic},
		{"for another agent", func(r *wire.RegisterRequest) { good.certify(r, []byte("another"), nil) }, CheckBinding, "aik_tpm", quote.CheckNonce},
		{"for nobody", func(r *wire.RegisterRequest) { good.certify(r, nil, nil) }, CheckBinding, "aik_tpm", quote.CheckNonce},
		{"another key certified", certified(func(a *tpm2.TPMSAttest) {
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{Name: tpm2.TPM2BName{Buffer: other.AKName()}})
		}), CheckBinding, "aik_tpm", quote.CheckCertifiedName},
		{"another AK registered", func(r *wire.RegisterRequest) { r.AIKTPM = encode(other.AKPublic()) }, CheckBinding, "aik_tpm", quote.CheckCertifiedName},
		{"AK is no key", func(r *wire.RegisterRequest) { r.AIKTPM = "AAAA" }, CheckBinding, "aik_tpm", quote.CheckCertifiedName},
		{"a quote instead", func(r *wire.RegisterRequest) {
			attest, _, _, err := good.tpm.Quote(hashed[:], []int{0}, "sha256")
			if err != nil {
				t.Fatal(err)
			}
			sign, _ := good.tpm.SignWithIAK(attest)
			r.IAKAttest, r.IAKSign = encode(attest), encode(sign)
		}, CheckBinding, "aik_tpm", quote.CheckType},
		{"bytes behind the attestation", func(r *wire.RegisterRequest) {
			attest, _ := base64.StdEncoding.DecodeString(r.IAKAttest)
			attest = append(attest, 0)
			sign, _ := good.tpm.SignWithIAK(attest)
			r.IAKAttest, r.IAKSign = encode(attest), encode(sign)
		}, CheckBinding, "aik_tpm", quote.CheckAttest},

		{"IAK without IDevID", func(r *wire.RegisterRequest) { r.IDevIDTPM = "" }, CheckComplete, "iak_tpm, idevid_tpm", ""},
		{"keys without certificates", func(r *wire.RegisterRequest) { r.IAKCert, r.IDevIDCert = nil, nil }, CheckComplete, "iak_cert, idevid_cert", ""},
		{"one certificate", func(r *wire.RegisterRequest) { r.IAKCert = &empty }, CheckComplete, "iak_cert, idevid_cert", ""},
		{"certificates without keys", func(r *wire.RegisterRequest) { r.IAKTPM, r.IDevIDTPM = "", "" }, CheckComplete, "iak_tpm, idevid_tpm", ""},
		{"neither EK nor IAK", func(r *wire.RegisterRequest) { r.EKTPM, r.IAKTPM = "", "" }, CheckIdentity, "iak_tpm", ""},
		{"neither EK nor IDevID", func(r *wire.RegisterRequest) { r.EKTPM, r.IDevIDTPM = "", "" }, CheckIdentity, "idevid_tpm", ""},
	} {
		request := good.request()
		c.spoil(&request)
		_, err := good.server.identity(agentID, request)
		var refused *RegistrationError
		if c.check == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.As(err, &refused) || refused.Check != c.check || refused.Field != c.field {
			t.Errorf("%s: %v, want check %q of %s", c.name, err, c.check, c.field)
			continue
		}
		var verification *quote.VerificationError
		if errors.As(err, &verification) != (c.quote != "") || verification != nil && verification.Check != c.quote {
			t.Errorf("%s: %v, want %q", c.name, err, c.quote)
		}
	}
}

func TestDeviceIdentityRSA(t *testing.T) {
	t.Parallel()
	d := newDevice(t, Options{}, "rsa")
	if _, err := d.server.identity(agentID, d.request()); err != nil {
		t.Error(err)
	}
	d.server.certStore = ""
	var refused *RegistrationError
	if _, err := d.server.identity(agentID, d.request()); !errors.As(err, &refused) || refused.Check != CheckIssuer {
		t.Error(err)
	}
	d.server.certStore = filepath.Join(t.TempDir(), "nowhere")
	if _, err := d.server.identity(agentID, d.request()); !errors.As(err, &refused) || refused.Check != CheckIssuer {
		t.Error(err)
	}
}

// TestProviderKeys: an old record's provider keys are in the answer, and outlive
// a registration, as do not the keys of a device identity, which nobody is told.
func TestProviderKeys(t *testing.T) {
	t.Parallel()
	d := newDevice(t, Options{}, "ecc")
	state := filepath.Join(t.TempDir(), "registrar.json")
	old := `[{"active": true, "key": "k", "record": {"agent_id": "` + agentID + `", "ek_tpm": "` + encode(d.tpm.EKPublic()) + `", "aik_tpm": "` +
		encode(d.tpm.AKPublic()) + `", "ekcert": null, "mtls_cert": null, "ip": null, "port": null, "regcount": 3, "provider_keys": {"ek": "x"}}}]`
	if err := os.WriteFile(state, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{StateFile: state, CertStore: d.server.certStore})
	if err != nil {
		t.Fatal(err)
	}
	show := func() string {
		t.Helper()
		answer := s.show(&serve.Request{Params: map[string]string{"id": agentID}})
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := show(); !strings.Contains(got, `"provider_keys":{"ek":"x"}`) {
		t.Error(got)
	}
	body, err := json.Marshal(d.request())
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v2.6/agents/"+agentID, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	s.Handler(false).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	again, err := New(Options{StateFile: state})
	if err != nil {
		t.Fatal(err)
	}
	kept := again.agents[agentID]
	if kept.Device == nil || kept.Device.IAK != encode(d.tpm.IAKPublic()) || kept.Device.IDevIDCert == "" || kept.Record.RegCount != 4 {
		t.Errorf("%+v", kept)
	}
	s.agents[agentID].Active = true
	if got := show(); !strings.Contains(got, `"provider_keys":{"ek":"x"}`) || strings.Contains(got, "iak") || strings.Contains(got, "idevid") {
		t.Error(got)
	}
}

// TestTPMIdentity: what each value of tpm_identity demands.
func TestTPMIdentity(t *testing.T) {
	t.Parallel()
	d := newDevice(t, Options{}, "ecc")
	whole := d.request()
	ekAlone := wire.RegisterRequest{EKTPM: whole.EKTPM, AIKTPM: whole.AIKTPM}
	device := whole
	device.EKTPM = ""
	for setting, want := range map[string][3]bool{ // everything, EK alone, IAK and IDevID alone
		"": {true, true, true}, IdentityDefault: {true, true, true}, IdentityEither: {true, true, true}, IdentityEK: {true, true, false}, IdentityDevID: {true, false, true},
	} {
		s, err := New(Options{TPMIdentity: setting, CertStore: d.server.certStore})
		if err != nil {
			t.Fatal(err)
		}
		for i, request := range []wire.RegisterRequest{whole, ekAlone, device} {
			_, err := s.identity(agentID, request)
			var refused *RegistrationError
			if (err == nil) != want[i] || err != nil && (!errors.As(err, &refused) || refused.Check != CheckIdentity) {
				t.Errorf("%q, request %d: %v", setting, i, err)
			}
		}
	}
	if _, err := New(Options{TPMIdentity: "ek"}); err == nil || !strings.Contains(err.Error(), "iak_idevid") {
		t.Error(err)
	}
}

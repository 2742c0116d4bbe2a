//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// TestDeviceIdentityAtRealRegistrar: a registrar that demands IAK and IDevID
// takes our agent with them, and not without; our tenant then adds the agent.
func TestDeviceIdentityAtRealRegistrar(t *testing.T) {
	t.Parallel()
	k := startKeylime(t, settings{"registrar.tpm_identity": "iak_idevid"})
	const id = "aaaaaaaa-0000-4000-8000-00000000d001"
	agent := k.startAgent(t, id, "--iak-idevid")
	log := readText(t, filepath.Join(k.dir, "keylime_registrar.log"))
	for _, want := range []string{"IDevID and IAK received for agent '" + id + "'", "Agent " + id + " AIK verified with IAK"} {
		if !strings.Contains(log, want) {
			t.Errorf("the registrar does not say %q:\n%s", want, log)
		}
	}
	k.ours(t, "add", id, "--targethost", "127.0.0.1", "--wait", "attested").want(t, 0)
	k.ours(t, "delete", id).want(t, 0)
	agent.stop()
	// Registered before with its EK, now without the device identity.
	alone := run(t, 30*time.Second, k.env(), k.dir, k.binary, "lab", "agent", "--dir", t.TempDir(), "--uuid", "alone", "--port", strconv.Itoa(freePort(t)),
		"--registrar", "127.0.0.1:"+strconv.Itoa(k.registrarPort), "--trusted-client-ca", filepath.Join(k.dir, "cv_ca/cacert.crt"))
	if alone.code == 0 || !strings.Contains(alone.err, "Could not register agent with invalid data") {
		t.Errorf("%d %s", alone.code, alone.err)
	}
	// A device identity that nobody vouches for.
	foreign := run(t, 30*time.Second, k.env(), k.dir, k.binary, "lab", "agent", "--dir", t.TempDir(), "--uuid", "foreign", "--port", strconv.Itoa(freePort(t)), "--iak-idevid",
		"--registrar", "127.0.0.1:"+strconv.Itoa(k.registrarPort), "--trusted-client-ca", filepath.Join(k.dir, "cv_ca/cacert.crt"))
	if foreign.code == 0 || !strings.Contains(foreign.err, "Could not register agent with invalid data") {
		t.Errorf("%d %s", foreign.code, foreign.err)
	}
}

// deviceCase is a registration that is spoiled in one place.
type deviceCase struct {
	name  string
	spoil func(d *deviceTPM, r *wire.RegisterRequest)
}

// deviceTPM is a TPM with a device identity and who certifies it.
type deviceTPM struct {
	t         *testing.T
	tpm       *softtpm.TPM
	ca, other *softtpm.EKCA
}

func (d *deviceTPM) cert(ca *softtpm.EKCA, public []byte) *string {
	der, err := ca.IssueIdentity("key", public, time.Now())
	must(d.t, err)
	text := base64.StdEncoding.EncodeToString(der)
	return &text
}

func (d *deviceTPM) certify(r *wire.RegisterRequest, extra []byte, change func(*tpm2.TPMSAttest)) {
	attest, sign, err := d.tpm.Certify(extra)
	must(d.t, err)
	if change != nil {
		a, err := tpm2.Unmarshal[tpm2.TPMSAttest](attest)
		must(d.t, err)
		change(a)
		attest = tpm2.Marshal(*a)
		sign, err = d.tpm.SignWithIAK(attest)
		must(d.t, err)
	}
	r.IAKAttest, r.IAKSign = base64.StdEncoding.EncodeToString(attest), base64.StdEncoding.EncodeToString(sign)
}

func (d *deviceTPM) request(id string) wire.RegisterRequest {
	encode := base64.StdEncoding.EncodeToString
	r := wire.RegisterRequest{EKTPM: encode(d.tpm.EKPublic()), AIKTPM: encode(d.tpm.AKPublic()), IAKTPM: encode(d.tpm.IAKPublic()),
		IDevIDTPM: encode(d.tpm.IDevIDPublic()), IAKCert: d.cert(d.ca, d.tpm.IAKPublic()), IDevIDCert: d.cert(d.ca, d.tpm.IDevIDPublic())}
	hashed := sha256.Sum256([]byte(id))
	d.certify(&r, hashed[:], nil)
	return r
}

func deviceCases(id string) []deviceCase {
	hashed := sha256.Sum256([]byte(id))
	return []deviceCase{
		{"whole", func(*deviceTPM, *wire.RegisterRequest) {}},
		{"raw id", func(d *deviceTPM, r *wire.RegisterRequest) { d.certify(r, []byte(id), nil) }},
		{"other id", func(d *deviceTPM, r *wire.RegisterRequest) { d.certify(r, []byte("other"), nil) }},
		{"no data", func(d *deviceTPM, r *wire.RegisterRequest) { d.certify(r, nil, nil) }},
		{"magic", func(d *deviceTPM, r *wire.RegisterRequest) {
			d.certify(r, hashed[:], func(a *tpm2.TPMSAttest) { a.Magic ^= 1 })
		}},
		{"another key certified", func(d *deviceTPM, r *wire.RegisterRequest) {
			d.certify(r, hashed[:], func(a *tpm2.TPMSAttest) {
				a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{Name: tpm2.TPM2BName{Buffer: append([]byte{0, 11}, hashed[:]...)}})
			})
		}},
		{"signature of something else", func(d *deviceTPM, r *wire.RegisterRequest) {
			sign := r.IAKSign
			d.certify(r, hashed[:], nil)
			r.IAKSign = sign
		}},
		{"no attestation", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IAKAttest = "" }},
		{"no signature", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IAKSign = "" }},
		{"IAK certificate of a foreign authority", func(d *deviceTPM, r *wire.RegisterRequest) { r.IAKCert = d.cert(d.other, d.tpm.IAKPublic()) }},
		{"IDevID certificate of a foreign authority", func(d *deviceTPM, r *wire.RegisterRequest) { r.IDevIDCert = d.cert(d.other, d.tpm.IDevIDPublic()) }},
		{"IAK certificate of another key", func(d *deviceTPM, r *wire.RegisterRequest) { r.IAKCert = r.IDevIDCert }},
		{"IDevID certificate of another key", func(d *deviceTPM, r *wire.RegisterRequest) { r.IDevIDCert = r.IAKCert }},
		{"keys without certificates", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IAKCert, r.IDevIDCert = nil, nil }},
		{"one certificate", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IDevIDCert = nil }},
		{"one key", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IDevIDTPM = "" }},
		{"certificates alone", func(_ *deviceTPM, r *wire.RegisterRequest) { r.IAKTPM, r.IDevIDTPM = "", "" }},
		{"EK alone", func(_ *deviceTPM, r *wire.RegisterRequest) {
			*r = wire.RegisterRequest{EKTPM: r.EKTPM, AIKTPM: r.AIKTPM}
		}},
		{"no EK", func(_ *deviceTPM, r *wire.RegisterRequest) { r.EKTPM = "" }},
		{"no key at all", func(_ *deviceTPM, r *wire.RegisterRequest) { *r = wire.RegisterRequest{AIKTPM: r.AIKTPM} }},
	}
}

// TestDeviceIdentityLikeReal: the lab's registrar and the real one give the same
// answers to the same registrations, with each value of tpm_identity.
func TestDeviceIdentityLikeReal(t *testing.T) {
	t.Parallel()
	for _, setting := range registrar.Identities() {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			k := startKeylime(t, settings{"registrar.tpm_identity": setting})
			d := &deviceTPM{t: t}
			var err error
			d.tpm, err = softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
			must(t, err)
			must(t, d.tpm.MakeIdentity("ecc"))
			d.ca, err = softtpm.NewEKCA(time.Now())
			must(t, err)
			d.other, err = softtpm.NewEKCA(time.Now())
			must(t, err)
			must(t, os.WriteFile(filepath.Join(k.certStore, "device-ca.pem"), d.ca.CertificatePEM(), 0o644))
			ours, err := registrar.New(registrar.Options{TPMIdentity: setting, CertStore: k.certStore})
			must(t, err)
			lab := httptest.NewServer(ours.Handler(false))
			defer lab.Close()
			post := func(base, id string, r wire.RegisterRequest) (code int, status string) {
				body, err := json.Marshal(r)
				must(t, err)
				reply, err := http.Post(base+"/v2.6/agents/"+id, "application/json", bytes.NewReader(body))
				must(t, err)
				defer reply.Body.Close()
				text, err := io.ReadAll(reply.Body)
				must(t, err)
				var answer struct{ Status string }
				_ = json.Unmarshal(text, &answer)
				return reply.StatusCode, answer.Status
			}
			good := 0
			for n := range deviceCases("") {
				id := "device-" + strconv.Itoa(n)
				c := deviceCases(id)[n]
				r := d.request(id)
				c.spoil(d, &r)
				code, status := post("http://127.0.0.1:"+strconv.Itoa(k.registrarPort), id, r)
				labCode, labStatus := post(lab.URL, id, r)
				if code != labCode || !strings.EqualFold(status, labStatus) {
					t.Errorf("%s: real %d %q, lab %d %q", c.name, code, status, labCode, labStatus)
				}
				if code == http.StatusOK {
					good++
				}
			}
			t.Logf("%d registrations, %d of them accepted by both", len(deviceCases("")), good)
		})
	}
}

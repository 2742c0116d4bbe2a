package agent_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// fakeAttestor wants evidence while it has a nonce.
type fakeAttestor struct {
	mu    sync.Mutex
	want  wire.IntegrityRequest
	shown []*wire.IntegrityQuote
}

func (f *fakeAttestor) Challenge(id string) (wire.IntegrityRequest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.want.Nonce == "" || id != "pusher" {
		return wire.IntegrityRequest{}, errors.New("nothing is wanted")
	}
	return f.want, nil
}

func (f *fakeAttestor) Attest(_ context.Context, _ string, q *wire.IntegrityQuote) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = append(f.shown, q)
	return errors.New("never good enough")
}

func (f *fakeAttestor) last(want wire.IntegrityRequest) *wire.IntegrityQuote {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.want != want {
		f.want, f.shown = want, nil
	}
	if len(f.shown) < 2 { // the first may have been under way
		return nil
	}
	return f.shown[len(f.shown)-1]
}

// TestPushAgent: it listens to nobody, says so to the registrar, and shows what
// it is asked for again and again, whatever the verifier thinks of it.
func TestPushAgent(t *testing.T) {
	t.Parallel()
	r, err := registrar.Start(registrar.Options{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	config := agent.Defaults(t.TempDir())
	config.UUID, config.RegistrarPort, config.ContactPort = "pusher", r.Port(), 9002
	to := &fakeAttestor{}
	machine := newMachine(t, "sb-on", "")
	a, err := agent.Start(t.Context(), agent.Options{Config: config, Machine: machine, Attestor: to, AttestEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Port() != 9002 {
		t.Errorf("port %d", a.Port())
	}
	evidence := func(want wire.IntegrityRequest) *wire.IntegrityQuote {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if q := to.last(want); q != nil {
				return q
			}
		}
		t.Fatal("it shows nothing")
		return nil
	}
	q := evidence(wire.IntegrityRequest{Nonce: "first", Mask: "0x401"})
	verified, err := quote.Verify(quote.Untrusted{Quote: q.Quote.Quote, HashAlg: q.HashAlg, TransportKeyPEM: q.PubKeyPEM},
		quote.Expect{AK: machine.TPM().AKPublic(), Nonce: "first", BindTransportKey: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := verified.PCR(10); !ok || q.IMAList == nil || *q.IMAEntry != 0 || q.MBLog == nil || q.BootTime == nil {
		t.Errorf("%v, %+v", verified.PCRs(), q)
	}
	if q = evidence(wire.IntegrityRequest{Nonce: "second", Mask: "0x400", IMAEntry: 2}); *q.IMAEntry != 2 || q.MBLog != nil {
		t.Errorf("%+v", q)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestRegisteringWithAnOldRegistrar: the EK certificate is base64 of DER there.
func TestRegisteringWithAnOldRegistrar(t *testing.T) {
	t.Parallel()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("a certificate")})
	for version, want := range map[string]string{"2.1": base64.StdEncoding.EncodeToString([]byte("a certificate")), "2.3": string(certPEM)} {
		var got struct {
			EKCert   string `json:"ekcert"`
			MTLSCert string `json:"mtls_cert"`
		}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/version" {
				_, _ = io.WriteString(w, `{"code": 200, "status": "Success", "results": {"current_version": "`+version+`", "supported_versions": ["`+version+`"]}}`)
				return
			}
			_ = json.NewDecoder(r.Body).Decode(&got)
			w.WriteHeader(http.StatusTeapot)
		}))
		config := agent.Defaults(t.TempDir())
		config.UUID, config.RegistrarPort = "old", s.Listener.Addr().(*net.TCPAddr).Port
		_, err := agent.Start(t.Context(), agent.Options{Config: config, Machine: newMachine(t, "sb-on", ""), EKCertPEM: certPEM, Attestor: &fakeAttestor{}})
		s.Close()
		if err == nil || !strings.Contains(err.Error(), "418") || got.EKCert != want || got.MTLSCert != "disabled" {
			t.Errorf("API %s: %v, %+v", version, err, got)
		}
	}
}

package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/pkitest"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

const agentID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// pair is a certificate and its key.
type pair = pkitest.Pair

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
func ending(c *x509.Certificate)  { c.NotAfter = time.Now().AddDate(0, 0, 9) }
func future(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, 1), time.Now().AddDate(0, 0, 90)
}

// tpm is a TPM with a certificate of a maker: made once, since keys cost time.
type tpm struct {
	public string // base64 of TPM2B_PUBLIC
	cert   string // base64 of DER
	caPEM  string
}

var theTPM = sync.OnceValues(func() (*tpm, error) {
	device, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		return nil, err
	}
	ca, err := softtpm.NewEKCA(time.Now())
	if err != nil {
		return nil, err
	}
	der, err := ca.IssueEK(device.EKPublic(), time.Now())
	if err != nil {
		return nil, err
	}
	return &tpm{public: base64.StdEncoding.EncodeToString(device.EKPublic()), cert: base64.StdEncoding.EncodeToString(der), caPEM: string(ca.CertificatePEM())}, nil
})

// fake is a server of Keylime about to be spoiled.
type fake struct {
	cert *pair
	// chain is presented after the certificate.
	chain     []*x509.Certificate
	clientCAs []*pair
	auth      tls.ClientAuthType
	newest    uint16 // of TLS; 0: any
	// open gives everything to anybody.
	open bool
	// plain speaks no TLS; raw replaces everything.
	plain bool
	raw   func(net.Conn)
	// versions are told; status, if not 0, is told instead.
	versions []string
	status   int
	// takes is the one version that it takes, without telling it.
	takes string
	// off is how far its clock is ahead.
	off time.Duration
	// records by id; nil answers 404.
	records map[string]any
	// stall never answers a request.
	stall bool
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().Add(f.off).UTC().Format(http.TimeFormat))
	status := ""
	answer := func(code int, results any) {
		if status == "" {
			status = http.StatusText(code)
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "status": status, "results": results})
	}
	admin := f.open || r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && r.TLS.PeerCertificates[0].Subject.CommonName != ""
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case f.stall:
		<-r.Context().Done()
	case f.takes != "" && !strings.HasPrefix(r.URL.Path, "/v"+f.takes+"/"):
		status = "API version not supported"
		answer(400, map[string]any{})
	case r.URL.Path == "/version" && f.status != 0:
		answer(f.status, map[string]any{})
	case r.URL.Path == "/version":
		answer(200, map[string]any{"current_version": "2.6", "supported_versions": f.versions})
	case !admin:
		answer(403, map[string]any{})
	case path == "agents/":
		answer(200, map[string]any{"uuids": []string{agentID}})
	default:
		if record := f.records[strings.TrimPrefix(path, "agents/")]; record != nil {
			answer(200, record)
			return
		}
		answer(404, map[string]any{})
	}
}

// start serves and returns the port.
func (f *fake) start(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if f.raw != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				f.raw(conn)
			}
		}()
		t.Cleanup(func() { _ = l.Close(); <-done })
		return port
	}
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if f.plain {
		s.Start()
		t.Cleanup(s.Close)
		return port
	}
	pool := x509.NewCertPool()
	for _, ca := range f.clientCAs {
		pool.AddCert(ca.Cert)
	}
	cert := f.cert.TLS()
	for _, c := range f.chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: f.auth, ClientCAs: pool, MaxVersion: f.newest}
	if f.newest != 0 && f.newest < tls.VersionTLS12 {
		s.TLS.MinVersion = tls.VersionTLS10
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return port
}

// world is a whole set-up in which all is well, about to be spoiled.
type world struct {
	t         testing.TB
	dir       string
	ca        *pair
	client    *pair
	registrar *fake
	verifier  *fake
	agent     *fake
	record    map[string]any
	setup     Setup
	// late changes the set-up after the servers have been started.
	late []func()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	device, err := theTPM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &world{t: t, dir: dir, ca: pkitest.NewAuthority(t, "Keylime Certificate Authority", nil)}
	w.client = w.ca.Issue(t, "client", nil)
	server := func() *fake {
		return &fake{cert: w.ca.Issue(t, "server", nil), clientCAs: []*pair{w.ca}, auth: tls.VerifyClientCertIfGiven, versions: []string{"2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"}}
	}
	w.registrar, w.verifier = server(), server()
	self := pkitest.NewAuthority(t, agentID, nil)
	w.agent = &fake{cert: self, clientCAs: []*pair{w.ca}, auth: tls.RequireAndVerifyClientCert, versions: []string{"2.1", "2.2"}}
	w.record = map[string]any{"aik_tpm": "AAAA", "ek_tpm": device.public, "ekcert": device.cert, "mtls_cert": pkitest.CertPEM(self.Cert), "ip": "127.0.0.1", "port": 0, "regcount": 1}
	w.write("cacert.crt", pkitest.CertPEM(w.ca.Cert), 0o644)
	w.write("client-cert.crt", pkitest.CertPEM(w.client.Cert), 0o644)
	w.write("client-private.pem", w.client.KeyPEM(t), 0o600)
	w.write("store/maker.pem", device.caPEM, 0o644)
	w.write("tenant.conf", "[tenant]\n", 0o600)
	w.setup = Setup{
		Configuration: Configuration{Files: []string{w.path("tenant.conf")}, PasswordFile: w.path("tenant.conf")},
		TLS:           client.TLSFiles{CAFiles: []string{w.path("cacert.crt")}, CertFile: w.path("client-cert.crt"), KeyFile: w.path("client-private.pem")},
		TLSDir:        dir, EnableAgentTLS: true, AgentID: agentID, UID: os.Geteuid(), Limit: 2 * time.Second,
		EK: EK{RequireCert: true, Require: "chain", StoreDir: w.path("store"), PinFile: w.path("ek_pins.txt")},
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string, mode os.FileMode) {
	w.t.Helper()
	path := w.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.chmod(name, mode)
}

func (w *world) chmod(name string, mode os.FileMode) {
	w.t.Helper()
	if err := os.Chmod(w.path(name), mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// renewClient gives us another certificate.
func (w *world) renewClient(ca *pair, change func(*x509.Certificate)) {
	w.t.Helper()
	w.client = ca.Issue(w.t, "client", change)
	w.write("client-cert.crt", pkitest.CertPEM(w.client.Cert), 0o644)
	w.write("client-private.pem", w.client.KeyPEM(w.t), 0o600)
}

// run starts all servers and looks at them.
func (w *world) run() *Report {
	w.t.Helper()
	w.setup.Registrar = Server{"127.0.0.1", 0}
	if w.agent != nil {
		w.record["port"] = w.agent.start(w.t)
	}
	if w.registrar.records == nil {
		w.registrar.records = map[string]any{agentID: w.record}
	}
	if w.verifier.records == nil {
		w.verifier.records = map[string]any{agentID: map[string]any{"operational_state": 3, "attestation_count": 2}}
	}
	w.setup.Registrar = Server{"127.0.0.1", w.registrar.start(w.t)}
	w.setup.Verifier = Server{"127.0.0.1", w.verifier.start(w.t)}
	for _, change := range w.late {
		change()
	}
	report, err := Run(context.Background(), w.setup)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// find are the findings of a check on a hop.
func find(r *Report, hop string, check Check) (found []Finding) {
	for _, h := range r.Hops {
		if h.Name != hop {
			continue
		}
		for _, f := range h.Findings {
			if f.Check == check {
				found = append(found, f)
			}
		}
	}
	return found
}

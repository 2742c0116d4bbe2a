package verifier_test

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keylime/keylime-tenant/client"
	wireagent "github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedNK is the transport key of all fake agents: making one takes a while.
var sharedNK = sync.OnceValues(softtpm.NewTransportKey)

// fakeAgent is an agent that can be made to lie about one thing at a time.
type fakeAgent struct {
	t        *testing.T
	tpm      *softtpm.TPM
	listener *serve.Listener
	certPEM  string

	mu sync.Mutex
	nk *rsa.PrivateKey
	// Lies, all at rest when zero.
	spoil    func(q *wireagent.IntegrityQuote)
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: answered
	nonce    string                                            // quoted instead of the one asked for
	drop     []int                                             // registers left out of the quote
	unbound  bool                                              // PCR 16 holds something else
	other    *softtpm.TPM                                      // signs instead
	version  string                                            // the only version spoken
	boot     recorded.Boot
	received []string // V as it came, decrypted
	notices  []string
	masks    []string
}

func newFakeAgent(t *testing.T) *fakeAgent {
	t.Helper()
	a := &fakeAgent{t: t, tpm: newTPM(t)}
	var err error
	a.nk, err = sharedNK()
	check(t, err)
	key, err := pki.NewKey()
	check(t, err)
	pair, err := pki.SelfSigned("agent", key, nil, time.Now())
	check(t, err)
	cert, err := pair.TLS()
	check(t, err)
	a.certPEM = string(pair.CertPEM)
	a.listener, err = serve.Listen("127.0.0.1", 0, http.HandlerFunc(a.serve), &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	check(t, err)
	t.Cleanup(func() { check(t, a.listener.Close()) })
	return a
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTPM(t *testing.T) *softtpm.TPM {
	t.Helper()
	tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	check(t, err)
	return tpm
}

func (a *fakeAgent) with(change func(*fakeAgent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func say(w http.ResponseWriter, code int, status string, results any) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "status": status, "results": results})
}

func (a *fakeAgent) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answer != nil && a.answer(w, r) {
		return
	}
	prefix, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	switch {
	case r.URL.Path == "/version":
		say(w, 200, "Success", wireagent.Versions{Supported: a.version, SupportedList: []string{a.version}})
		return
	case a.version != "" && prefix != a.version:
		say(w, 400, "API version not supported: v"+prefix, struct{}{})
		return
	}
	switch rest {
	case "quotes/integrity":
		a.integrity(w, r)
	case "keys/vkey":
		var body wireagent.VKeyRequest
		_ = json.NewDecoder(r.Body).Decode(&body)
		v, err := payload.OpenShare(a.nk, body.EncryptedKey)
		if err != nil {
			say(w, 400, err.Error(), struct{}{})
			return
		}
		a.received = append(a.received, base64.StdEncoding.EncodeToString(v.Bytes()))
		say(w, 200, "Success", nil)
	case "notifications/revocation":
		var body struct{ Msg, Signature string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		a.notices = append(a.notices, body.Msg)
		say(w, 200, "Success", nil)
	default:
		say(w, 404, "Not Found", struct{}{})
	}
}

func (a *fakeAgent) integrity(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	a.masks = append(a.masks, query.Get("mask"))
	pem, err := softtpm.TransportKeyPEM(&a.nk.PublicKey)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	tpm, bound := a.tpm, pem
	if a.other != nil {
		tpm = a.other
	}
	if a.unbound {
		bound = "another key"
	}
	if tpm.BindTransportKey(bound) != nil {
		panic(http.ErrAbortHandler)
	}
	mask, _ := strconv.ParseUint(strings.TrimPrefix(query.Get("mask"), "0x"), 16, 32)
	mask |= 1 << 16
	var registers []int
	for n := range 24 {
		if mask&(1<<n) != 0 && !slices.Contains(a.drop, n) {
			registers = append(registers, n)
		}
	}
	nonce := query.Get("nonce")
	if a.nonce != "" {
		nonce = a.nonce
	}
	text, err := tpm.QuoteString(nonce, registers, "sha256")
	if err != nil {
		say(w, 500, "Unable to retrieve quote", struct{}{})
		return
	}
	q := wireagent.IntegrityQuote{Quote: wireagent.Quote{Quote: text, HashAlg: "sha256", EncAlg: "ecc256", SignAlg: "ecdsa"}}
	if query.Get("partial") == "0" {
		q.PubKeyPEM = pem
	}
	if a.boot.IMA != nil {
		entry, _ := strconv.Atoi(query.Get("ima_ml_entry"))
		lines := strings.SplitAfter(string(a.boot.IMA), "\n")
		list := strings.Join(lines[min(entry, len(lines)-1):], "")
		q.IMAList, q.IMAEntry = &list, &entry
	}
	if mask&1 != 0 && a.boot.Log != nil {
		log := base64.StdEncoding.EncodeToString(a.boot.Log)
		q.MBLog = &log
	}
	if a.spoil != nil {
		a.spoil(&q)
	}
	say(w, 200, "Success", q)
}

// world is a verifier with one caller, who is an administrator.
type world struct {
	t       *testing.T
	server  *verifier.Server
	handler http.Handler
}

// newWorld makes a verifier without a listener; its handler is called directly,
// as by an administrator.
func newWorld(t *testing.T, change func(*verifier.Options)) *world {
	t.Helper()
	ca, err := pki.NewCA(time.Now())
	check(t, err)
	pair, err := ca.Client("client", time.Now())
	check(t, err)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, text, 0o600))
		return path
	}
	agents, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{file("ca", ca.CertPEM)}, CertFile: file("cert", pair.CertPEM), KeyFile: file("key", pair.KeyPEM)})
	check(t, err)
	o := verifier.Options{Host: "127.0.0.1", Agents: agents, Interval: 10 * time.Millisecond, RetryInterval: 5 * time.Millisecond, MaxRetries: 2}
	if change != nil {
		change(&o)
	}
	w := &world{t: t}
	w.server, err = verifier.New(o)
	check(t, err)
	t.Cleanup(func() { check(t, w.server.Close()) })
	cert, err := pair.TLS()
	check(t, err)
	routes := w.server.Handler(true)
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		chain := []*x509.Certificate{cert.Leaf}
		r.TLS = &tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}}
		routes.ServeHTTP(rw, r)
	})
	return w
}

// answer is a decoded answer.
type answer struct {
	HTTP    int
	Code    int             `json:"code"`
	Status  string          `json:"status"`
	Results json.RawMessage `json:"results"`
	body    string
}

func (w *world) call(method, path string, body any) answer {
	w.t.Helper()
	text := ""
	switch b := body.(type) {
	case nil:
	case string:
		text = b
	default:
		raw, err := json.Marshal(b)
		check(w.t, err)
		text = string(raw)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	a := answer{HTTP: rec.Code, body: rec.Body.String()}
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &a); err != nil {
			w.t.Fatalf("%s %s: %q: %v", method, path, a.body, err)
		}
	}
	return a
}

// want fails unless the answer is as said.
func (w *world) want(code int, status, method, path string, body any) answer {
	w.t.Helper()
	a := w.call(method, path, body)
	if a.HTTP != code || a.Status != status {
		w.t.Errorf("%s %s: %d %q, want %d %q", method, path, a.HTTP, a.Status, code, status)
	}
	return a
}

// enrol is the body that enrols the fake agent.
func (a *fakeAgent) enrol() wire.AddRequest {
	host, port, v := "127.0.0.1", wire.Port(a.listener.Port()), wire.KeyShare(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	return wire.AddRequest{V: &v, CloudagentIP: &host, CloudagentPort: &port, TPMPolicy: `{"mask": "0x0"}`, Metadata: "{}",
		AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"ecc"}, AcceptTPMSigningAlgs: []string{"ecdsa"},
		AKTPM: base64.StdEncoding.EncodeToString(a.tpm.AKPublic()), MTLSCert: &a.certPEM, SupportedVersion: "2.6"}
}

func (w *world) record(id string) wire.Record {
	w.t.Helper()
	a := w.call("GET", "/v2.6/agents/"+id, nil)
	if a.HTTP != 200 {
		w.t.Fatalf("agent %s: %d %s", id, a.HTTP, a.Status)
	}
	var record wire.Record
	check(w.t, json.Unmarshal(a.Results, &record))
	return record
}

// until waits for a record that is as wanted.
func (w *world) until(id string, good func(wire.Record) bool) wire.Record {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		record := w.record(id)
		if good(record) {
			return record
		}
		if time.Now().After(end) {
			event := "none"
			if record.LastEventID != nil {
				event = *record.LastEventID
			}
			w.t.Fatalf("agent %s stays in state %s, last event %s, %d good quotes", id, record.OperationalState, event, record.AttestationCount)
		}
	}
}

func (w *world) attested(id string, count int) wire.Record {
	w.t.Helper()
	return w.until(id, func(r wire.Record) bool { return r.AttestationCount >= count })
}

func failed(r wire.Record) bool {
	return r.OperationalState == wire.Failed || r.OperationalState == wire.InvalidQuote
}

func eventually(t *testing.T, what string, good func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !good(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// seen is a copy of a list that the agent keeps.
func (a *fakeAgent) seen(of func(*fakeAgent) []string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(of(a))
}

func path(id string, more ...string) string {
	return "/v2.6/agents/" + id + strings.Join(more, "")
}

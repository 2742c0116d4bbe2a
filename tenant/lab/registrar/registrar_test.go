package registrar_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a registrar with callers of every kind.
type world struct {
	server *registrar.Server
	// admin has a client certificate, guest has none.
	admin, guest *http.Client
}

func newWorld(t *testing.T, stateFile string) *world {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	server := must(ca.Server("server", []string{"127.0.0.1"}, now))(t)
	client := must(ca.Client("client", now))(t)
	serverCert, clientCert := must(server.TLS())(t), must(client.TLS())(t)
	w := &world{server: must(registrar.Start(registrar.Options{Host: "127.0.0.1", TLS: serve.ServerTLS(serverCert, ca.Pool()), StateFile: stateFile}))(t)}
	caller := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: certs}}}
	}
	w.admin, w.guest = caller(clientCert), caller()
	t.Cleanup(func() {
		w.admin.CloseIdleConnections()
		w.guest.CloseIdleConnections()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) plain(path string) string {
	return "http://127.0.0.1:" + itoa(w.server.Port()) + path
}

func (w *world) secure(path string) string {
	return "https://127.0.0.1:" + itoa(w.server.TLSPort()) + path
}

func itoa(n int) string { return strconv.Itoa(n) }

// call sends a request and returns status and body.
func call(t *testing.T, c *http.Client, method, url, contentType string, body any) (int, string) {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		reader = bytes.NewReader(must(json.Marshal(b))(t))
	}
	request := must(http.NewRequest(method, url, reader))(t)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	reply := must(c.Do(request))(t)
	defer reply.Body.Close()
	return reply.StatusCode, string(must(io.ReadAll(reply.Body))(t))
}

func status(t *testing.T, body string) string {
	t.Helper()
	var e struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return e.Status
}

// newTPM makes a TPM with EC keys, which are made at once.
func newTPM(t *testing.T) *softtpm.TPM {
	t.Helper()
	return must(softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"}))(t)
}

func requestOf(tpm *softtpm.TPM) wire.RegisterRequest {
	host, port, cert := "127.0.0.1", wire.Port(9002), "disabled"
	return wire.RegisterRequest{EKTPM: b64(tpm.EKPublic()), AIKTPM: b64(tpm.AKPublic()), IP: &host, Port: &port, MTLSCert: &cert}
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

const (
	jsonType = "application/json"
	agents   = "/v2.6/agents"
)

// register posts a registration and returns the proof that activates it.
func (w *world) register(t *testing.T, id string, tpm *softtpm.TPM, request wire.RegisterRequest) string {
	t.Helper()
	code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/"+id), jsonType, request)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	var reply struct {
		Results wire.RegisterResult `json:"results"`
	}
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		t.Fatal(err)
	}
	blob := must(base64.StdEncoding.DecodeString(reply.Results.Blob))(t)
	challenge := must(tpm.ActivateCredential(blob))(t)
	if len(challenge) != 32 {
		t.Errorf("the challenge has %d characters", len(challenge))
	}
	return payload.AuthTag(payload.NewSecret([]byte(b64(challenge))), id)
}

func TestRegisterActivateReadDelete(t *testing.T) {
	t.Parallel()
	w, tpm := newWorld(t, ""), newTPM(t)
	request := requestOf(tpm)
	ca := must(softtpm.NewEKCA(time.Now()))(t)
	der := must(ca.IssueEK(tpm.EKPublic(), time.Now()))(t)
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(ca.CertificatePEM())
	request.EKCert = &chain
	tag := w.register(t, "agent-1", tpm, request)

	if code, body := call(t, w.admin, http.MethodGet, w.secure(agents+"/agent-1"), "", nil); code != 404 || status(t, body) != "Agent with ID 'agent-1' has not been activated" {
		t.Errorf("before activation: %d %s", code, body)
	}
	if code, body := call(t, w.admin, http.MethodGet, w.secure(agents), "", nil); code != 200 || !strings.Contains(body, "\"uuids\": [\n            \"agent-1\"\n        ]") {
		t.Errorf("list: %d %s", code, body)
	}
	if code, body := call(t, w.guest, http.MethodPut, w.plain(agents+"/agent-1"), jsonType, wire.ActivateRequest{AuthTag: tag}); code != 200 {
		t.Fatalf("activation: %d %s", code, body)
	}
	code, body := call(t, w.admin, http.MethodGet, w.secure(agents+"/agent-1/"), "", nil)
	var record struct {
		Results wire.Record `json:"results"`
	}
	if err := json.Unmarshal([]byte(body), &record); err != nil || code != 200 {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	got := record.Results
	if got.AgentID != "agent-1" || got.EKTPM != request.EKTPM || got.AIKTPM != request.AIKTPM || got.EKCert == nil || *got.EKCert != b64(der) ||
		got.RegCount != 1 || *got.IP != "127.0.0.1" || *got.Port != 9002 || *got.MTLSCert != "disabled" {
		t.Errorf("record %s", body)
	}
	// The same again counts, and takes the activation away.
	tag = w.register(t, "agent-1", tpm, request)
	if code, _ := call(t, w.admin, http.MethodGet, w.secure(agents+"/agent-1"), "", nil); code != 404 {
		t.Errorf("registered again, not yet activated: %d", code)
	}
	if code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/agent-1/activate"), jsonType, wire.ActivateRequest{AuthTag: strings.ToUpper(tag)}); code != 200 {
		t.Fatalf("activation: %d %s", code, body)
	}
	if _, body := call(t, w.admin, http.MethodGet, w.secure("/v2/agents/agent-1"), "", nil); !strings.Contains(body, `"regcount": 2`) {
		t.Errorf("record %s", body)
	}
	if code, body := call(t, w.admin, http.MethodDelete, w.secure(agents+"/agent-1"), "", nil); code != 200 || !strings.Contains(body, `"results": {}`) {
		t.Errorf("delete: %d %s", code, body)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if code, body := call(t, w.admin, method, w.secure(agents+"/agent-1"), "", nil); code != 404 || status(t, body) != "Agent with ID 'agent-1' not found" {
			t.Errorf("%s: %d %s", method, code, body)
		}
	}
}

func TestWrongProofDeletesTheRecord(t *testing.T) {
	t.Parallel()
	w, tpm := newWorld(t, ""), newTPM(t)
	w.register(t, "a", tpm, requestOf(tpm))
	if code, body := call(t, w.guest, http.MethodPut, w.plain(agents+"/a"), jsonType, "{}"); code != 400 || body != "" {
		t.Errorf("no tag: %d %q", code, body)
	}
	code, body := call(t, w.guest, http.MethodPut, w.plain(agents+"/a"), jsonType, wire.ActivateRequest{AuthTag: "00ff"})
	want := "Auth tag '00ff' for agent 'a' does not match expected value. The agent has been deleted from the database and will need to be restarted to reattempt registration"
	if code != 400 || status(t, body) != want {
		t.Errorf("wrong tag: %d %s", code, body)
	}
	if code, _ := call(t, w.guest, http.MethodPut, w.plain(agents+"/a"), jsonType, wire.ActivateRequest{AuthTag: "00ff"}); code != 404 {
		t.Errorf("afterwards: %d", code)
	}
}

// TestIdentityFreeze spoils one part of the identity of a known agent at a time.
func TestIdentityFreeze(t *testing.T) {
	t.Parallel()
	w, tpm, other := newWorld(t, ""), newTPM(t), newTPM(t)
	ca := must(softtpm.NewEKCA(time.Now()))(t)
	cert := b64(must(ca.IssueEK(tpm.EKPublic(), time.Now()))(t))
	another := b64(must(ca.IssueEK(tpm.EKPublic(), time.Now().Add(time.Hour)))(t))
	first := requestOf(tpm)
	w.register(t, "a", tpm, first)
	first.EKCert = &cert // may come later
	w.register(t, "a", tpm, first)
	for name, spoil := range map[string]func(*wire.RegisterRequest){
		"another EK":             func(r *wire.RegisterRequest) { r.EKTPM, r.EKCert = b64(other.EKPublic()), nil },
		"another AK":             func(r *wire.RegisterRequest) { r.AIKTPM = b64(other.AKPublic()) },
		"another EK certificate": func(r *wire.RegisterRequest) { r.EKCert = &another },
		"no EK certificate":      func(r *wire.RegisterRequest) { r.EKCert = nil },
	} {
		request := first
		spoil(&request)
		code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/a"), jsonType, request)
		if code != 403 || status(t, body) != "Agent re-registration with different TPM identity is forbidden for security reasons" {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	moved := first
	port := wire.Port(9003)
	moved.Port = &port
	w.register(t, "a", tpm, moved)
}

// TestRegisterRefuses spoils one part of a registration at a time.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	w, tpm, other := newWorld(t, ""), newTPM(t), newTPM(t)
	ca := must(softtpm.NewEKCA(time.Now()))(t)
	foreign := b64(must(ca.IssueEK(other.EKPublic(), time.Now()))(t))
	rubbish := "AAAA"
	const invalid = "Could not register agent with invalid data"
	for name, c := range map[string]struct {
		spoil func(*wire.RegisterRequest)
		want  string
	}{
		"no EK":                     {func(r *wire.RegisterRequest) { r.EKTPM = "" }, invalid},
		"EK is no TPM2B":            {func(r *wire.RegisterRequest) { r.EKTPM = rubbish }, invalid},
		"EK is not base64":          {func(r *wire.RegisterRequest) { r.EKTPM = "*" }, invalid},
		"no AK":                     {func(r *wire.RegisterRequest) { r.AIKTPM = "" }, invalid},
		"AK is no TPM2B":            {func(r *wire.RegisterRequest) { r.AIKTPM = rubbish }, invalid},
		"certificate of another EK": {func(r *wire.RegisterRequest) { r.EKCert = &foreign }, invalid},
		"certificate that is none":  {func(r *wire.RegisterRequest) { r.EKCert = &rubbish }, invalid},
	} {
		request := requestOf(tpm)
		c.spoil(&request)
		if code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/a"), jsonType, request); code != 400 || status(t, body) != c.want {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/a"), "", requestOf(tpm)); code != 400 || status(t, body) != invalid {
		t.Errorf("without a content type: %d %s", code, body)
	}
	if code, body := call(t, w.guest, http.MethodPost, w.plain(agents+"/a"), jsonType, "{"); code != 400 || body != "" {
		t.Errorf("no JSON: %d %q", code, body)
	}
	inBody := requestOf(tpm)
	inBody.AgentID = "in-body"
	if code, _ := call(t, w.guest, http.MethodPost, w.plain(agents), "application/vnd.api+json; charset=utf-8", inBody); code != 200 {
		t.Errorf("id in the body: %d", code)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const forbidden = `"detail": "Action list_registrations requires admin authentication (mTLS certificate)"`
	if code, body := call(t, w.guest, http.MethodGet, w.secure(agents), "", nil); code != 403 || !strings.Contains(body, forbidden) || !strings.Contains(body, `"title": "Forbidden"`) {
		t.Errorf("guest: %d %s", code, body)
	}
	if code, body := call(t, w.guest, http.MethodGet, w.plain(agents), "", nil); code != 400 || body != "" {
		t.Errorf("without TLS: %d %q", code, body)
	}
	request := must(http.NewRequest(http.MethodGet, w.secure(agents), nil))(t)
	request.Header.Set("Authorization", "Bearer x")
	reply := must(w.admin.Do(request))(t)
	body := must(io.ReadAll(reply.Body))(t)
	reply.Body.Close()
	if reply.StatusCode != 401 || !strings.Contains(string(body), "Invalid authentication token") {
		t.Errorf("with a token: %d %s", reply.StatusCode, body)
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/version", 200}, {http.MethodGet, "/versions", 404}, {http.MethodGet, "/", 404}, {http.MethodGet, "/v1.0/agents", 404},
		{http.MethodGet, "/v2.7/agents", 404}, {http.MethodGet, "/v3.0/agents", 404}, {http.MethodPatch, agents, 405}, {"BREW", agents, 501},
	} {
		if code, body := call(t, w.admin, c.method, w.secure(c.path), "", nil); code != c.want || code >= 400 && body != "" {
			t.Errorf("%s %s: %d %q, want %d", c.method, c.path, code, body, c.want)
		}
	}
	if code, body := call(t, w.guest, http.MethodGet, w.plain("/version"), "", nil); code != 200 || !strings.Contains(body, `"current_version": "2.6"`) || strings.Contains(body, `"3.0"`) {
		t.Errorf("version without TLS: %d %s", code, body)
	}
}

func TestStateIsKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "registrar.json")
	tpm := newTPM(t)
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, file)
		tag := w.register(t, "a", tpm, requestOf(tpm))
		if code, body := call(t, w.guest, http.MethodPut, w.plain(agents+"/a"), jsonType, wire.ActivateRequest{AuthTag: tag}); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	})
	t.Run("after", func(t *testing.T) {
		w := newWorld(t, file)
		if code, body := call(t, w.admin, http.MethodGet, w.secure(agents+"/a"), "", nil); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	})
}

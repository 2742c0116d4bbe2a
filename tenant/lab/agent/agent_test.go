package agent_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	wire "github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an agent with a registrar, and a caller whom it trusts.
type world struct {
	t       *testing.T
	dir     string
	agent   *agent.Agent
	machine *agent.Machine
	ca      *pki.CA
	caller  *http.Client
	scheme  string

	mu  sync.Mutex
	log bytes.Buffer
}

func start(t *testing.T, options string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), scheme: "https"}
	now := time.Now()
	var err error
	w.ca, err = pki.NewCA(now)
	w.check(err)
	caFile := filepath.Join(w.dir, "clients.crt")
	w.check(os.WriteFile(caFile, w.ca.CertPEM, 0o600))
	serverPair, err := w.ca.Server("server", nil, now)
	w.check(err)
	serverCert, err := serverPair.TLS()
	w.check(err)
	r, err := registrar.Start(registrar.Options{Host: "127.0.0.1", TLS: serve.ServerTLS(serverCert, w.ca.Pool())})
	w.check(err)
	t.Cleanup(func() { w.check(r.Close()) })

	conf := fmt.Sprintf("[agent]\nuuid = \"agent-1\"\nport = 0\nregistrar_port = %d\ntrusted_client_ca = [%q]\n%s", r.Port(), caFile, options)
	w.check(os.WriteFile(filepath.Join(w.dir, "agent.conf"), []byte(conf), 0o600))
	config, warnings, err := agent.Load(w.dir, nil)
	w.check(err)
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	w.machine = newMachine(t, "sb-on", "")
	w.agent, err = agent.Start(t.Context(), agent.Options{Config: config, Machine: w.machine, Env: os.Environ(), Log: func(line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log.WriteString(line + "\n")
	}})
	w.check(err)
	t.Cleanup(func() { w.check(w.agent.Close()) })
	client, err := w.ca.Client("client", now)
	w.check(err)
	w.caller = w.callerWith(client)
	if !config.EnableMTLS {
		w.scheme = "http"
	}
	return w
}

// callerWith is an HTTP client with a certificate that pins the agent's.
func (w *world) callerWith(pair pki.Pair) *http.Client {
	cert, err := pair.TLS()
	w.check(err)
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(w.dir, "server-cert.crt")); err == nil {
		roots.AppendCertsFromPEM(text)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// waitLog waits until the agent has said a text.
func (w *world) waitLog(text string) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(w.said(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("the agent never said %q:\n%s", text, w.said())
		}
	}
}

type reply struct {
	Code    int             `json:"code"`
	Status  string          `json:"status"`
	Results json.RawMessage `json:"results"`
	header  http.Header
}

func (w *world) call(method, path, body string) reply {
	w.t.Helper()
	request, err := http.NewRequest(method, fmt.Sprintf("%s://127.0.0.1:%d%s", w.scheme, w.agent.Port(), path), strings.NewReader(body))
	w.check(err)
	answer, err := w.caller.Do(request)
	w.check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	w.check(err)
	r := reply{header: answer.Header}
	if err := json.Unmarshal(text, &r); err != nil {
		w.t.Fatalf("%s %s: %q: %v", method, path, text, err)
	}
	if r.Code != answer.StatusCode {
		w.t.Errorf("%s %s: HTTP %d, code %d", method, path, answer.StatusCode, r.Code)
	}
	return r
}

func (w *world) results(method, path, body string, into any) {
	w.t.Helper()
	r := w.call(method, path, body)
	if r.Code != 200 || r.Status != "Success" {
		w.t.Fatalf("%s %s: %d %s", method, path, r.Code, r.Status)
	}
	w.check(json.Unmarshal(r.Results, into))
}

func TestQuotes(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	var identity wire.Quote
	w.results("GET", "/v2.6/quotes/identity?nonce=abc", "", &identity)
	expect := quote.Expect{AK: w.machine.TPM().AKPublic(), Nonce: "abc", BindTransportKey: true}
	untrusted := func(q wire.Quote, key string) quote.Untrusted {
		return quote.Untrusted{Quote: q.Quote, HashAlg: q.HashAlg, EncAlg: q.EncAlg, SignAlg: q.SignAlg, TransportKeyPEM: key}
	}
	v, err := quote.Verify(untrusted(identity, identity.PubKeyPEM), expect)
	w.check(err)
	if got := fmt.Sprint(v.PCRs()); got != "[16]" || identity.EncAlg != "ecc256" {
		t.Errorf("registers %s, %s", got, identity.EncAlg)
	}
	var old wire.Quote
	w.results("GET", "/v2.4/quotes/identity?nonce=abc", "", &old)
	if old.EncAlg != "ecc" {
		t.Errorf("API 2.4 says %s", old.EncAlg)
	}

	var q wire.IntegrityQuote
	w.results("GET", "/v2.6/quotes/integrity?nonce=abc&mask=0x401&partial=0&ima_ml_entry=50", "", &q)
	v, err = quote.Verify(untrusted(q.Quote, q.PubKeyPEM), expect)
	w.check(err)
	if got := fmt.Sprint(v.PCRs()); got != "[0 10 16]" {
		t.Errorf("registers %s", got)
	}
	boot, err := recorded.Named(recorded.SecureBoot)
	w.check(err)
	if q.MBLog == nil || *q.MBLog != base64.StdEncoding.EncodeToString(boot.Log) {
		t.Error("the boot log is another one, or missing")
	}
	lines := strings.SplitAfter(string(boot.IMA), "\n")
	if q.IMAEntry == nil || *q.IMAEntry != 50 || *q.IMAList != strings.Join(lines[50:], "") {
		t.Error("the IMA list does not begin with line 50")
	}
	w.results("GET", "/v2.6/quotes/integrity?nonce=abc&mask=0&partial=1&ima_ml_entry=5000", "", &q)
	if *q.IMAEntry != 0 || *q.IMAList != string(boot.IMA) {
		t.Errorf("beyond the end: from %d", *q.IMAEntry)
	}
	var partial wire.IntegrityQuote
	w.results("GET", "/v2.6/quotes/integrity?nonce=abc&mask=400&partial=1&ima_ml_entry=x", "", &partial)
	if partial.PubKeyPEM != "" || partial.MBLog != nil || *partial.IMAEntry != 0 {
		t.Error("a partial quote without PCR 0 has a key or a boot log")
	}
}

// TestAnswers holds the texts of refusals against PROTOCOL.md 5.1.
func TestAnswers(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		method, path, body string
		code               int
		status, allow      string
	}{
		{"GET", "/v2.6/quotes/identity?nonce=a-b", "", 400, "Parameters should be strictly alphanumeric: a-b", ""},
		{"GET", "/v2.6/quotes/identity?nonce=" + long, "", 400, "Nonce is too long (max size 64): " + long, ""},
		{"GET", "/v2.6/quotes/identity", "", 400, "Query deserialize error: missing field `nonce`", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=a-b&mask=0&partial=0", "", 400, "nonce should be strictly alphanumeric: a-b", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=a&mask=-1&partial=0", "", 400, "mask should be strictly alphanumeric: -1", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=a&mask=xyz&partial=0", "", 400, "mask should be a hex encoded 32-bit integer: xyz", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=" + long + "&mask=0&partial=0", "", 400, "Nonce is too long (max size: 64): 65", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=a&mask=0&partial=2", "", 400, "uri must contain key 'partial' and value '0' or '1'", ""},
		{"GET", "/v2.6/quotes/integrity?nonce=a&mask=1000000&partial=0", "", 500, "Unable to retrieve quote", ""},
		{"GET", "/v2.6/keys/verify?challenge=", "", 400, "No challenge provided.", ""},
		{"GET", "/v2.6/keys/verify?challenge=a.b", "", 400, "Parameters should be strictly alphanumeric: a.b", ""},
		{"GET", "/v2.6/keys/verify?challenge=ab", "", 400, "Bootstrap key not yet available.", ""},
		{"GET", "/v1.0/keys/pubkey", "", 400, "API version not supported: v1.0", ""},
		{"GET", "/v2.7/keys/pubkey", "", 400, "API version not supported: v2.7", ""},
		{"GET", "/v2.6/quotes/other", "", 400, "URI not supported, only /identity and /integrity are supported for GET in /quotes/ interface", ""},
		{"POST", "/v2.6/quotes/identity", "", 405, "Method is not supported in /quotes/ interface", "GET"},
		{"DELETE", "/v2.6/keys/pubkey", "", 405, "Method is not supported in /keys/ interface", "GET, POST"},
		{"GET", "/v2.6/notifications/revocation", "", 405, "Method is not supported in /notifications/ interface", "POST"},
		{"GET", "/v2.1/agent/info", "", 400, "URI not supported, only /info is supported for GET in /agent interface", ""},
		{"GET", "/v2.6/other", "", 400, "Not Implemented: Use /agent, /keys, or /quotes interfaces", ""},
		{"GET", "/other", "", 404, "Not Found", ""},
		{"POST", "/v2.6/keys/ukey", `{"encrypted_key": "AAAA", "auth_tag": ""}`, 400, "Failed to decrypt encrypted_key", ""},
		{"POST", "/v2.6/keys/ukey", `{"encrypted_key": "*"}`, 400, "Invalid base64 encoding in encrypted_key", ""},
		{"POST", "/v2.6/keys/vkey", `{`, 400, "Json deserialize error", ""},
	} {
		r := w.call(c.method, c.path, c.body)
		if r.Code != c.code || !strings.HasPrefix(r.Status, c.status) || r.header.Get("Allow") != c.allow || string(r.Results) != "{}" {
			t.Errorf("%s %s: %d %q %s, allow %q", c.method, c.path, r.Code, r.Status, r.Results, r.header.Get("Allow"))
		}
	}
	var versions wire.Versions
	w.results("GET", "/version", "", &versions)
	if versions.Supported != "2.6" || strings.Join(versions.SupportedList, " ") != "2.1 2.2 2.3 2.4 2.5 2.6" {
		t.Errorf("versions %+v", versions)
	}
	var info wire.Info
	w.results("GET", "/v2.2/agent/info", "", &info)
	if info.AgentID != "agent-1" || info.EncAlg != "ecc" || info.SignAlg != "ecdsa" {
		t.Errorf("info %+v", info)
	}
}

// TestCallersNeedACertificate spoils the caller's certificate.
func TestCallersNeedACertificate(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	stranger, err := pki.NewCA(time.Now())
	w.check(err)
	pair, err := stranger.Client("client", time.Now())
	w.check(err)
	url := fmt.Sprintf("https://127.0.0.1:%d/version", w.agent.Port())
	if _, err := w.callerWith(pair).Get(url); err == nil {
		t.Error("a caller of another CA was answered")
	}
	w.caller.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	if _, err := w.caller.Get(url); err == nil {
		t.Error("a caller without a certificate was answered")
	}
}

// shares gives the agent U and V of fresh keys.
func (w *world) shares(id string, plain []byte) payload.Keys {
	w.t.Helper()
	keys, err := payload.NewKeys(nil)
	w.check(err)
	var key wire.PubKeyResult
	w.results("GET", "/v2.6/keys/pubkey", "", &key)
	post := func(path string, body any) {
		text, err := json.Marshal(body)
		w.check(err)
		if r := w.call("POST", path, string(text)); r.Code != 200 || string(r.Results) != "null" {
			w.t.Fatalf("%s: %d %s %s", path, r.Code, r.Status, r.Results)
		}
	}
	u, err := payload.SealShare(keys.U, key.PubKeyPEM, nil)
	w.check(err)
	v, err := payload.SealShare(keys.V, key.PubKeyPEM, nil)
	w.check(err)
	sealed, err := payload.Seal(keys.K, plain, nil)
	w.check(err)
	post("/v2.6/keys/vkey", wire.VKeyRequest{EncryptedKey: v})
	post("/v2.6/keys/ukey", wire.UKeyRequest{EncryptedKey: u, AuthTag: payload.AuthTag(keys.K, id), Payload: &sealed})
	return keys
}

// needSh fails, where payload scripts are to be run, without a shell.
func needSh(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
}

func TestPayloadScriptRunsAndDiesWithTheAgent(t *testing.T) {
	t.Parallel()
	needSh(t)
	w := start(t, "server_key_password = \"secret\"\n")
	// The script leaves a child behind, as those that start services do.
	keys := w.shares("agent-1", zipOf(t, "autorun.sh", "#!/bin/sh\necho hello; pwd > where\nsleep 1000 &\necho $! > child\nexit 3\n"))
	w.waitLog("autorun.sh has run and ended with exit code 3")
	w.waitLog(`"hello"`)
	var proof wire.VerifyResult
	w.results("GET", "/v2.6/keys/verify?challenge=abc", "", &proof)
	if proof.HMAC != payload.Challenge(keys.K, "abc") {
		t.Error("the proof of K is another one")
	}
	unzipped := filepath.Join(w.dir, "secure", "unzipped")
	where, err := os.ReadFile(filepath.Join(unzipped, "where"))
	w.check(err)
	if real, _ := filepath.EvalSymlinks(unzipped); strings.TrimSpace(string(where)) != unzipped && strings.TrimSpace(string(where)) != real {
		t.Errorf("it ran in %s", where)
	}
	child, err := os.ReadFile(filepath.Join(unzipped, "child"))
	w.check(err)
	pid := strings.TrimSpace(string(child))
	alive := func() bool { return exec.Command("kill", "-0", pid).Run() == nil }
	if !alive() {
		t.Fatal("the child has ended before the agent")
	}
	w.check(w.agent.Close())
	for end := time.Now().Add(5 * time.Second); alive() && !zombie(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the child outlives the agent")
		}
	}
	if text, err := os.ReadFile(filepath.Join(w.dir, "server-private.pem")); err != nil || !bytes.Contains(text, []byte("ENCRYPTED")) {
		t.Errorf("the TLS key is not encrypted: %v", err)
	}
}

// zombie says that a process has ended and nobody has asked for its exit code.
func zombie(pid string) bool {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && strings.Contains(string(text), ") Z ")
}

func TestPayloadThatIsNoZip(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	keys := w.shares("agent-1", []byte("plain"))
	w.waitLog("not unpacked, so no script is run")
	unzipped := filepath.Join(w.dir, "secure", "unzipped")
	for name, want := range map[string]string{"decrypted_payload": "plain", "derived_tci_key": string(keys.K.Bytes())} {
		if got, err := os.ReadFile(filepath.Join(unzipped, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlainAgentRefusesPayloads(t *testing.T) {
	t.Parallel()
	w := start(t, "enable_agent_mtls = false\n")
	w.shares("agent-1", []byte("plain"))
	w.waitLog("payload refused: mTLS is off")
	if _, err := os.Stat(filepath.Join(w.dir, "secure")); !os.IsNotExist(err) {
		t.Errorf("something was unpacked: %v", err)
	}
}

func TestSharesOfAnotherAgentDoNotFit(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	w.shares("agent-2", []byte("plain"))
	if r := w.call("GET", "/v2.6/keys/verify?challenge=abc", ""); r.Status != "Bootstrap key not yet available." {
		t.Errorf("%d %s", r.Code, r.Status)
	}
}

// TestRevocation: a notice counts only with a signature of the certificate that
// came with the payload; then the actions run, until one fails.
func TestRevocation(t *testing.T) {
	t.Parallel()
	needSh(t)
	w := start(t, "revocation_actions = \"\"\n")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	w.check(err)
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	text := `{"type": "revocation"}`
	notice := func(signature []byte) {
		body, err := json.Marshal(map[string]string{"msg": text, "signature": base64.StdEncoding.EncodeToString(signature)})
		w.check(err)
		if r := w.call("POST", "/v2.6/notifications/revocation", string(body)); r.Code != 200 || string(r.Results) != "null" {
			t.Fatalf("%d %s", r.Code, r.Status)
		}
	}
	digest := sha256.Sum256([]byte(text))
	good, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
	w.check(err)
	notice(good)
	w.waitLog("revocation notice ignored")
	w.shares("agent-1", zipOf(t, "RevocationNotifier-cert.crt", certPEM, "action_list", "first, failing\nnever",
		"first", "#!/bin/sh\ncp \"$1\" seen\n", "failing", "#!/bin/sh\nexit 7\n", "never", "#!/bin/sh\ntouch wrong\n"))
	w.waitLog("the payload has no autorun.sh to run")
	notice([]byte("forged"))
	w.waitLog("revocation notice refused")
	notice(good)
	w.waitLog(`revocation action "failing": exit code 7`)
	if seen, err := os.ReadFile(filepath.Join(w.dir, "seen")); err != nil || string(seen) != text {
		t.Errorf("the first action saw %q, %v", seen, err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "wrong")); !os.IsNotExist(err) {
		t.Error("an action ran after one that failed")
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := agent.Defaults(dir)
	config.Port = 0
	machine := newMachine(t, "sb-on", "")
	if _, err := agent.Start(context.Background(), agent.Options{Config: config, Machine: machine}); err == nil || !strings.Contains(err.Error(), "trusted_client_ca") {
		t.Errorf("no CA of clients: %v", err)
	}
	config.UUID = "a/b"
	if _, err := agent.Start(context.Background(), agent.Options{Config: config, Machine: machine}); err == nil || !strings.Contains(err.Error(), "uuid") {
		t.Errorf("an id that is none: %v", err)
	}
	config.UUID, config.EnableMTLS, config.RegistrarPort = "a", false, 1
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := agent.Start(ctx, agent.Options{Config: config, Machine: machine}); err == nil {
		t.Error("no registrar, and yet registered")
	}
}

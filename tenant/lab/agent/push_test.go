package agent_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/verifier"
)

// pushWorld is a registrar, a verifier in push mode and an agent that attests
// itself.
type pushWorld struct {
	t        *testing.T
	verifier *verifier.Server
	admin    *wire.Client
	config   agent.Config
	machine  *agent.Machine

	mu    sync.Mutex
	lines []string
}

func newPushWorld(t *testing.T, change func(*verifier.Options)) *pushWorld {
	t.Helper()
	w := &pushWorld{t: t, machine: newMachine(t, "sb-on", "")}
	ca, err := pki.NewCA(time.Now())
	w.check(err)
	server, err := ca.Server("server", []string{"127.0.0.1"}, time.Now())
	w.check(err)
	pair, err := server.TLS()
	w.check(err)
	person, err := ca.Client("client", time.Now())
	w.check(err)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		w.check(os.WriteFile(path, text, 0o600))
		return path
	}
	caFile := file("ca.pem", ca.CertPEM)
	o := verifier.Options{Host: "127.0.0.1", TLS: serve.ServerTLS(pair, ca.Pool()), Push: true, Interval: 20 * time.Millisecond, SessionLimit: 10000}
	if change != nil {
		change(&o)
	}
	w.verifier, err = verifier.Start(o)
	w.check(err)
	t.Cleanup(func() { w.check(w.verifier.Close()) })
	r, err := registrar.Start(registrar.Options{Host: "127.0.0.1"})
	w.check(err)
	t.Cleanup(func() { w.check(r.Close()) })
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{caFile}, CertFile: file("cert.pem", person.CertPEM), KeyFile: file("key.pem", person.KeyPEM)})
	w.check(err)
	transport, err := client.New(client.Config{Name: client.VerifierName, Host: "127.0.0.1", Port: w.verifier.Port(), TLS: material})
	w.check(err)
	t.Cleanup(transport.Close)
	w.admin = wire.New(transport)
	w.config = agent.Defaults(t.TempDir())
	w.config.UUID, w.config.RegistrarPort, w.config.ContactPort = "pusher", r.Port(), 9002
	w.config.VerifierURL, w.config.VerifierCA = fmt.Sprintf("https://127.0.0.1:%d", w.verifier.Port()), []string{caFile}
	return w
}

func (w *pushWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *pushWorld) start() *agent.Agent {
	w.t.Helper()
	a, err := agent.Start(w.t.Context(), agent.Options{Config: w.config, Machine: w.machine, Push: true, AttestEvery: time.Millisecond, Log: func(line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lines = append(w.lines, line)
	}})
	w.check(err)
	w.t.Cleanup(func() { w.check(a.Close()) })
	return a
}

func (w *pushWorld) logged(text string) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.lines, func(line string) bool { return strings.Contains(line, text) })
	}
}

func (w *pushWorld) eventually(what string, good func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !good(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("never: %s\n%s", what, strings.Join(w.lines, "\n"))
		}
	}
}

// add enrols the agent, as a tenant does.
func (w *pushWorld) add(runtime []byte) {
	w.t.Helper()
	alg := w.machine.TPM().SignAlg()
	_, err := w.admin.Add(w.t.Context(), "pusher", wire.AddRequest{TPMPolicy: `{"mask": "0x0"}`, Metadata: "{}", RuntimePolicy: base64.StdEncoding.EncodeToString(runtime),
		AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"ecc", "rsa"}, AcceptTPMSigningAlgs: []string{alg},
		AKTPM: base64.StdEncoding.EncodeToString(w.machine.TPM().AKPublic()), SupportedVersion: "2.6"})
	w.check(err)
}

// latest is the newest attestation that was judged.
func (w *pushWorld) latest() *wire.Attestation {
	a, err := w.admin.Attestation(w.t.Context(), "pusher", wire.Latest)
	if err != nil || a.Stage != wire.StageComplete {
		return nil
	}
	return a
}

func (w *pushWorld) says(evaluation string) *wire.Attestation {
	w.t.Helper()
	var found *wire.Attestation
	w.eventually("an attestation with the evaluation "+evaluation, func() bool {
		found = w.latest()
		return found != nil && found.Evaluation == evaluation
	})
	return found
}

// TestPushAgent: it listens to nobody, waits until it is enrolled, and attests
// itself again and again; of its IMA list it sends what is new.
func TestPushAgent(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../../../testdata/golden/fixtures/rp-good.json")
	w := newPushWorld(t, nil)
	w.check(err)
	a := w.start()
	if a.Port() != 9002 || a.Verifier() != fmt.Sprintf("127.0.0.1:%d", w.verifier.Port()) {
		t.Errorf("%d %s", a.Port(), a.Verifier())
	}
	w.eventually("it finds that nobody has enrolled it", w.logged("or has not enrolled it"))
	w.add(good)
	first := w.says(wire.EvaluationPass)
	w.eventually("it is told once that all is well", w.logged("the verifier takes its evidence"))
	lines := strings.Count(string(w.machine.Evidence().IMA), "\n")
	w.eventually("the list goes on where it ended", func() bool {
		now := w.latest()
		return now != nil && now.Index > first.Index && *wire.Find(now.Evidence, wire.TypeIMALog).Chosen.StartingOffset == lines
	})
	if _, err := w.machine.RunFile("/usr/bin/unknown", nil); err != nil {
		t.Fatal(err)
	}
	failed := w.says(wire.EvaluationFail)
	list := wire.Find(failed.Evidence, wire.TypeIMALog)
	if *list.Chosen.StartingOffset != lines || *list.Data.EntryCount != 1 || !strings.Contains(*list.Data.Entries, "/usr/bin/unknown") {
		t.Errorf("%+v", list.Data)
	}
	// After another boot it begins anew.
	boot, err := recorded.Named(recorded.SecureBoot)
	w.check(err)
	w.check(w.machine.Boot(boot))
	w.says(wire.EvaluationPass)
	w.mu.Lock()
	defer w.mu.Unlock()
	if said := len(w.lines); said > 20 {
		t.Errorf("%d lines: a state is to be told once", said)
	}
}

// TestPushAgentComesBack: a verifier that has forgotten the session is given
// proof again, and one that is away is waited for.
func TestPushAgentComesBack(t *testing.T) {
	t.Parallel()
	w := newPushWorld(t, nil)
	w.start()
	w.add(nil)
	w.says(wire.EvaluationPass)
	_, _, err := w.admin.Delete(t.Context(), "pusher")
	w.check(err)
	w.eventually("it is told that it is enrolled no longer", w.logged("No enrolled agent"))
	w.add(nil)
	w.says(wire.EvaluationPass)
}

// TestPushAgentRefused: what the agent says when it cannot attest itself.
func TestPushAgentRefused(t *testing.T) {
	t.Parallel()
	t.Run("too often", func(t *testing.T) {
		t.Parallel()
		w := newPushWorld(t, func(o *verifier.Options) { o.SessionLimit = 1 })
		w.start()
		w.eventually("it is asked to wait", w.logged("429"))
	})
	t.Run("no boot log", func(t *testing.T) {
		t.Parallel()
		w := newPushWorld(t, nil)
		w.config.BootLogPath = filepath.Join(t.TempDir(), "none")
		policy := "{}"
		_, err := w.admin.AddMBPolicy(t.Context(), "boot", wire.MBPolicyRequest{MBPolicy: &policy})
		w.check(err)
		_, err = w.admin.Add(t.Context(), "pusher", wire.AddRequest{TPMPolicy: `{}`, Metadata: "{}", MBPolicyName: "boot", AcceptTPMHashAlgs: []string{"sha256"},
			AcceptTPMSigningAlgs: []string{w.machine.TPM().SignAlg()}, AKTPM: base64.StdEncoding.EncodeToString(w.machine.TPM().AKPublic())})
		w.check(err)
		w.start()
		w.eventually("it hears what is missing", w.logged("uefi_log"))
	})
	t.Run("another CA", func(t *testing.T) {
		t.Parallel()
		w := newPushWorld(t, nil)
		other, err := pki.NewCA(time.Now())
		w.check(err)
		w.config.VerifierCA = []string{filepath.Join(t.TempDir(), "ca.pem")}
		w.check(os.WriteFile(w.config.VerifierCA[0], other.CertPEM, 0o600))
		w.start()
		w.eventually("it does not trust the verifier", w.logged("is not trusted"))
	})
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		w := newPushWorld(t, nil)
		w.check(w.verifier.Close())
		w.start()
		w.eventually("it does not reach the verifier", w.logged("cannot be reached"))
	})
	for name, url := range map[string]string{"empty": "", "plain": "http://127.0.0.1", "path": "https://127.0.0.1/x", "no host": "https://", "user": "https://u@h", "no URL": "https://%"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPushWorld(t, nil)
			w.config.VerifierURL = url
			_, err := agent.Start(t.Context(), agent.Options{Config: w.config, Machine: w.machine, Push: true})
			var config *agent.ConfigError
			if !errors.As(err, &config) || config.Option != "verifier_url" || config.Hint == "" {
				t.Error(err)
			}
		})
	}
}

// TestPushAgentTrouble: a verifier that refuses once is asked again, in the way
// that its answer calls for.
func TestPushAgentTrouble(t *testing.T) {
	t.Parallel()
	const session = `{"data": {"type": "session", "id": "s", "attributes": {"agent_id": "pusher", "authentication_requested": [{"authentication_class": "pop", "authentication_type": "tpm_pop", "chosen_parameters": {"challenge": "bm9uY2U="}}]}}}`
	const proved = `{"data": {"type": "session", "id": "s", "attributes": {"evaluation": "pass", "token": "s.secret"}}}`
	const begun = `{"data": {"type": "attestation", "attributes": {"stage": "awaiting_evidence", "evidence_requested": [{"evidence_class": "certification", "evidence_type": "tpm_quote", "chosen_parameters": {"challenge": "bm9uY2U=", "selected_subjects": {"sha256": [7]}}}], "system_info": {}}, "links": {"self": "/3/agents/pusher/attestations/4"}}}`
	const shown = `{"data": {"type": "attestation", "attributes": {"stage": "evaluating_evidence", "system_info": {}}}, "meta": {"seconds_to_next_attestation": 60}}`
	for name, test := range map[string]struct {
		// refuse is the call that is refused the first time, by code and body.
		refuse, body string
		code         int
		// sessions is how many are opened until all is well.
		sessions int
	}{
		"session unknown":       {refuse: "PATCH /v3.0/sessions/s", code: 404, sessions: 2},
		"session refused":       {refuse: "PATCH /v3.0/sessions/s", code: 401, sessions: 2},
		"token unknown":         {refuse: "POST /v3.0/agents/pusher/attestations", code: 401, sessions: 2},
		"not allowed":           {refuse: "POST /v3.0/agents/pusher/attestations", code: 403, sessions: 2},
		"not enrolled":          {refuse: "POST /v3.0/agents/pusher/attestations", code: 404, sessions: 1},
		"two at once":           {refuse: "POST /v3.0/agents/pusher/attestations", code: 409, sessions: 1},
		"too early":             {refuse: "POST /v3.0/agents/pusher/attestations", code: 429, sessions: 1},
		"busy":                  {refuse: "POST /v3.0/agents/pusher/attestations", code: 503, sessions: 1},
		"broken":                {refuse: "POST /v3.0/agents/pusher/attestations", code: 500, sessions: 1},
		"asks for nothing":      {refuse: "POST /v3.0/agents/pusher/attestations", code: 201, body: `{"data": {"type": "attestation", "attributes": {"evidence_requested": []}}}`, sessions: 1},
		"asks for another kind": {refuse: "POST /v3.0/agents/pusher/attestations", code: 201, body: strings.Replace(begun, `"evidence_requested": [`, `"evidence_requested": [{"evidence_class": "log", "evidence_type": "other"}, `, 1), sessions: 1},
		"asks beyond the list":  {refuse: "POST /v3.0/agents/pusher/attestations", code: 201, body: strings.Replace(begun, `"evidence_requested": [`, `"evidence_requested": [{"evidence_class": "log", "evidence_type": "ima_log", "chosen_parameters": {"starting_offset": 9999}}, `, 1), sessions: 1},
		"no challenge":          {refuse: "POST /v3.0/agents/pusher/attestations", code: 201, body: strings.Replace(begun, "bm9uY2U=", "%", 1), sessions: 1},
		"no such register":      {refuse: "POST /v3.0/agents/pusher/attestations", code: 201, body: strings.Replace(begun, "[7]", "[24]", 1), sessions: 1},
		"evidence too late":     {refuse: "PATCH /v3.0/agents/pusher/attestations/4", code: 403, sessions: 2},
		"evidence bad":          {refuse: "PATCH /v3.0/agents/pusher/attestations/4", code: 422, sessions: 1},
		"attestation gone":      {refuse: "PATCH /v3.0/agents/pusher/attestations/4", code: 410, sessions: 1},
		"no room":               {refuse: "PATCH /v3.0/agents/pusher/attestations/4", code: 503, sessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPushWorld(t, nil)
			var mu sync.Mutex
			calls := map[string]int{}
			s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				call := r.Method + " " + r.URL.Path
				mu.Lock()
				calls[call]++
				first := calls[call] == 1
				mu.Unlock()
				answer := map[string]string{"POST /v3.0/sessions": session, "PATCH /v3.0/sessions/s": proved, "POST /v3.0/agents/pusher/attestations": begun, "PATCH /v3.0/agents/pusher/attestations/4": shown}[call]
				switch {
				case first && call == test.refuse && test.body != "":
					answer = test.body
				case first && call == test.refuse:
					rw.WriteHeader(test.code)
					answer = `{"errors": [{"detail": "not now"}]}`
				case answer == "":
					rw.WriteHeader(http.StatusTeapot)
				}
				_, _ = io.WriteString(rw, answer)
			}))
			t.Cleanup(s.Close)
			w.config.VerifierURL = s.URL
			w.config.VerifierCA = []string{filepath.Join(t.TempDir(), "ca.pem")}
			w.check(os.WriteFile(w.config.VerifierCA[0], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
			a := w.start()
			w.eventually("it comes through", w.logged("the verifier takes its evidence"))
			w.check(a.Close())
			mu.Lock()
			defer mu.Unlock()
			if n := calls["POST /v3.0/sessions"]; n != test.sessions {
				t.Errorf("%d sessions, want %d\n%v", n, test.sessions, calls)
			}
		})
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
		config.UUID, config.RegistrarPort, config.VerifierURL = "old", s.Listener.Addr().(*net.TCPAddr).Port, "https://127.0.0.1"
		_, err := agent.Start(t.Context(), agent.Options{Config: config, Machine: newMachine(t, "sb-on", ""), EKCertPEM: certPEM, Push: true})
		s.Close()
		if err == nil || !strings.Contains(err.Error(), "418") || got.EKCert != want || got.MTLSCert != "disabled" {
			t.Errorf("API %s: %v, %+v", version, err, got)
		}
	}
}

package tenant

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// machine is an agent's hardware and keys: made once, since keys cost time.
type machine struct {
	tpm, other *softtpm.TPM
	nk         *rsa.PrivateKey
	nkPEM      string
	ekCert     string
	caPEM      []byte
}

var theMachine = sync.OnceValues(func() (*machine, error) {
	m := &machine{}
	var err error
	for _, tpm := range []**softtpm.TPM{&m.tpm, &m.other} {
		if *tpm, err = softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"}); err != nil {
			return nil, err
		}
	}
	ca, err := softtpm.NewEKCA(time.Now())
	if err != nil {
		return nil, err
	}
	der, err := ca.IssueEK(m.tpm.EKPublic(), time.Now())
	if err != nil {
		return nil, err
	}
	m.ekCert, m.caPEM = base64.StdEncoding.EncodeToString(der), ca.CertificatePEM()
	if m.nk, err = softtpm.NewTransportKey(); err != nil {
		return nil, err
	}
	if m.nkPEM, err = softtpm.TransportKeyPEM(&m.nk.PublicKey); err != nil {
		return nil, err
	}
	for _, tpm := range []*softtpm.TPM{m.tpm, m.other} {
		if err := tpm.BindTransportKey(m.nkPEM); err != nil {
			return nil, err
		}
	}
	return m, nil
})

const (
	testID  = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	agentIP = "10.0.0.7"
	certPEM = "-----BEGIN CERTIFICATE-----\nthe agent's\n-----END CERTIFICATE-----\n"
)

// world is a registrar, a verifier and an agent in memory. Every call and every
// event goes into one log, in order.
type world struct {
	machine *machine
	log     []string
	events  []Event

	// before is asked at each call, by its name, before it has any effect;
	// after, when it has had its effect: an error of it is a lost answer.
	before, after func(call string, nth int) error
	count         map[string]int

	record *registrar.Agent
	// quote may spoil what the agent answers.
	quote   func(*agent.Quote)
	version client.Negotiation
	gone    bool

	enrolled map[string]*verifier.Agent
	posted   []verifier.AddRequest
	runtime  map[string]string
	mb       map[string]*string
	used     map[string][2]string // the names of the policies that an agent uses
	// pending is how many questions a deletion outlives.
	pending, terminating int
	// shows is how the record of an enrolled agent changes with each question.
	shows func(a *verifier.Agent, nth int)

	us, vs  []payload.Secret
	authTag string
	// withholdV leaves the agent without V.
	withholdV bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m, err := theMachine()
	if err != nil {
		t.Fatal(err)
	}
	ip, port, cert := agentIP, 9002, certPEM
	w := &world{
		machine: m, count: map[string]int{}, enrolled: map[string]*verifier.Agent{}, runtime: map[string]string{}, mb: map[string]*string{}, used: map[string][2]string{},
		version: client.Negotiation{Version: client.Version{Major: 2, Minor: 5}},
	}
	w.record = &registrar.Agent{ID: testID, Record: registrar.Record{
		AgentID: testID, EKTPM: base64.StdEncoding.EncodeToString(m.tpm.EKPublic()), EKCert: &m.ekCert,
		AIKTPM: base64.StdEncoding.EncodeToString(m.tpm.AKPublic()), MTLSCert: &cert, IP: &ip, Port: &port, RegCount: 1,
	}}
	return w
}

// tenant makes the use cases over this world, with a clock that jumps.
func (w *world) tenant(t *testing.T) *Tenant {
	t.Helper()
	store := t.TempDir()
	if err := os.WriteFile(filepath.Join(store, "ca.pem"), w.machine.caPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return &Tenant{
		Registrar: fakeRegistrar{w}, RegistrarConn: fakeConn{w, "registrar", "10.0.0.1:8891"},
		Verifier: fakeVerifier{w}, VerifierConn: fakeConn{w, "verifier", "10.0.0.1:8881"},
		Dial: func(at AgentEndpoint) (Agent, Connection, func(), error) {
			w.log = append(w.log, fmt.Sprintf("dial %s:%d pinned=%t", at.Host, at.Port, at.CertPEM == certPEM))
			return fakeAgent{w}, fakeConn{w, "agent", fmt.Sprintf("%s:%d", at.Host, at.Port)}, func() { w.log = append(w.log, "hang up") }, nil
		},
		EK:    EKRules{RequireCert: true, StoreDir: store},
		Retry: Retry{Max: 5, Base: 2, Exponential: true},
		Now:   func() time.Time { return now },
		After: func(d time.Duration) <-chan time.Time {
			now = now.Add(d)
			c := make(chan time.Time, 1)
			c <- now
			return c
		},
		Emit: func(e Event) {
			w.events = append(w.events, e)
			w.log = append(w.log, eventName(e))
		},
	}
}

func eventName(e Event) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", e), "tenant.")
}

// call notes a call and asks whether it is to fail.
func (w *world) call(name string) (after func(error) error, err error) {
	w.count[name]++
	nth := w.count[name]
	w.log = append(w.log, "> "+name)
	if w.before != nil {
		if err := w.before(name, nth); err != nil {
			return nil, err
		}
	}
	return func(err error) error {
		if err == nil && w.after != nil {
			return w.after(name, nth)
		}
		return err
	}, nil
}

// calls are the calls of the log, without events.
func (w *world) calls() []string {
	var calls []string
	for _, line := range w.log {
		if name, ok := strings.CutPrefix(line, "> "); ok {
			calls = append(calls, name)
		}
	}
	return calls
}

// index is where a line first stands in the log, -1 for nowhere.
func (w *world) index(line string) int { return slices.Index(w.log, line) }

// warned says whether a warning of a kind was told.
func (w *world) warned(kind WarningKind) bool {
	return slices.ContainsFunc(w.events, func(e Event) bool {
		warning, ok := e.(Warning)
		return ok && warning.Kind == kind
	})
}

func first[E Event](w *world) (found E) {
	for _, e := range w.events {
		if event, ok := e.(E); ok {
			return event
		}
	}
	return found
}

// The errors that a client returns.

func refusal(kind client.Kind, status int, text string) error {
	body := fmt.Appendf(nil, `{"code": %d, "status": %q, "results": {}}`, status, text)
	return &client.Error{Server: "server", Method: "GET", Path: "/", Kind: kind, HTTP: status,
		Reply: &client.Reply{HTTP: status, Code: status, Status: text, Results: json.RawMessage("{}"), Body: body}}
}

func notFound(text string) error { return refusal(client.NotFound, 404, text) }
func conflict(text string) error { return refusal(client.Conflict, 409, text) }

func noConnection() error {
	return &client.Error{Server: "server", Kind: client.Unreachable, Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
}

func timedOut() error {
	return &client.Error{Server: "server", Kind: client.TimedOut, Err: context.DeadlineExceeded}
}

// on makes a hook that fails one call, the nth time or (0) every time.
func on(name string, nth int, err error) func(string, int) error {
	return func(call string, n int) error {
		if call == name && (nth == 0 || n == nth) {
			return err
		}
		return nil
	}
}

type fakeConn struct {
	w          *world
	name, addr string
}

func (c fakeConn) Addr() string { return c.addr }

func (c fakeConn) Negotiate(ctx context.Context) (client.Negotiation, error) {
	after, err := c.w.call(c.name + ".version")
	if err != nil {
		return client.Negotiation{}, err
	}
	n := client.Negotiation{Version: client.Current()}
	switch c.name {
	case "agent":
		n = c.w.version
	case "verifier":
		n.Gone = c.w.gone
	}
	return n, after(ctx.Err())
}

type fakeRegistrar struct{ w *world }

func (r fakeRegistrar) Agents(ctx context.Context) ([]string, *client.Reply, error) {
	after, err := r.w.call("registrar.Agents")
	if err != nil {
		return nil, nil, err
	}
	return []string{r.w.record.ID}, &client.Reply{HTTP: 200}, after(nil)
}

func (r fakeRegistrar) Agent(ctx context.Context, id string) (*registrar.Agent, *client.Reply, error) {
	after, err := r.w.call("registrar.Agent")
	if err != nil {
		return nil, nil, err
	}
	if r.w.record == nil || id != r.w.record.ID {
		return nil, nil, notFound("Agent with ID '" + id + "' not found")
	}
	return r.w.record, &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (r fakeRegistrar) Delete(ctx context.Context, id string) (*client.Reply, error) {
	after, err := r.w.call("registrar.Delete")
	if err != nil {
		return nil, err
	}
	if r.w.record == nil || id != r.w.record.ID {
		return nil, notFound("Agent with ID '" + id + "' not found")
	}
	r.w.record = nil
	return &client.Reply{HTTP: 200}, after(nil)
}

type fakeAgent struct{ w *world }

func (a fakeAgent) IdentityQuote(ctx context.Context, nonce string) (*agent.Quote, *client.Reply, error) {
	after, err := a.w.call("agent.IdentityQuote")
	if err != nil {
		return nil, nil, err
	}
	tpm := a.w.machine.tpm
	text, err := tpm.QuoteString(nonce, []int{16}, tpm.HashAlg())
	if err != nil {
		return nil, nil, err
	}
	q := &agent.Quote{Quote: text, HashAlg: tpm.HashAlg(), EncAlg: tpm.EncAlg(), SignAlg: tpm.SignAlg(), PubKeyPEM: a.w.machine.nkPEM}
	if a.w.quote != nil {
		a.w.quote(q)
	}
	return q, &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (a fakeAgent) PostU(ctx context.Context, request agent.UKeyRequest) (*client.Reply, error) {
	after, err := a.w.call("agent.PostU")
	if err != nil {
		return nil, err
	}
	u, err := payload.OpenShare(a.w.machine.nk, request.EncryptedKey)
	if err != nil {
		return nil, refusal(client.Refused, 400, "bad share")
	}
	a.w.us, a.w.authTag = append(a.w.us, u), request.AuthTag
	return &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (a fakeAgent) VerifyKey(ctx context.Context, challenge string) (string, *client.Reply, error) {
	after, err := a.w.call("agent.VerifyKey")
	if err != nil {
		return "", nil, err
	}
	for _, u := range a.w.us {
		for _, v := range a.w.vs {
			if k, err := payload.Combine(u, v); err == nil && payload.AuthTag(k, testID) == a.w.authTag {
				return payload.Challenge(k, challenge), &client.Reply{HTTP: 200}, after(ctx.Err())
			}
		}
	}
	return "", nil, refusal(client.Refused, 400, "Bootstrap key not yet available.")
}

// Package verifier is the lab's verifier: it is told which agents to attest and
// by which policies, asks each for a quote again and again, and releases the
// share V of a payload key only after a quote that passed every check
// (PROTOCOL.md section 4, API 2.0 to 2.6). That is the pull model; in push mode
// ([Options.Push]) agents come by themselves (API 3.0) and are judged alike, and
// there is no V to release.
//
// What it checks of a quote: the signature by the AK it was given, nonce, PCR
// values, clock and the binding of the transport key (tenant/quote); the values
// that tpm_policy demands; the boot log against the quoted registers and a
// measured-boot policy (policy/measuredboot, as upstream's policy "example");
// the IMA list against PCR 10 and a runtime policy (policy/runtime). Failures
// carry the ids of PROTOCOL.md section 13.
//
// Where it knowingly differs from upstream in push mode: an agent without any
// policy is asked for a quote all the same; ECC keys do; several attestations can
// be listed; of those that failed, only the last 20 are kept.
//
// Where it knowingly differs from upstream: a wrong signature is a failure of
// its own (6.2); the last clock is always the baseline of the next (6.3);
// measured boot is evaluated with every quote, not only the first; what cannot
// be evaluated is refused when it is posted; a POST that fails leaves no policy
// behind.
package verifier

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/client"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// maxBody bounds a request's body in bytes (upstream's max_upload_size).
const maxBody = 100 << 20

// maxSessionBody is that of questions for sessions, in bytes.
const maxSessionBody = 64 << 10

// The defaults of Options.
const (
	defaultInterval = 2 * time.Second
	defaultRetry    = time.Second
	defaultRetries  = 5
	agentTimeout    = 20 * time.Second
)

// Options say how the verifier runs.
type Options struct {
	// Host and Port are listened on; port 0 takes a free one.
	Host string
	Port int
	// ID is what the verifier calls itself; empty means "default".
	ID string
	// TLS has the server's certificate and the CAs of its clients.
	TLS *tls.Config
	// Push makes it a verifier in push mode, which asks no agent: agents attest
	// themselves by the protocol of API 3.0 (PROTOCOL.md 2.4), and there is no GET
	// /version (2.2).
	Push bool
	// SessionLimit is how many sessions an agent may ask for within a minute, 0
	// for 15 as upstream; one address may ask for somewhat more than three times
	// as many.
	SessionLimit int
	// Agents is the client certificate that agents see.
	Agents *client.TLSMaterial
	// Interval is the time between two quotes, 0 for 2 s.
	Interval time.Duration
	// RetryInterval is the pause before an agent that does not answer is asked
	// again, 0 for 1 s; after MaxRetries (0: 5) it has failed.
	RetryInterval time.Duration
	MaxRetries    int
	// StateFile keeps agents and policies; empty keeps them in memory only.
	StateFile string
	// Log is told what happens, in single lines, from any goroutine; nil means
	// nobody listens.
	Log func(line string)
	// Now is the clock, nil for time.Now; Rand is the source of nonces, nil for
	// crypto/rand.
	Now  func() time.Time
	Rand io.Reader
}

// Server is a verifier.
type Server struct {
	o        Options
	port     int // listened on, 0 before Start
	listener *serve.Listener

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	agents  map[string]*enrolled
	order   []string // ids in the order they were added
	runtime policies
	mb      policies
	// sessions are those of agents of the push model; they end with the verifier.
	sessions sessions
}

// New makes a verifier that does not listen yet, and takes up the agents of
// its state file again: those that were being attested start anew. A state
// file that cannot be read is an error. It runs until Close.
func New(o Options) (*Server, error) {
	s := &Server{o: o, agents: map[string]*enrolled{}}
	d := &s.o
	if d.ID == "" {
		d.ID = "default"
	}
	if d.Interval == 0 {
		d.Interval = defaultInterval
	}
	if d.RetryInterval == 0 {
		d.RetryInterval = defaultRetry
	}
	if d.MaxRetries == 0 {
		d.MaxRetries = defaultRetries
	}
	if d.SessionLimit == 0 {
		d.SessionLimit = sessionsPerAgent
	}
	if d.Log == nil {
		d.Log = func(string) {}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.load(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// Start makes a verifier and listens. An address in use is an error.
func Start(o Options) (*Server, error) {
	s, err := New(o)
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		_ = s.Close() // what failed first counts
		return nil, fmt.Errorf("verifier: %w", err)
	}
	// Records tell the port, from the first request on.
	if address, ok := l.Addr().(*net.TCPAddr); ok {
		s.port = address.Port
	}
	s.listener = serve.Serve(l, s.Handler(true), o.TLS)
	return s, nil
}

// Port is the port listened on.
func (s *Server) Port() int { return s.port }

// Close ends all attestation, saves the state, stops listening, and returns
// when no goroutine is left.
func (s *Server) Close() error {
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	s.stop()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.save(); err == nil {
		err = e
	}
	return err
}

// Handler is the verifier as a handler for a listener; secure says that the
// listener speaks TLS.
func (s *Server) Handler(secure bool) http.Handler {
	const one = "/agents/{id}"
	api := &serve.API{MaxBody: maxBody, Log: func(line string) { s.o.Log("verifier: " + line) }}
	admin := func(method, path, action string, handle func(*serve.Request) serve.Answer) serve.Route {
		return serve.Route{Method: method, Path: path, Rights: serve.Admin, Action: action, Handle: handle}
	}
	versions := serve.VersionRoutes
	if s.o.Push {
		versions = gone
	}
	api.Routes = append(versions("/version", "/versions"),
		admin(http.MethodGet, "/agents", "list_agents", s.list),
		serve.Route{Method: http.MethodGet, Path: one, Rights: serve.AdminOrOwner, Action: "read_agent", Handle: s.show},
		admin(http.MethodPost, one, "create_agent", s.add),
		admin(http.MethodDelete, one, "delete_agent", s.remove),
		admin(http.MethodPut, one+"/stop", "update_agent", s.stopAgent),
		admin(http.MethodPut, one+"/reactivate", "update_agent", s.reactivate),
		serve.Route{Method: http.MethodGet, Path: "/verify/identity", Handle: s.verifyIdentity},
		serve.Route{Method: http.MethodPost, Path: "/verify/evidence", Handle: s.verifyEvidence})
	api.Routes = append(append(api.Routes, s.policyRoutes(s.runtimeKind())...), s.policyRoutes(s.mbKind())...)
	if s.o.Push {
		api.Bearer = s.tokenOf
		return s.withPush(api.Handler(secure), secure)
	}
	return api.Handler(secure)
}

func (s *Server) logf(format string, a ...any) { s.o.Log(fmt.Sprintf("verifier: "+format, a...)) }

// enrolled is one agent under attestation.
type enrolled struct {
	ID      string          `json:"id"`
	Request wire.AddRequest `json:"request"`
	Record  wire.Record     `json:"record"`
	// RuntimeName and MBName are the names of its policies.
	RuntimeName string `json:"runtime_policy_name"`
	MBName      string `json:"mb_policy_name"`
	// Push is what there is of an agent of the push model, nil for one that is
	// asked for quotes.
	Push *pushed `json:"push,omitempty"`

	poller *poller // nil when it is not polled
}

// state is the content of the state file.
type state struct {
	Agents  []*enrolled `json:"agents"`
	Runtime policies    `json:"runtime_policies"`
	MB      policies    `json:"mb_policies"`
}

// load reads the state file and starts to poll who was being polled.
func (s *Server) load() error {
	var st state
	if err := serve.LoadState(s.o.StateFile, &st); err != nil {
		return err
	}
	s.runtime, s.mb = st.Runtime, st.MB
	for _, e := range st.Agents {
		if e == nil || s.agents[e.ID] != nil {
			return fmt.Errorf("state %s is no state of this lab", s.o.StateFile)
		}
		s.agents[e.ID] = e
		s.order = append(s.order, e.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range st.Agents {
		if s.o.Push || e.Push != nil {
			continue // nobody to ask
		}
		switch e.Record.OperationalState {
		case wire.Start, wire.GetQuote, wire.GetQuoteRetry, wire.ProvideV, wire.ProvideVRetry:
			s.poll(e)
		}
	}
	return nil
}

// save writes the state file. The caller holds the lock.
func (s *Server) save() error {
	st := state{Runtime: s.runtime, MB: s.mb, Agents: make([]*enrolled, 0, len(s.order))}
	for _, id := range s.order {
		st.Agents = append(st.Agents, s.agents[id])
	}
	return serve.SaveState(s.o.StateFile, st)
}

// saved writes the state file and returns the answer, or 500 if that failed.
// The caller holds the lock.
func (s *Server) saved(good serve.Answer) serve.Answer {
	if err := s.save(); err != nil {
		s.logf("%v", err)
		return serve.Fail(http.StatusInternalServerError, "")
	}
	return good
}

// forget removes an agent and the policies that are named like it. The caller
// holds the lock.
func (s *Server) forget(id string) {
	if e := s.agents[id]; e != nil && e.poller != nil {
		e.poller.end()
	}
	delete(s.agents, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
	s.runtime.remove(id)
	s.mb.remove(id)
}

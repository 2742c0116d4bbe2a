// Package registrar is the lab's registrar: agents register with the public
// parts of their TPM's keys and prove by a credential that both are of one TPM;
// tenants and verifiers read the records (PROTOCOL.md section 3, API 2.0 to
// 2.6).
//
// It checks that an EK certificate, if there is one, is for the EK registered,
// and that a known agent does not come back with another TPM. Like the real
// one it does not check who issued the EK certificate: that is for the tenant.
// Of a device identity (IAK and IDevID) it checks who certified its keys, and
// that its IAK has certified the AK.
package registrar

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// maxBody bounds a request's body in bytes.
const maxBody = 1 << 20

// Options say how the registrar runs.
type Options struct {
	// Host is the address to listen on.
	Host string
	// Port is the plain one for agents, TLSPort that of tenants and verifiers;
	// 0 takes a free one.
	Port, TLSPort int
	// TLS has the server's certificate and the CAs of its clients.
	TLS *tls.Config
	// StateFile keeps the records; empty keeps them in memory only.
	StateFile string
	// TPMIdentity is what an agent has to register with, one of [Identities]; ""
	// is [IdentityDefault].
	TPMIdentity string
	// CertStore is the directory of certificates that vouch for device
	// identities (tpm_cert_store of the section [tenant]); "" refuses them.
	CertStore string
	// Log is told what happens, in single lines; nil means nobody listens.
	Log func(line string)
	// Rand is the source of challenges; nil means crypto/rand.
	Rand io.Reader
}

// Server is a registrar.
type Server struct {
	log   func(string)
	rand  io.Reader
	state string

	tpmIdentity, certStore string

	mu     sync.Mutex
	agents map[string]*agent
	order  []string // ids in the order of their first registration

	plain, secure *serve.Listener
}

// New makes a registrar that does not listen yet: Handler serves it. A state
// file that cannot be read is an error.
func New(o Options) (*Server, error) {
	s := &Server{log: o.Log, rand: o.Rand, state: o.StateFile, agents: map[string]*agent{}}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.log == nil {
		s.log = func(string) {}
	}
	s.certStore = o.CertStore
	if s.tpmIdentity = o.TPMIdentity; s.tpmIdentity == "" {
		s.tpmIdentity = IdentityDefault
	}
	if err := checkSetting(s.tpmIdentity); err != nil {
		return nil, err
	}
	return s, s.load()
}

// Start makes a registrar and listens on both ports. An address in use is an
// error.
func Start(o Options) (*Server, error) {
	s, err := New(o)
	if err != nil {
		return nil, fmt.Errorf("registrar: %w", err)
	}
	if s.plain, err = serve.Listen(o.Host, o.Port, s.Handler(false), nil); err != nil {
		return nil, fmt.Errorf("registrar: %w", err)
	}
	if s.secure, err = serve.Listen(o.Host, o.TLSPort, s.Handler(true), o.TLS); err != nil {
		_ = s.plain.Close() // what failed first counts
		return nil, fmt.Errorf("registrar: %w", err)
	}
	return s, nil
}

// Port is the plain port listened on, TLSPort the other.
func (s *Server) Port() int { return s.plain.Port() }

// TLSPort is the port that speaks TLS.
func (s *Server) TLSPort() int { return s.secure.Port() }

// Close stops listening and returns when no goroutine is left.
func (s *Server) Close() error {
	err := s.plain.Close()
	if e := s.secure.Close(); err == nil {
		err = e
	}
	return err
}

// Handler is the registrar as a handler for a listener; secure says that the
// listener speaks TLS.
func (s *Server) Handler(secure bool) http.Handler {
	const one, activate = "/agents/{id}", "/agents/{id}/activate"
	api := &serve.API{Indent: true, MaxBody: maxBody, Log: func(line string) { s.log("registrar: " + line) }}
	api.Routes = append(serve.VersionRoutes("/version"),
		serve.Route{Method: http.MethodGet, Path: "/agents", Rights: serve.Admin, Action: "list_registrations", Handle: s.list},
		serve.Route{Method: http.MethodGet, Path: one, Rights: serve.Admin, Action: "read_registration", Handle: s.show},
		serve.Route{Method: http.MethodDelete, Path: one, Rights: serve.Admin, Action: "delete_registration", Handle: s.remove},
		serve.Route{Method: http.MethodPost, Path: one, Plain: true, Handle: s.register},
		serve.Route{Method: http.MethodPost, Path: "/agents", Plain: true, Handle: s.register},
		serve.Route{Method: http.MethodPut, Path: one, Plain: true, Handle: s.activate},
		serve.Route{Method: http.MethodPut, Path: activate, Plain: true, Handle: s.activate},
		serve.Route{Method: http.MethodPost, Path: activate, Plain: true, Handle: s.activate})
	return api.Handler(secure)
}

func notFound(id string) serve.Answer {
	return serve.Failf(http.StatusNotFound, "Agent with ID '%s' not found", id)
}

// list answers GET /agents: all ids, also those not yet activated.
func (s *Server) list(*serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return serve.OK(wire.AgentList{UUIDs: append([]string{}, s.order...)})
}

// show answers GET /agents/:id.
func (s *Server) show(r *serve.Request) serve.Answer {
	id := r.Params["id"]
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[id]
	switch {
	case a == nil:
		return notFound(id)
	case !a.Active:
		return serve.Failf(http.StatusNotFound, "Agent with ID '%s' has not been activated", id)
	}
	return serve.OK(a.Record)
}

// remove answers DELETE /agents/:id.
func (s *Server) remove(r *serve.Request) serve.Answer {
	id := r.Params["id"]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agents[id] == nil {
		return notFound(id)
	}
	s.forget(id)
	return s.saved(serve.OK(nil))
}

// forget removes a record. The caller holds the lock.
func (s *Server) forget(id string) {
	delete(s.agents, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
}

// agent is one record with what is needed until it is active.
type agent struct {
	Record wire.Record `json:"record"`
	Active bool        `json:"active"`
	// Device are IAK and IDevID; nil without.
	Device *deviceIdentity `json:"device_identity,omitempty"`
	// Key is the text whose HMAC activates the record.
	Key string `json:"key"`
}

// load reads the state file.
func (s *Server) load() error {
	var agents []*agent
	if err := serve.LoadState(s.state, &agents); err != nil {
		return err
	}
	for _, a := range agents {
		if a == nil || s.agents[a.Record.AgentID] != nil {
			return fmt.Errorf("state %s is no state of this lab", s.state)
		}
		s.agents[a.Record.AgentID] = a
		s.order = append(s.order, a.Record.AgentID)
	}
	return nil
}

// saved writes the state file and returns the answer, or 500 if that failed.
// The caller holds the lock.
func (s *Server) saved(good serve.Answer) serve.Answer {
	agents := make([]*agent, 0, len(s.order))
	for _, id := range s.order {
		agents = append(agents, s.agents[id])
	}
	if err := serve.SaveState(s.state, agents); err != nil {
		s.log("registrar: " + err.Error())
		return serve.Fail(http.StatusInternalServerError, "")
	}
	return good
}

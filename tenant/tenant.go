// Package tenant holds the use cases of an operator of Keylime: put a machine
// under attestation, change or end that, see its state, keep policies on the
// verifier.
//
// A use case decides the order of calls, what is checked before what leaves
// this machine, and what is undone when something fails. It returns a typed
// result or a typed error, tells what it does as typed events (see [Event]),
// and prints nothing.
//
// What it trusts: the registrar for the record of an agent (AK, EK, transport
// certificate; the registrar has bound AK to EK by credential activation), the
// configured EK authorities, and the verifier for enforcing the policies it is
// given. What it checks itself: see [Tenant.Add].
package tenant

import (
	"context"
	"io"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// Registrar is what the use cases ask of a registrar; *registrar.Client is one.
type Registrar interface {
	Agents(ctx context.Context) ([]string, *client.Reply, error)
	Agent(ctx context.Context, id string) (*registrar.Agent, *client.Reply, error)
	Delete(ctx context.Context, id string) (*client.Reply, error)
}

// Enrolments is the verifier's side of adding, watching and deleting agents.
type Enrolments interface {
	Add(ctx context.Context, id string, request verifier.AddRequest) (*client.Reply, error)
	Agent(ctx context.Context, id string) (*verifier.Agent, *client.Reply, error)
	Delete(ctx context.Context, id string) (pending bool, reply *client.Reply, err error)
}

// Listings are the verifier's views of many agents.
type Listings interface {
	Agents(ctx context.Context, verifierID string) ([]string, *client.Reply, error)
	Bulk(ctx context.Context, verifierID string) ([]verifier.Agent, *client.Reply, error)
}

// Switches start and stop the attestation of an enrolled agent.
type Switches interface {
	Stop(ctx context.Context, id string) (*client.Reply, error)
	Reactivate(ctx context.Context, id string) (*client.Reply, error)
}

// Verifier is what the use cases ask of a verifier; *verifier.Client is one.
type Verifier interface {
	Enrolments
	Listings
	Switches
	PolicyStore
}

// Agent is what the use cases ask of an agent; *agent.Client is one.
type Agent interface {
	IdentityQuote(ctx context.Context, nonce string) (*agent.Quote, *client.Reply, error)
	PostU(ctx context.Context, request agent.UKeyRequest) (*client.Reply, error)
	VerifyKey(ctx context.Context, challenge string) (hmacHex string, reply *client.Reply, err error)
	Attester
}

// Connection is the transport below an endpoint: who is at the other end, and
// which version of the protocol both speak. *client.Client is one.
type Connection interface {
	Addr() string
	Negotiate(ctx context.Context) (client.Negotiation, error)
}

// AgentEndpoint says where and how an agent is to be reached.
type AgentEndpoint struct {
	ID   string
	Host string
	Port int
	// CertPEM is the certificate the agent must present, byte for byte. Empty
	// means plain HTTP, which the caller has decided to allow.
	CertPEM string
	// Version fixes the protocol version; nil lets both sides negotiate.
	Version *client.Version
}

// Dial makes the client of one agent. It does not connect yet. The function
// that is returned releases the connection.
type Dial func(AgentEndpoint) (Agent, Connection, func(), error)

// Retry says how often and how long to wait for something that takes time.
type Retry struct {
	// Max is the number of tries after which to give up.
	Max int
	// Base is the wait in seconds, or the base of the exponential back-off.
	Base float64
	// Exponential makes the wait Base to the power of the number of tries.
	Exponential bool
}

// Tenant runs the use cases. Fields that a use case does not need may be nil:
// reading a status needs no Dial, a registrar verb no Verifier.
type Tenant struct {
	Registrar     Registrar
	RegistrarConn Connection
	Verifier      Verifier
	VerifierConn  Connection
	Dial          Dial

	// EK says how endorsement keys are checked.
	EK EKRules
	// AllowPlainAgents permits agents without a TLS certificate
	// (enable_agent_mtls = False).
	AllowPlainAgents bool
	// PlainAgents speaks to every agent without TLS (enable_agent_mtls =
	// False), whatever the registrar holds.
	PlainAgents bool

	Retry Retry
	// UndoLimit is the time that undoing may take, 0 for 20 s.
	UndoLimit time.Duration
	// Now and After are the clock; nil means the real one.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	// Rand is the source of keys and nonces; nil means crypto/rand.
	Rand io.Reader
	// Emit is told what happens, in order; nil means nobody listens. It is
	// called from one goroutine at a time.
	Emit func(Event)

	registrarVersion, verifierVersion *client.Negotiation
}

func (t *Tenant) emit(e Event) {
	if t.Emit != nil {
		t.Emit(e)
	}
}

func (t *Tenant) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// askRegistrar settles the version of the protocol with the registrar, once.
func (t *Tenant) askRegistrar(ctx context.Context) error {
	if t.registrarVersion != nil {
		return nil
	}
	n, err := t.RegistrarConn.Negotiate(ctx)
	if err != nil {
		return err
	}
	t.registrarVersion = &n
	t.emit(ServerVersion{Server: ServerRegistrar, Negotiation: n})
	return nil
}

// askVerifier settles the version of the protocol with the verifier, once.
func (t *Tenant) askVerifier(ctx context.Context) error {
	if t.verifierVersion != nil {
		return nil
	}
	n, err := t.VerifierConn.Negotiate(ctx)
	if err != nil {
		return err
	}
	t.verifierVersion = &n
	t.emit(ServerVersion{Server: ServerVerifier, Negotiation: n})
	return nil
}

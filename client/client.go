package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// The names of servers, for [Config.Name].
const (
	RegistrarName = "registrar"
	VerifierName  = "verifier"
	AgentName     = "agent"
)

// DefaultTimeout is the time limit of a call where none is configured
// (PROTOCOL.md 0.3).
const DefaultTimeout = 60 * time.Second

// Config says how a server is to be reached.
type Config struct {
	// Name is what the server is, for messages: [RegistrarName],
	// [VerifierName] or [AgentName]. An agent that cannot be reached makes
	// [Client.Negotiate] fail, see there.
	Name string
	// Host is a name or address; IPv6 with or without brackets.
	Host string
	Port int
	// TLS is our material; nil means plain HTTP, which the caller has decided
	// to allow.
	TLS *TLSMaterial
	// PinnedPEM is the certificate that the server must present, byte for
	// byte; authorities do not matter then. Empty means no pin.
	PinnedPEM string
	// Timeout limits each call as a whole, from connecting to the last byte of
	// the answer; 0 means [DefaultTimeout].
	Timeout time.Duration
	// Trace is told every request after it is over; nil means nobody listens.
	Trace func(Trace)
}

// Trace is a request that is over, for logs. It never holds a body.
type Trace struct {
	// Server is the name and address: "agent [::1]:9002".
	Server string
	Method string
	// URL is the whole URL, with the query.
	URL string
	// HTTP is the status of the answer, 0 if there was none.
	HTTP int
	// Sent and Received are the lengths of the bodies in bytes.
	Sent, Received int64
	Duration       time.Duration
	// Kind and Err say why it failed; Err has no Reply.
	Kind Kind
	Err  error
}

// Client talks to one server over one connection, which is kept open between
// calls. It may be used by several goroutines; their calls queue up.
type Client struct {
	config Config
}

// New makes the client of a server. It does not connect yet. An address that
// cannot be one is an *[AddressError], a pinned certificate that cannot be read
// a *[FileError].
func New(config Config) (*Client, error) {
	return nil, errors.New("not yet")
}

// Name is what the server is: "verifier".
func (c *Client) Name() string { return c.config.Name }

// Addr is host and port, IPv6 in brackets: "127.0.0.1:8881".
func (c *Client) Addr() string { return "" }

// Close gives up the connection. Calls under way fail, later ones are errors.
func (c *Client) Close() {}

// Use fixes the version of the API for the calls that follow, without asking.
func (c *Client) Use(v Version) {}

// Version is the version of the API that calls speak: the one negotiated or
// fixed by Use, before that [Current].
func (c *Client) Version() Version { return Current() }

// Call is one request.
type Call struct {
	Method string
	// Path is escaped and begins with a slash, without the version prefix.
	Path  string
	Query url.Values
	// Body is sent as it is if it is a []byte, otherwise as JSON; nil sends
	// none.
	Body any
	// ContentType of the body; empty means application/json.
	ContentType string
	// NoVersion leaves the version prefix out.
	NoVersion bool
	// Into takes the results of a good answer, as encoding/json does; nil
	// leaves them alone. Results that do not fit, or null, are Unreadable.
	Into any
}

// Do sends a request and opens the answer. The reply is not nil when a whole
// answer with a status came, also beside an error. Every error is an *[Error],
// but for a body that cannot be encoded.
func (c *Client) Do(ctx context.Context, call Call) (*Reply, error) {
	return nil, errors.New("not yet")
}

// Negotiate asks the server for its versions, once, and fixes the newest
// common one for the calls that follow (PROTOCOL.md 2.3).
func (c *Client) Negotiate(ctx context.Context) (Negotiation, error) {
	return Negotiation{}, errors.New("not yet")
}

// Unreadable makes the error for a good answer whose content is not what the
// endpoint promises; it is for the packages of the endpoints.
func (c *Client) Unreadable(call Call, reply *Reply, cause error) error {
	return &Error{Kind: Unreadable, Err: cause}
}

var _ = json.RawMessage(nil)

package client

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
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
	config  Config
	host    string // without brackets
	addr    string
	server  string
	timeout time.Duration
	pin     *x509.Certificate

	transport *http.Transport
	// life is over when the client is closed; end ends it.
	life context.Context
	end  context.CancelFunc
	// asking is held by the one goroutine that negotiates.
	asking chan struct{}

	mu         sync.Mutex
	version    Version
	negotiated *Negotiation
	// kept is the failure of a negotiation that the next call reports.
	kept *Error
}

// New makes the client of a server. It does not connect yet. An address that
// cannot be one is an *[AddressError]; a pinned certificate that cannot be
// read, or without TLS, is an *[Error] of kind ServerUntrusted.
func New(config Config) (*Client, error) {
	host, err := checkAddress(config)
	if err != nil {
		return nil, err
	}
	c := &Client{
		config: config, host: host, addr: net.JoinHostPort(host, strconv.Itoa(config.Port)),
		timeout: config.Timeout, version: Current(), asking: make(chan struct{}, 1),
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.server = config.Name + " " + c.addr
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	if config.PinnedPEM != "" {
		if c.pin, err = c.parsePin(); err != nil {
			return nil, err
		}
	}
	// Proxy is nil: never the environment's. HTTP/2 is off, since the dialers
	// are our own.
	c.transport = &http.Transport{
		DialContext: c.dial, DialTLSContext: c.dial,
		MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, MaxResponseHeaderBytes: 256 << 10,
	}
	return c, nil
}

// Name is what the server is: "verifier".
func (c *Client) Name() string { return c.config.Name }

// Addr is host and port, IPv6 in brackets: "127.0.0.1:8881".
func (c *Client) Addr() string { return c.addr }

// Close gives up the connection. Calls under way and later ones fail with kind
// Canceled. It may be called more than once.
func (c *Client) Close() {
	c.end()
	c.transport.CloseIdleConnections()
}

// Use fixes the version of the API for the calls that follow, without asking.
func (c *Client) Use(v Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = v
}

// Version is the version of the API that calls speak: the one negotiated or
// fixed by Use, before that [Current].
func (c *Client) Version() Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// checkAddress returns the host without brackets, if a connection can be made
// to it. What a registrar says about an agent comes here unchecked, so nothing
// may slip through that would change the meaning of a URL.
func checkAddress(config Config) (string, error) {
	bad := func(cause string) (string, error) {
		return "", &AddressError{Server: config.Name, Host: config.Host, Port: config.Port, Cause: cause}
	}
	host := config.Host
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(host, ":") {
			return bad("brackets are for IPv6 addresses")
		}
	}
	switch {
	case host == "":
		return bad("no host is given")
	case config.Port < 1 || config.Port > 65535:
		return bad("the port must be a number from 1 to 65535")
	case strings.Contains(host, ":"):
		address, zone, zoned := strings.Cut(host, "%")
		if net.ParseIP(address) == nil || zoned == (zone == "") {
			return bad("neither a host name nor an IPv6 address; the port is given apart")
		}
	}
	for _, r := range host {
		// What does not print, U+009B for one, could command a terminal: the
		// address stands in messages.
		if r == ' ' || r == utf8.RuneError || !strconv.IsPrint(r) || strings.ContainsRune(`/?#@\"<>[]{}|^`+"`", r) {
			return bad("a host name or an address is wanted, not a URL")
		}
	}
	return host, nil
}

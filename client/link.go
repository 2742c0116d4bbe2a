package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// alertWait is how long a failed write waits for the reader to find out why.
const alertWait = 250 * time.Millisecond

// link is one connection to a server, and what has been seen on it.
type link struct {
	net.Conn
	// asked: the server wants a client certificate. peers are its own ones.
	// Both are settled when the handshake is over.
	asked bool
	peers []*x509.Certificate
	// answered: at least one byte has come.
	answered atomic.Bool
	// first is the first byte received, and ended the error that ended reading;
	// they are settled when done is closed.
	first byte
	ended error
	done  chan struct{}
	once  sync.Once
}

// dialError is a connection that did not come about.
type dialError struct {
	// handshake: the server was there, but TLS failed.
	handshake bool
	link      *link
	err       error
}

func (d *dialError) Error() string { return d.err.Error() }
func (d *dialError) Unwrap() error { return d.err }

// callKey is the key under which a request's context holds the context of its
// call. The one that http.Transport dials with outlives the call.
type callKey struct{}

// dial connects, and makes the TLS handshake if TLS is configured. It is bound
// to the call that needs the connection.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if call, ok := ctx.Value(callKey{}).(context.Context); ok {
		ctx = call
	}
	l := &link{done: make(chan struct{})}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{link: l, err: err}
	}
	if c.config.TLS == nil {
		l.Conn = conn
		return l, nil
	}
	secure := tls.Client(conn, c.tlsConfig(l))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &dialError{handshake: true, link: l, err: err}
	}
	l.Conn = secure
	return l, nil
}

// Read notes what the server sends first, and why reading ends.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && !l.answered.Load() {
		l.first = p[0]
		l.answered.Store(true)
	}
	if err != nil {
		l.once.Do(func() {
			l.ended = err
			close(l.done)
		})
	}
	return n, err
}

// Write waits after a failure for the reader: with TLS 1.3 a server that
// refuses our certificate says so after the handshake, and may have closed
// before we have written. Its alert says why, the failed write does not.
func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	if err != nil {
		timer := time.NewTimer(alertWait)
		defer timer.Stop()
		select {
		case <-l.done:
		case <-timer.C:
		}
	}
	return n, err
}

// why is the error that has ended reading, nil if nothing has yet.
func (l *link) why() error {
	select {
	case <-l.done:
		return l.ended
	default:
		return nil
	}
}

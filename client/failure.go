package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// errLimit is the cause of a call's context when its own time limit is over.
var errLimit = errors.New("time limit of the call")

// errClosed is the cause of a call's context when the client has been closed.
var errClosed = errors.New("the client is closed")

// attempt is what is known about a request that fails.
type attempt struct {
	call *Call
	// path is the path as sent, with the version prefix.
	path string
	// link is the connection it went out on, nil if there was none; reused says
	// that it had carried another request before.
	link   *link
	reused bool
	// sent is the length of the body in bytes.
	sent int64
}

// smallBody is the length in bytes up to which a server can be expected to read
// a request before it closes.
const smallBody = 16 << 10

// fail turns the error of a request that got no complete answer into an
// [Error]. The context is that of the call.
func (c *Client) fail(ctx context.Context, a attempt, err error) *Error {
	e := &Error{Server: c.server, Method: a.call.Method, Path: a.path}
	if c.gaveUp(ctx, a, e, err) {
		return e
	}
	l := a.link
	var dial *dialError
	if errors.As(err, &dial) {
		l = dial.link
	} else if l != nil {
		// The reader may know better than the writer.
		if ended := l.why(); ended != nil {
			if _, ok := alertOf(ended); ok || errors.Is(ended, syscall.ECONNRESET) {
				err = ended
			}
		}
	}
	if c.failTLS(e, a, l, dial, err) {
		return e
	}
	c.failConnection(e, a, l, dial, err)
	return e
}

// gaveUp handles the ends of time and patience.
func (c *Client) gaveUp(ctx context.Context, a attempt, e *Error, err error) bool {
	var timeout net.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errClosed):
		e.Kind, e.Err = Canceled, &because{errClosed.Error(), err}
	case errors.Is(cause, errLimit):
		e.Kind = TimedOut
		what := "no complete answer"
		if a.link == nil {
			what = "no connection"
		}
		e.Err = &because{fmt.Sprintf("%s within %v", what, c.timeout.Round(time.Millisecond)), context.DeadlineExceeded}
		e.Hint = "the time limit can be raised (request_timeout, --timeout)"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		e.Kind, e.Err = TimedOut, &because{"the time is up", context.DeadlineExceeded}
	case ctx.Err() != nil:
		e.Kind, e.Err = Canceled, &because{"canceled", context.Canceled}
	case errors.As(err, &timeout) && timeout.Timeout():
		// The system has its own limits, for a connection that is not accepted.
		e.Kind, e.Err = TimedOut, &because{"the connection timed out", err}
	default:
		return false
	}
	return true
}

// failTLS handles everything that TLS says about either side.
func (c *Client) failTLS(e *Error, a attempt, l *link, dial *dialError, err error) bool {
	if d := (*distrust)(nil); errors.As(err, &d) {
		e.Kind, e.Err, e.Hint = ServerUntrusted, d, d.hint
		return true
	}
	if said, ok := alertOf(err); ok {
		e.Err = &because{"it says: " + said.String(), err}
		switch {
		case said.aboutCertificate(l != nil && l.asked):
			e.Kind, e.Hint = ClientRefused, c.whyRefused(l)
		case said == alertInternalError:
			e.Kind = Unreachable
		default:
			e.Kind = ServerUntrusted
			e.Hint = "both sides must speak TLS 1.2 or later"
		}
		return true
	}
	if record := (tls.RecordHeaderError{}); errors.As(err, &record) {
		text := "it does not speak TLS"
		if string(record.RecordHeader[:]) == "HTTP/" {
			text = "it speaks plain HTTP, not TLS"
		}
		e.Kind, e.Err = ServerUntrusted, &because{text, err}
		e.Hint = "is the port right? a registrar has one for plain HTTP (8890) and one for TLS (8891)"
		return true
	}
	if dial != nil && dial.handshake && !lostConnection(err) {
		e.Kind, e.Err = ServerUntrusted, &because{"the TLS handshake failed: " + tidy(err.Error()), err}
		return true
	}
	if errors.Is(err, syscall.ECONNRESET) && l != nil && l.asked && !l.answered.Load() && a.sent <= smallBody {
		// TLS 1.3: the alert got lost on the way, as resets overtake it. After
		// a long body a reset may mean anything.
		e.Kind, e.Err = ClientRefused, &because{"it reset the connection as soon as it had seen it", err}
		e.Hint = c.whyRefused(l)
		return true
	}
	return false
}

// failConnection handles connections that fail or break, and answers that are
// no HTTP.
func (c *Client) failConnection(e *Error, a attempt, l *link, dial *dialError, err error) {
	e.Kind = Unreachable
	var unknown *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &unknown):
		text := "the name cannot be looked up: " + tidy(unknown.Err)
		if unknown.IsNotFound {
			text = "there is no host of the name " + quoted(unknown.Name)
		}
		e.Err = &because{text, err}
	case dial != nil && dial.handshake:
		e.Err = &because{"it closed the connection during the TLS handshake", err}
	case lostConnection(err):
		e.Err = &because{"it closed the connection before it had answered", err}
		if l != nil && l.asked && !a.reused && !l.answered.Load() {
			e.Hint = "it asked for a client certificate first: perhaps it does not accept ours"
		}
	case errors.As(err, &number):
		e.Err = &because{number.Error(), err}
		if errors.Is(err, syscall.ECONNREFUSED) {
			e.Hint = "is the " + c.config.Name + " running, and are address and port right?"
		}
	case l != nil && l.answered.Load():
		e.Kind, e.Err = Unreadable, &because{"it does not answer in HTTP: " + tidy(err.Error()), err}
		if c.config.TLS == nil && (l.first == 0x15 || l.first == 0x16) {
			e.Err = &because{"it speaks TLS, not plain HTTP", err}
			e.Hint = "is the port right?"
		}
	default:
		e.Err = &because{tidy(err.Error()), err}
	}
}

// lostConnection says whether the other side went away without a word.
func lostConnection(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// whyRefused guesses why a server refuses our certificate, from what we know.
func (c *Client) whyRefused(l *link) string {
	whose := "its trusted_client_ca"
	if c.config.Name == AgentName {
		whose = "trusted_client_ca of the agent"
	}
	ours := c.config.TLS.Certificate()
	if ours == nil {
		return "it wants a client certificate, and none is configured"
	}
	file := printable(c.config.TLS.files.CertFile)
	if now := time.Now(); now.Before(ours.NotBefore) || now.After(ours.NotAfter) {
		return datesOf(ours, file) + ": make a new one"
	}
	hint := fmt.Sprintf("the CA that signed %s, %s, must be in %s", file, quoted(ours.Issuer.String()), whose)
	if c.pin == nil && l != nil && len(l.peers) > 0 && c.otherIssuer(l) {
		hint += "; the server's own certificate comes from another CA: copy the client certificate anew from its cv_ca directory"
	}
	return hint
}

// otherIssuer says whether the server's certificate was signed by another of
// our authorities than our own certificate.
func (c *Client) otherIssuer(l *link) bool {
	ours, theirs := c.config.TLS.Certificate(), l.peers[0]
	for _, ca := range c.config.TLS.cas {
		if theirs.CheckSignatureFrom(ca) == nil {
			return ours.CheckSignatureFrom(ca) != nil
		}
	}
	return false
}

// refuse turns a complete answer that is not a success into an [Error].
func (c *Client) refuse(a attempt, status int, reply *Reply) *Error {
	e := &Error{Server: c.server, Method: a.call.Method, Path: a.path, HTTP: reply.HTTP, Reply: reply}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = Unauthorized
		e.Hint = "it does not take our client certificate as an administrator's: it must have a common name, and come from a CA in its trusted_client_ca"
	case http.StatusNotFound:
		e.Kind = NotFound
	case http.StatusConflict:
		e.Kind = Conflict
	default:
		e.Kind = Refused
	}
	switch {
	case status != reply.HTTP:
		e.Err = fmt.Errorf("in the answer it says %d %s", status, http.StatusText(status))
	case status >= 300 && status < 400:
		e.Err = errors.New("it redirects elsewhere, which is not followed")
	}
	return e
}

package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/keylime/keylime-tenant/client"
)

// tlsSeen is what a server shows in a handshake.
type tlsSeen struct {
	// peers are its certificates, the leaf first; empty if TLS did not get so
	// far. version is that of TLS.
	peers   []*x509.Certificate
	version uint16
	// asked: it wants a client certificate; acceptable are the names of the
	// authorities that it says it accepts, often none.
	asked      bool
	acceptable []string
	// err is why the handshake did not end well. A server that insists on a
	// client certificate may end it, since none is shown.
	err error
}

// leaf is the server's certificate, nil if it showed none.
func (t tlsSeen) leaf() *x509.Certificate {
	if len(t.peers) == 0 {
		return nil
	}
	return t.peers[0]
}

// shake makes one handshake without a certificate of ours, and accepts every
// certificate: it is looked at afterwards. Nothing is sent over the connection.
func (x *examiner) shake(ctx context.Context, addr, host string, oldest, newest uint16) tlsSeen {
	limited, cancel := x.limited(ctx)
	defer cancel()
	var t tlsSeen
	var dialer net.Dialer
	conn, err := dialer.DialContext(limited, "tcp", addr)
	if err != nil {
		return tlsSeen{err: err}
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	t.err = tls.Client(conn, &tls.Config{
		MinVersion: oldest, MaxVersion: newest, ServerName: host, InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			t.peers, t.version = state.PeerCertificates, state.Version
			return nil
		},
		GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			t.asked = true
			for _, raw := range info.AcceptableCAs {
				t.acceptable = append(t.acceptable, nameOf(raw))
			}
			return &tls.Certificate{}, nil
		},
	}).HandshakeContext(limited)
	return t
}

// secure looks at the TLS of a server; false if there is none to speak of.
func (x *examiner) secure(ctx context.Context, s *seen, addr string) bool {
	s.tls = x.shake(ctx, addr, s.at.Host, tls.VersionTLS12, 0)
	h := &s.hop
	if len(s.tls.peers) > 0 {
		h.ok(CheckTLSSpoken, ClassTLS, "it speaks TLS")
		h.ok(CheckTLSVersion, ClassTLS, "%s", tls.VersionName(s.tls.version))
		return true
	}
	if old := x.shake(ctx, addr, s.at.Host, tls.VersionTLS10, tls.VersionTLS11); len(old.peers) > 0 {
		h.ok(CheckTLSSpoken, ClassTLS, "it speaks TLS")
		h.add(Finding{Check: CheckTLSVersion, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("it speaks %s at most", tls.VersionName(old.version)),
			Why: "older versions than TLS 1.2 are broken, and are not spoken here", Fix: "update the server, or what stands in front of it"})
		return false
	}
	h.add(x.noTLS(ctx, s))
	return false
}

// noTLS is the finding about a server that accepts connections, but not TLS.
func (x *examiner) noTLS(ctx context.Context, s *seen) Finding {
	f := Finding{Check: CheckTLSSpoken, Level: Problem, Class: ClassTLS, Fix: "is " + s.role.portOption + " right?"}
	if x.answersPlain(ctx, s) {
		f.Seen, f.Why = "it speaks plain HTTP, not TLS", "nothing could be trusted that it says"
		if s.role.name == client.RegistrarName {
			f.Why = "this is the registrar's port for agents (usually 8890); operators have another one, with TLS"
			f.Fix = "set registrar_port to the registrar's tls_port, usually 8891"
		}
		return f
	}
	var record tls.RecordHeaderError
	var timeout net.Error
	err := s.tls.err
	switch {
	case errors.As(err, &record):
		f.Seen, f.Why = "what it answers is not TLS", "something else than Keylime listens there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Class, f.Seen = ClassNetwork, fmt.Sprintf("it accepts the connection, but says nothing within %s", span(x.Limit))
		f.Why, f.Fix = "it is overloaded or hangs, or something else listens there", "restart it ("+unitHint(s)+"), or give it more time with --timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		f.Seen, f.Why = "it closes the connection when TLS begins", "something in between, or something else than Keylime, listens there"
	default:
		f.Seen, f.Why = "the TLS handshake fails: "+safe(strings.TrimPrefix(err.Error(), "remote error: ")), "no version or cipher in common, or something else than Keylime listens there"
	}
	return f
}

func unitHint(s *seen) string {
	if s.role.unit == "" {
		return "whatever it is"
	}
	return "systemctl restart " + s.role.unit
}

// answersPlain asks for versions over plain HTTP.
func (x *examiner) answersPlain(ctx context.Context, s *seen) bool {
	c, err := client.New(client.Config{Name: s.role.name, Host: s.at.Host, Port: s.at.Port, Timeout: x.Limit})
	if err != nil {
		return false
	}
	defer c.Close()
	reply, _ := ask(ctx, c)
	return reply != nil
}

package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"
)

// shutdownLimit is how long a closing listener waits for calls under way.
const shutdownLimit = 2 * time.Second

// ServerTLS is the TLS of a registrar or verifier: a client certificate is
// asked for, not required, and one of a CA that is not trusted ends the
// connection (PROTOCOL.md 1.2).
func ServerTLS(cert tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    clientCAs,
	}
}

// Listener is a running HTTP server on one address.
type Listener struct {
	server *http.Server
	addr   *net.TCPAddr
	done   chan struct{}
}

// Listen starts to serve handler on host and port; port 0 takes a free one.
// tlsConfig nil means plain HTTP. An address in use is an error that wraps the
// system's.
func Listen(host string, port int, handler http.Handler, tlsConfig *tls.Config) (*Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", net.JoinHostPort(host, strconv.Itoa(port)), err)
	}
	return Serve(l, handler, tlsConfig), nil
}

// Serve starts to serve handler on a TCP listener, which it takes over.
// tlsConfig nil means plain HTTP.
func Serve(l net.Listener, handler http.Handler, tlsConfig *tls.Config) *Listener {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // as the real servers: no HTTP/2
	s := &Listener{
		server: &http.Server{
			Handler: handler, TLSConfig: tlsConfig, Protocols: &protocols,
			ReadHeaderTimeout: 10 * time.Second,
			// Callers that refuse our certificate are their own to complain.
			ErrorLog: log.New(io.Discard, "", 0),
		},
		done: make(chan struct{}),
	}
	s.addr, _ = l.Addr().(*net.TCPAddr)
	go func() {
		defer close(s.done)
		// Both return only when the listener is closed, here or by the system.
		if tlsConfig == nil {
			_ = s.server.Serve(l)
		} else {
			_ = s.server.ServeTLS(l, "", "")
		}
	}()
	return s
}

// Port is the TCP port listened on.
func (l *Listener) Port() int { return l.addr.Port }

// Addr is the address as host:port.
func (l *Listener) Addr() string { return l.addr.String() }

// Close stops listening, waits a moment for calls under way, and returns when
// no goroutine of the listener is left.
func (l *Listener) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	err := l.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = l.server.Close()
	}
	<-l.done
	return err
}

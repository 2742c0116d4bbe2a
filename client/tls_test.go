package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client/pkitest"
)

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func future(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
}

// TestTrust holds who trusts whom: each case spoils one thing of a connection
// that is good otherwise.
func TestTrust(t *testing.T) {
	t.Parallel()
	ca, other, namesake := newAuthority(t, "Keylime CA"), newAuthority(t, "Another CA"), newAuthority(t, "Keylime CA")
	server, client := serverOf(t, ca), clientOf(t, ca)
	usual := load(t, files(t, ca, client))
	with := func(change func(*TLSFiles)) *TLSMaterial {
		f := files(t, ca, client)
		change(&f)
		return load(t, f)
	}
	named := issue(t, ca, "s", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	hostname := func(f *TLSFiles) { f.CheckHostname = true }
	for _, c := range []struct {
		name     string
		server   *pair
		clientCA *pair
		material *TLSMaterial
		pin      *x509.Certificate
		kind     Kind // Unknown: the call is good
		text     string
		hint     string
		python   string
	}{
		{name: "good", server: server, material: usual},
		{name: "other CA", server: serverOf(t, other), material: usual, kind: ServerUntrusted,
			text: `signed by "CN=Another CA"`, hint: "trusted_server_ca", python: "SSLError: CERTIFICATE_VERIFY_FAILED"},
		{name: "other CA of the same name", server: serverOf(t, namesake), material: usual, kind: ServerUntrusted,
			text: "another CA of the name", hint: "made anew", python: "SSLError: CERTIFICATE_VERIFY_FAILED"},
		{name: "server expired", server: issue(t, ca, "s", x509.ExtKeyUsageServerAuth, expired), material: usual, kind: ServerUntrusted, text: "has expired on"},
		{name: "server not yet valid", server: issue(t, ca, "s", x509.ExtKeyUsageServerAuth, future), material: usual, kind: ServerUntrusted, text: "is not valid before"},
		{name: "client certificate as server's", server: issue(t, ca, "s", x509.ExtKeyUsageClientAuth, nil), material: usual, kind: ServerUntrusted, text: "usage"},
		{name: "host name wrong", server: server, material: with(hostname), kind: ServerUntrusted, text: `not made out for "127.0.0.1"`},
		{name: "host name right", server: named, material: with(hostname)},
		{name: "skip", server: serverOf(t, other), material: with(func(f *TLSFiles) { f.InsecureSkipServer, f.CAFiles = true, nil })},

		{name: "no client certificate", server: server, material: with(func(f *TLSFiles) { f.Anonymous = true }), kind: ClientRefused, hint: "none is configured"},
		{name: "client CA unknown", server: server, clientCA: other, material: usual, kind: ClientRefused,
			text: "unknown certificate authority", hint: "trusted_client_ca", python: "SSLError: TLSV1_ALERT_UNKNOWN_CA"},
		{name: "client expired", server: server, material: load(t, files(t, ca, issue(t, ca, "c", x509.ExtKeyUsageClientAuth, expired))), kind: ClientRefused,
			hint: "has expired on", python: "SSLError: SSLV3_ALERT_CERTIFICATE_EXPIRED"},

		{name: "pin", server: serverOf(t, other), material: usual, kind: ServerUntrusted, pin: server.Cert, text: "another certificate", python: "SSLError: CERTIFICATE_VERIFY_FAILED"},
		{name: "pin wins over skip", server: serverOf(t, other), material: with(func(f *TLSFiles) { f.InsecureSkipServer = true }),
			kind: ServerUntrusted, pin: server.Cert, text: "another certificate"},
		{name: "pin wins over CA", server: serverOf(t, ca), material: usual, kind: ServerUntrusted, pin: server.Cert, text: "another certificate"},
		{name: "pinned and good", server: server, material: usual, pin: server.Cert},
		{name: "pinned and good without names", server: server, material: with(hostname), pin: server.Cert},
	} {
		if c.clientCA == nil {
			c.clientCA = ca
		}
		for version, label := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
			t.Run(c.name+" "+label, func(t *testing.T) {
				t.Parallel()
				s := serveTLS(t, c.server, c.clientCA, func(config *tls.Config) { config.MinVersion, config.MaxVersion = version, version }, good(`{}`))
				config := Config{TLS: c.material}
				if c.pin != nil {
					config.Name, config.PinnedPEM = AgentName, pkitest.CertPEM(c.pin)
				}
				_, err := dialTo(t, s.Listener.Addr(), config).Do(context.Background(), Call{Method: http.MethodGet, Path: "/agents/"})
				wantError(t, err, c.kind, c.text, c.hint)
				if e := (*Error)(nil); errors.As(err, &e) && c.python != "" && e.PythonName() != c.python {
					t.Errorf("Python's name %q, want %q", e.PythonName(), c.python)
				}
			})
		}
	}
}

// wantError holds an error against a kind and parts of text and hint; Unknown
// means no error.
func wantError(t *testing.T, err error, kind Kind, text, hint string) {
	t.Helper()
	if kind == Unknown {
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("no error, want kind %v", kind)
	}
	if got := KindOf(err); got != kind {
		t.Errorf("kind %v, want %v: %v", got, kind, err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("text %q lacks %q", err, text)
	}
	if e := (*Error)(nil); !errors.As(err, &e) {
		t.Errorf("%T is no *Error", err)
	} else if !strings.Contains(e.Hint, hint) {
		t.Errorf("hint %q lacks %q", e.Hint, hint)
	}
}

// TestPinWithoutSelfSignature: the certificate of a real agent is changed after
// it was signed (PROTOCOL.md 1.6), and the pin takes it nevertheless; but not
// when it has expired.
func TestPinWithoutSelfSignature(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	for _, c := range []struct {
		name  string
		dates func(*x509.Certificate)
		kind  Kind
		text  string
	}{
		{"valid", func(*x509.Certificate) {}, Unknown, ""},
		{"expired", expired, ServerUntrusted, "has expired on"},
		{"not yet valid", future, ServerUntrusted, "not valid before"},
	} {
		key, wrong := pkitest.NewKey(t), pkitest.NewKey(t)
		template := &x509.Certificate{SerialNumber: big.NewInt(0), Subject: pkix.Name{CommonName: "agent"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		c.dates(template)
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, wrong)
		if err != nil {
			// crypto/x509 checks what it signs; so the signature is broken by hand.
			der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
			if err != nil {
				t.Fatal(err)
			}
			der[len(der)-1] ^= 1
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
			t.Fatal("the self-signature is good, so this tests nothing")
		}
		s := serveTLS(t, &pair{Cert: cert, Key: key}, ca, nil, good(`{}`))
		pin := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		agent := dialTo(t, s.Listener.Addr(), Config{Name: AgentName, TLS: load(t, files(t, ca, clientOf(t, ca))), PinnedPEM: pin})
		_, err = agent.Do(context.Background(), Call{Method: http.MethodGet, Path: "/keys/pubkey"})
		wantError(t, err, c.kind, c.text, "")
	}
}

// TestRefusedWhileWriting: the server's alert is found even when its refusal
// makes our large request fail first.
func TestRefusedWhileWriting(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "CA"), newAuthority(t, "Other")
	s := serveTLS(t, serverOf(t, ca), other, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, good(`{}`))
	for range 5 {
		c := dialTo(t, s.Listener.Addr(), Config{TLS: load(t, files(t, ca, clientOf(t, ca)))})
		_, err := c.Do(context.Background(), Call{Method: http.MethodPost, Path: "/agents/x", Body: make([]byte, 8<<20)})
		wantError(t, err, ClientRefused, "", "trusted_client_ca")
	}
}

// TestNoTLS holds the servers with which no TLS comes about.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	material := load(t, files(t, ca, clientOf(t, ca)))
	plain := servePlain(t, good(`{}`))
	old := serveTLS(t, serverOf(t, ca), ca, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, good(`{}`))
	read := func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }
	for _, c := range []struct {
		name       string
		addr       net.Addr
		kind       Kind
		text, hint string
	}{
		{"plain HTTP", plain.Listener.Addr(), ServerUntrusted, "plain HTTP", "port"},
		{"something else", serveRaw(t, func(conn net.Conn) { _, _ = conn.Write([]byte("SSH-2.0-x\r\n")); read(conn) }), ServerUntrusted, "does not speak TLS", "port"},
		{"old TLS", old.Listener.Addr(), ServerUntrusted, "protocol version", "TLS 1.2"},
		{"closed in the handshake", serveRaw(t, read), Unreachable, "during the TLS handshake", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dialTo(t, c.addr, Config{TLS: material}).Do(context.Background(), Call{Method: http.MethodGet, Path: "/agents/"})
			wantError(t, err, c.kind, c.text, c.hint)
		})
	}
}

// TestResetAfterCertificate: with TLS 1.3 a reset right after our certificate
// is taken for a refusal, a silent end is not.
func TestResetAfterCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	server := serverOf(t, ca)
	serve := func(end func(*net.TCPConn)) net.Addr {
		return serveRaw(t, func(conn net.Conn) {
			s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{server.TLS()}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true})
			if s.Handshake() == nil {
				_, _ = s.Read(make([]byte, 1))
			}
			end(conn.(*net.TCPConn))
		})
	}
	material := load(t, files(t, ca, clientOf(t, ca)))
	reset := dialTo(t, serve(func(c *net.TCPConn) { _ = c.SetLinger(0) }), Config{TLS: material})
	_, err := reset.Do(context.Background(), Call{Method: http.MethodPut, Path: "/agents/x/stop"})
	wantError(t, err, ClientRefused, "reset", "trusted_client_ca")
	if e := (*Error)(nil); errors.As(err, &e) && e.PythonName() != "SSLError: Connection reset by peer" {
		t.Errorf("Python's name %q", e.PythonName())
	}
	_, err = reset.Do(context.Background(), Call{Method: http.MethodPost, Path: "/agents/x", Body: make([]byte, 1<<20)})
	wantError(t, err, Unreachable, "before it had answered", "client certificate")
	silent := dialTo(t, serve(func(c *net.TCPConn) { _ = c.CloseWrite() }), Config{TLS: material})
	_, err = silent.Do(context.Background(), Call{Method: http.MethodPut, Path: "/agents/x/stop"})
	wantError(t, err, Unreachable, "before it had answered", "client certificate")
}

// TestOneHandshake: calls share a connection, and a new connection is checked
// anew, whatever tickets the server hands out.
func TestOneHandshake(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "CA")
	handshakes := make(chan bool, 10)
	s := serveTLS(t, serverOf(t, ca), ca, func(c *tls.Config) {
		c.VerifyConnection = func(state tls.ConnectionState) error { handshakes <- state.DidResume; return nil }
	}, good(`{}`))
	c := dialTo(t, s.Listener.Addr(), Config{TLS: load(t, files(t, ca, clientOf(t, ca)))})
	for range 3 {
		if _, err := c.Do(context.Background(), Call{Method: http.MethodGet, Path: "/agents/"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(handshakes); n != 1 {
		t.Errorf("%d handshakes for three calls", n)
	}
	s.CloseClientConnections()
	for range 2 { // the first may still meet the old connection
		_, _ = c.Do(context.Background(), Call{Method: http.MethodGet, Path: "/agents/"})
	}
	for len(handshakes) > 0 {
		if <-handshakes {
			t.Error("a session was resumed")
		}
	}
}

package client

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/keylime/keylime-tenant/client/pkitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a certificate and its key.
type pair = pkitest.Pair

func newAuthority(t testing.TB, name string) *pair { return pkitest.NewAuthority(t, name, nil) }

// issue makes a certificate for a use, and for no address; change may alter its
// template, nil does not.
func issue(t testing.TB, ca *pair, name string, usage x509.ExtKeyUsage, change func(*x509.Certificate)) *pair {
	t.Helper()
	return ca.Issue(t, name, func(c *x509.Certificate) {
		c.ExtKeyUsage, c.IPAddresses = []x509.ExtKeyUsage{usage}, nil
		if change != nil {
			change(c)
		}
	})
}

func serverOf(t testing.TB, ca *pair) *pair {
	t.Helper()
	return issue(t, ca, "server", x509.ExtKeyUsageServerAuth, nil)
}

func clientOf(t testing.TB, ca *pair) *pair {
	t.Helper()
	return issue(t, ca, "client", x509.ExtKeyUsageClientAuth, nil)
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files writes a CA and a pair, and names them.
func files(t testing.TB, ca *pair, p *pair) TLSFiles {
	t.Helper()
	dir := t.TempDir()
	return TLSFiles{
		CAFiles:  []string{write(t, dir, "cacert.crt", pkitest.CertPEM(ca.Cert))},
		CertFile: write(t, dir, "client-cert.crt", pkitest.CertPEM(p.Cert)),
		KeyFile:  write(t, dir, "client-private.pem", p.KeyPEM(t)),
	}
}

func load(t testing.TB, files TLSFiles) *TLSMaterial {
	t.Helper()
	m, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// serveTLS starts a server that requires client certificates of clientCA.
func serveTLS(t testing.TB, cert *pair, clientCA *pair, change func(*tls.Config), handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(clientCA.Cert)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// servePlain starts a server without TLS.
func servePlain(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// serveRaw accepts connections and hands them over, one after the other.
func serveRaw(t testing.TB, handle func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr()
}

// dialTo makes a client of a test server.
func dialTo(t testing.TB, addr net.Addr, config Config) *Client {
	t.Helper()
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if config.Host == "" {
		config.Host = host
	}
	if config.Name == "" {
		config.Name = VerifierName
	}
	if config.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// good answers with an envelope around results.
func good(results string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"code": 200, "status": "Success", "results": `+results+`}`)
	}
}

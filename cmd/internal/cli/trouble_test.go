package cli_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keylime/keylime-tenant/tenant/lab/pki"
)

func asExit(err error, exit **exec.ExitError) bool { return errors.As(err, exit) }

// cmdServer is `server KIND NAME`: start a server that is trouble, with the
// certificate of the lab, and put its port into the variable NAME. Kinds:
//
//	hang     takes requests and never answers
//	html     answers with a page, as a proxy or another service would
//	half     promises more bytes than it sends
//	garbage  answers with JSON that is no envelope
//	plain    speaks HTTP without TLS
//	unwell   answers 500 with an empty body
//	silent   is closed: nobody listens on the port
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: server KIND NAME")
	}
	kind, variable := args[0], args[1]
	stop := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { trouble(kind, w, r, stop) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if kind == "plain" {
		server.Start()
	} else {
		dir := filepath.Join(ts.Getenv("KEYLIME_DIR"), "cv_ca")
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server-cert.crt"), filepath.Join(dir, "server-private.pem"))
		ts.Check(err)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
		server.StartTLS()
	}
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv(variable, port)
	if kind == "silent" {
		server.Close()
		return
	}
	ts.Defer(func() {
		close(stop)
		server.CloseClientConnections()
		server.Close()
	})
}

func trouble(kind string, w http.ResponseWriter, r *http.Request, stop <-chan struct{}) {
	if r.URL.Path == "/version" && kind != "hang" {
		io.WriteString(w, `{"code": 200, "status": "Success", "results": {"current_version": "2.6", "supported_versions": ["2.0", "2.6"]}}`)
		return
	}
	switch kind {
	case "hang":
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	case "html":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html><body><h1>It works!</h1>\x1b[2J</body></html>")
	case "half":
		body := `{"code": 200, "status": "Success", "results": {"uuids": ["a`
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+100))
		io.WriteString(w, body)
	case "garbage":
		io.WriteString(w, `[1, 2, 3]`)
	case "unwell":
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// cmdFiles is `files NAME DIR`: serve a directory without TLS, its port in the
// variable NAME. Below /moved/ it redirects, and /slow never answers.
func cmdFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: files NAME DIR")
	}
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(args[1])))
	mux.HandleFunc("/moved/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/"+filepath.Base(r.URL.Path), http.StatusFound)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { trouble("hang", w, r, stop) })
	server := httptest.NewServer(mux)
	ts.Defer(func() {
		close(stop)
		server.CloseClientConnections()
		server.Close()
	})
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// cmdOtherCA is `otherca DIR`: a CA and a client certificate that have nothing
// to do with the lab.
func cmdOtherCA(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: otherca DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	authority, err := pki.NewCA(time.Now())
	ts.Check(err)
	client, err := authority.Client("other", time.Now())
	ts.Check(err)
	for name, content := range map[string][]byte{
		"cacert.crt": authority.CertPEM, "client-cert.crt": client.CertPEM, "client-private.pem": client.KeyPEM,
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
}

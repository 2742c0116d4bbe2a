package serve_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func echo(r *serve.Request) serve.Answer {
	return serve.OK(map[string]string{"id": r.Params["id"], "body": string(r.Body)})
}

func api(indent bool) *serve.API {
	return &serve.API{Indent: indent, MaxBody: 100, Routes: []serve.Route{
		{Method: "GET", Path: "/things/{id}", Plain: true, Handle: echo},
		{Method: "POST", Path: "/things/{id}", Plain: true, Handle: echo},
		{Method: "GET", Path: "/things/{id}/parts", Handle: echo},
		{Method: "DELETE", Path: "/things/{id}", Rights: serve.Admin, Action: "delete_thing", Plain: true, Handle: func(*serve.Request) serve.Answer { return serve.Bare(204) }},
		{Method: "GET", Path: "/failing", Plain: true, Handle: func(*serve.Request) serve.Answer { return serve.Failf(409, "thing %s is there", "x") }},
		{Method: "GET", Path: "/worse", Plain: true, Handle: func(*serve.Request) serve.Answer { return serve.Fail(500, "") }},
		{Method: "GET", Path: "/broken", Plain: true, Handle: func(*serve.Request) serve.Answer { return serve.OK(func() {}) }},
	}}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	admin := &tls.ConnectionState{}
	cert := &x509.Certificate{}
	cert.Subject.CommonName = "client"
	admin.PeerCertificates, admin.VerifiedChains = []*x509.Certificate{cert}, [][]*x509.Certificate{{cert}}
	nameless := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}, VerifiedChains: [][]*x509.Certificate{{{}}}}
	const denied = `{"errors": [{"status": "403", "title": "Forbidden", "detail": "Action delete_thing requires admin authentication (mTLS certificate)"}]}`
	for _, c := range []struct {
		method, path, body string
		tls                *tls.ConnectionState
		code               int
		want               string
	}{
		{"GET", "/v2.6/things/a%2Fb", "", nil, 200, `{"code": 200, "status": "Success", "results": {"body": "", "id": "a/b"}}`},
		{"GET", "/v2/things/a/", "", nil, 200, `{"code": 200, "status": "Success", "results": {"body": "", "id": "a"}}`},
		{"POST", "/v2.0/things/é", "<&>😀", nil, 200, `{"code": 200, "status": "Success", "results": {"body": "<&>\ud83d\ude00", "id": "\u00e9"}}`},
		{"GET", "/v2.7/things/a", "", nil, 404, ""},
		{"GET", "/v3.0/things/a", "", nil, 404, ""},
		{"GET", "/things/a", "", nil, 404, ""},
		{"GET", "/v2.6/things/", "", nil, 404, ""},
		{"PUT", "/v2.6/things/a", "", nil, 405, ""},
		{"BREW", "/v2.6/things/a", "", nil, 501, ""},
		{"GET", "/v2.6/things/a/parts", "", nil, 400, ""},
		{"DELETE", "/v2.6/things/a", "", nil, 403, denied},
		{"DELETE", "/v2.6/things/a", "", nameless, 403, denied},
		{"DELETE", "/v2.6/things/a", "", admin, 204, ""},
		{"POST", "/v2.6/things/a", strings.Repeat("x", 101), nil, 413, ""},
		{"GET", "/v2.6/failing", "", nil, 409, `{"code": 409, "status": "thing x is there", "results": {}}`},
		{"GET", "/v2.6/worse", "", nil, 500, `{"code": 500, "status": "Internal Server Error", "results": {}}`},
		{"GET", "/v2.6/broken", "", nil, 500, ""},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.TLS = c.tls
		rec := httptest.NewRecorder()
		api(false).Handler(false).ServeHTTP(rec, r)
		if rec.Code != c.code || rec.Body.String() != c.want {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, rec.Code, rec.Body, c.code, c.want)
		}
	}
	rec := httptest.NewRecorder()
	api(true).Handler(true).ServeHTTP(rec, httptest.NewRequest("GET", "/v2.6/failing", nil))
	if want := "{\n    \"code\": 409,\n    \"status\": \"thing x is there\",\n    \"results\": {}\n}"; rec.Body.String() != want {
		t.Errorf("indented: %s", rec.Body)
	}
	r := httptest.NewRequest("DELETE", "/v2.6/things/a", nil)
	r.TLS = admin
	r.Header.Set("Authorization", "Bearer x")
	rec = httptest.NewRecorder()
	api(false).Handler(true).ServeHTTP(rec, r)
	if rec.Code != 401 || !strings.Contains(rec.Body.String(), "Invalid authentication token") {
		t.Errorf("token beside a certificate: %d %s", rec.Code, rec.Body)
	}
}

func TestListenerAsksForCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, err := pki.NewCA(now)
	check(t, err)
	stranger, err := pki.NewCA(now)
	check(t, err)
	server, err := ca.Server("server", []string{"127.0.0.1"}, now)
	check(t, err)
	cert, err := server.TLS()
	check(t, err)
	l, err := serve.Listen("127.0.0.1", 0, api(false).Handler(true), serve.ServerTLS(cert, ca.Pool()))
	check(t, err)
	if _, err := serve.Listen("127.0.0.1", l.Port(), nil, nil); err == nil || !errors.As(err, new(*net.OpError)) {
		t.Errorf("the port in use: %v", err)
	}
	get := func(pairs ...pki.Pair) (int, error) {
		config := &tls.Config{RootCAs: ca.Pool()}
		for _, p := range pairs {
			c, err := p.TLS()
			check(t, err)
			config.Certificates = append(config.Certificates, c)
		}
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		reply, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr() + "/v2.6/failing")
		if err != nil {
			return 0, err
		}
		defer reply.Body.Close()
		_, _ = io.Copy(io.Discard, reply.Body)
		if reply.ProtoMajor != 1 {
			t.Errorf("it speaks %s", reply.Proto)
		}
		return reply.StatusCode, nil
	}
	good, err := ca.Client("client", now)
	check(t, err)
	bad, err := stranger.Client("client", now)
	check(t, err)
	for name, c := range map[string]struct {
		pairs []pki.Pair
		want  int
	}{"none": {nil, 409}, "good": {[]pki.Pair{good}, 409}} {
		if code, err := get(c.pairs...); code != c.want || err != nil {
			t.Errorf("%s: %d, %v", name, code, err)
		}
	}
	// Go leaves out a certificate that the server would not accept, unless told.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c, err := bad.TLS()
		return &c, err
	}}}
	defer transport.CloseIdleConnections()
	if reply, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr() + "/v2.6/failing"); err == nil {
		reply.Body.Close()
		t.Error("a certificate of another CA was accepted")
	}
	check(t, l.Close())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	v := map[string]int{"old": 1}
	check(t, serve.LoadState(path, &v))
	check(t, serve.LoadState("", &v))
	check(t, serve.SaveState("", v))
	if v["old"] != 1 {
		t.Error("a file that does not exist changed the state")
	}
	check(t, serve.SaveState(path, v))
	var again map[string]int
	check(t, serve.LoadState(path, &again))
	if again["old"] != 1 {
		t.Errorf("read back %v", again)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	check(t, os.WriteFile(path, []byte("{"), 0o600))
	if serve.LoadState(path, &again) == nil {
		t.Error("half a file was read")
	}
	if serve.SaveState(filepath.Join(path, "below", "a", "file"), v) == nil || serve.SaveState(path, func() {}) == nil {
		t.Error("saving succeeded where it cannot")
	}
}

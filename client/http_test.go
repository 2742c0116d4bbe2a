package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func get(path string, into any) Call { return Call{Method: http.MethodGet, Path: path, Into: into} }

// answer answers everything with a status and a body.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestAnswers holds what becomes of each kind of answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	type names struct {
		UUIDs []string `json:"uuids"`
	}
	const admin = `{"errors": [{"status": "403", "title": "Forbidden", "detail": "Action list_agents requires admin authentication (mTLS certificate)"}]}`
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		into   any
		kind   Kind
		text   string
		status string // of the reply
		http   int
	}{
		{"good", good(`{"uuids": ["a"]}`), &names{}, Unknown, "", "Success", 200},
		{"created", answer(201, `{"code": 201, "status": "Created", "results": {}}`), nil, Unknown, "", "Created", 201},
		{"accepted", answer(202, `{"code": 202, "status": "Accepted", "results": {}}`), nil, Unknown, "", "Accepted", 202},
		{"no content", answer(204, ""), nil, Unknown, "", "", 204},
		{"no content, but results wanted", answer(204, ""), &names{}, Unreadable, "empty", "", 204},
		{"null results, none wanted", good(`null`), nil, Unknown, "", "Success", 200},
		{"null results", good(`null`), &names{}, Unreadable, "no results", "Success", 200},
		{"results missing", answer(200, `{"code": 200, "status": "Success"}`), &names{}, Unreadable, "no results", "Success", 200},
		{"results of another type", good(`["a"]`), &names{}, Unreadable, "a JSON array", "Success", 200},
		{"field of another type", good(`{"uuids": 5}`), &names{}, Unreadable, `"uuids" is a number`, "Success", 200},

		{"401", answer(401, `{"errors": [{"status": "401", "title": "Unauthorized", "detail": "Invalid authentication token"}]}`), nil, Unauthorized, "Invalid authentication token", "Invalid authentication token", 401},
		{"403", answer(403, admin), nil, Unauthorized, "requires admin authentication", "Action list_agents requires admin authentication (mTLS certificate)", 403},
		{"403 with a title only", answer(403, `{"errors": [{"title": "Forbidden"}]}`), nil, Unauthorized, "403 Forbidden", "Forbidden", 403},
		{"404", answer(404, `{"code": 404, "status": "agent id not found", "results": {}}`), nil, NotFound, `"agent id not found"`, "agent id not found", 404},
		{"404 without body", answer(404, ""), nil, NotFound, "404 Not Found", "", 404},
		{"409", answer(409, `{"code": 409, "status": "Agent exists", "results": {}}`), nil, Conflict, "Agent exists", "Agent exists", 409},
		{"400", answer(400, `{"code": 400, "status": "Exception error: 'x'", "results": {}}`), nil, Refused, "Exception error", "Exception error: 'x'", 400},
		{"500 without body", answer(500, ""), nil, Refused, "500 Internal Server Error", "", 500},
		{"503 in HTML", answer(503, "<html><body>no"), nil, Refused, "503 Service Unavailable", "", 503},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, nil, Refused, "redirects", "", 307},
		{"no in the body", answer(200, `{"code": 409, "status": "exists", "results": {}}`), nil, Conflict, "409 Conflict", "exists", 200},

		{"HTML", answer(200, "<html>\x1b[31m"), nil, Unreadable, `not JSON, it begins with "<html>\x1b[31m"`, "", 200},
		{"nothing", answer(200, ""), nil, Unreadable, "no content", "", 200},
		{"a list", answer(200, "[1]"), nil, Unreadable, "a JSON array", "", 200},
		{"a number", answer(200, "1"), nil, Unreadable, "a JSON number", "", 200},
		{"no envelope", answer(200, `{"x": 1}`), nil, Unreadable, `no "code"`, "", 200},
		{"code as text", answer(200, `{"code": "200", "status": "x", "results": {}}`), nil, Unreadable, `"code" is a string`, "x", 200},
		{"status as number", answer(200, `{"code": 200, "status": 5, "results": {}}`), nil, Unreadable, `"status" is a number`, "", 200},
		{"more behind", answer(200, `{"code": 200, "status": "x", "results": {}} {}`), nil, Unreadable, "not JSON", "", 200},
		{"half", answer(200, `{"code": 200, "stat`), nil, Unreadable, "not JSON", "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := servePlain(t, c.handle)
			reply, err := dialTo(t, s.Listener.Addr(), Config{}).Do(context.Background(), get("/agents/", c.into))
			wantError(t, err, c.kind, c.text, "")
			if reply == nil {
				t.Fatal("no reply")
			}
			if reply.HTTP != c.http || reply.Status != c.status {
				t.Errorf("reply %d %q, want %d %q", reply.HTTP, reply.Status, c.http, c.status)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n\r") {
				t.Errorf("the error has control characters: %q", err)
			}
			if e := (*Error)(nil); errors.As(err, &e) && e.Reply != reply {
				t.Error("the error has another reply")
			}
		})
	}
}

// TestBrokenAnswers holds servers that do not get an answer across.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	huge := func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<20))
		for range MaxBody>>20 + 1 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	raw := func(text string) net.Addr {
		return serveRaw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
		})
	}
	for _, c := range []struct {
		name string
		addr net.Addr
		kind Kind
		text string
	}{
		{"half a body", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\": 200"), Unreadable, "cut short after 12 bytes"},
		{"half a chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}"), Unreadable, "cut short"},
		{"no HTTP", raw("SSH-2.0-OpenSSH\r\n\x1b[2J\r\n"), Unreadable, "not answer in HTTP"},
		{"TLS", raw("\x15\x03\x01\x00\x02\x02\x46"), Unreadable, "speaks TLS"},
		{"silence", raw(""), Unreachable, "before it had answered"},
		{"huge", servePlain(t, huge).Listener.Addr(), Unreadable, "longer than 64 MiB"},
		{"huge header", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<19) + "\r\n\r\n"), Unreadable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dialTo(t, c.addr, Config{}).Do(context.Background(), Call{Method: http.MethodPut, Path: "/x"})
			wantError(t, err, c.kind, c.text, "")
			if strings.ContainsAny(err.Error(), "\x1b\n\r") {
				t.Errorf("the error has control characters: %q", err)
			}
		})
	}
}

// TestUnreachable holds addresses at which nobody is.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr()
	_ = l.Close()
	c := dialTo(t, addr, Config{Name: RegistrarName})
	_, err = c.Do(context.Background(), get("/agents/", nil))
	wantError(t, err, Unreachable, "registrar "+addr.String()+" cannot be reached: connection refused", "registrar running")
	if e := (*Error)(nil); errors.As(err, &e) && e.PythonName() != "ConnectionError: Connection refused" {
		t.Errorf("Python's name %q", e.PythonName())
	}
	_, err = dialTo(t, addr, Config{Host: "no-such-host.invalid"}).Do(context.Background(), get("/agents/", nil))
	wantError(t, err, Unreachable, "no-such-host.invalid", "")
}

// hanging answers nothing until the caller has gone, or the test is over.
func hanging(t *testing.T) (handle http.HandlerFunc, started <-chan struct{}) {
	over, began := make(chan struct{}), make(chan struct{}, 10)
	t.Cleanup(func() { close(over) })
	return func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}, began
}

// TestGivingUp holds the ends of time and patience.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	t.Run("time limit", func(t *testing.T) {
		t.Parallel()
		handle, _ := hanging(t)
		s := servePlain(t, handle)
		c := dialTo(t, s.Listener.Addr(), Config{Timeout: 30 * time.Millisecond})
		_, err := c.Do(context.Background(), get("/agents/", nil))
		wantError(t, err, TimedOut, "within 30ms", "time limit")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("the error is not context.DeadlineExceeded")
		}
		if e := (*Error)(nil); errors.As(err, &e) && e.PythonName() != "ReadTimeout" {
			t.Errorf("Python's name %q", e.PythonName())
		}
	})
	t.Run("time limit while the body dribbles", func(t *testing.T) {
		t.Parallel()
		s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"code": 200`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		_, err := dialTo(t, s.Listener.Addr(), Config{Timeout: 30 * time.Millisecond}).Do(context.Background(), get("/agents/", nil))
		wantError(t, err, TimedOut, "within 30ms", "")
	})
	t.Run("time limit in the handshake", func(t *testing.T) {
		t.Parallel()
		ca := newAuthority(t, "CA")
		addr := serveRaw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		c := dialTo(t, addr, Config{TLS: load(t, files(t, ca, clientOf(t, ca))), Timeout: 30 * time.Millisecond})
		_, err := c.Do(context.Background(), get("/agents/", nil))
		wantError(t, err, TimedOut, "no connection within", "")
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		handle, started := hanging(t)
		s := servePlain(t, handle)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		_, err := dialTo(t, s.Listener.Addr(), Config{}).Do(ctx, get("/agents/", nil))
		wantError(t, err, Canceled, "canceled", "")
		if !errors.Is(err, context.Canceled) {
			t.Error("the error is not context.Canceled")
		}
	})
	t.Run("deadline of the caller", func(t *testing.T) {
		t.Parallel()
		handle, _ := hanging(t)
		s := servePlain(t, handle)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		_, err := dialTo(t, s.Listener.Addr(), Config{}).Do(ctx, get("/agents/", nil))
		wantError(t, err, TimedOut, "the time is up", "")
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		handle, started := hanging(t)
		s := servePlain(t, handle)
		c := dialTo(t, s.Listener.Addr(), Config{})
		go func() { <-started; c.Close() }()
		_, err := c.Do(context.Background(), get("/agents/", nil))
		wantError(t, err, Canceled, "the client is closed", "")
		_, err = c.Do(context.Background(), get("/agents/", nil))
		wantError(t, err, Canceled, "the client is closed", "")
	})
	t.Run("the next call is fine", func(t *testing.T) {
		t.Parallel()
		handle, started := hanging(t)
		var once sync.Once
		s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
			first := false
			once.Do(func() { first = true })
			if first {
				handle(w, r)
				return
			}
			good(`{}`)(w, r)
		})
		c := dialTo(t, s.Listener.Addr(), Config{})
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		_, err := c.Do(ctx, get("/agents/", nil))
		wantError(t, err, Canceled, "", "")
		if _, err = c.Do(context.Background(), get("/agents/", nil)); err != nil {
			t.Errorf("the second call: %v", err)
		}
	})
}

// TestRequest holds what is sent.
func TestRequest(t *testing.T) {
	t.Parallel()
	type seen struct{ line, contentType, body, length string }
	requests := make(chan seen, 1)
	s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method + " " + r.RequestURI, r.Header.Get("Content-Type"), string(body), r.Header.Get("Content-Length")}
		good(`{}`)(w, r)
	})
	c := dialTo(t, s.Listener.Addr(), Config{})
	for _, test := range []struct {
		call Call
		want seen
	}{
		{Call{Method: "GET", Path: "/agents/", Query: map[string][]string{"verifier": {""}}}, seen{line: "GET /v2.6/agents/?verifier="}},
		{Call{Method: "GET", Path: "/allowlists/a%2Fb%3F"}, seen{line: "GET /v2.6/allowlists/a%2Fb%3F"}},
		{Call{Method: "GET", Path: "/version", NoVersion: true}, seen{line: "GET /version"}},
		{Call{Method: "PUT", Path: "/agents/x/stop"}, seen{line: "PUT /v2.6/agents/x/stop", length: "0"}},
		{Call{Method: "POST", Path: "/x", Body: map[string]string{"a": "<&>"}}, seen{"POST /v2.6/x", "application/json", `{"a":"<&>"}`, "11"}},
		{Call{Method: "POST", Path: "/x", Body: []byte("raw"), ContentType: "text/plain"}, seen{"POST /v2.6/x", "text/plain", "raw", "3"}},
		{Call{Method: "POST", Path: "/x", Body: []byte{}}, seen{"POST /v2.6/x", "application/json", "", "0"}},
	} {
		if _, err := c.Do(context.Background(), test.call); err != nil {
			t.Fatal(err)
		}
		if got := <-requests; got != test.want {
			t.Errorf("sent %+v, want %+v", got, test.want)
		}
	}
	if _, err := c.Do(context.Background(), Call{Method: "POST", Path: "/x", Body: make(chan int)}); err == nil {
		t.Error("a channel became JSON")
	}
	if _, err := c.Do(context.Background(), Call{Method: "GET", Path: "/%zz"}); err == nil {
		t.Error("a damaged path was sent")
	}
}

// TestResultsKeepTheirOrder: results are as received, blanks and all.
func TestResultsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := servePlain(t, good(`{"b": 1,  "a": 2.50}`))
	var raw json.RawMessage
	reply, err := dialTo(t, s.Listener.Addr(), Config{}).Do(context.Background(), get("/agents/x", &raw))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"b": 1,  "a": 2.50}`; string(raw) != want || string(reply.Results) != want {
		t.Errorf("results %s and %s, want %s", raw, reply.Results, want)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", reply, reply, reply, reply); strings.Contains(text, "2.50") {
		t.Errorf("a reply prints its content: %s", text)
	}
}

// TestTrace: every request is told, and no body is.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			good(`{"v": "SECRET"}`)(w, r)
			return
		}
		answer(409, `{"code": 409, "status": "SECRET", "results": {}}`)(w, r)
	})
	var traces []Trace
	c := dialTo(t, s.Listener.Addr(), Config{Trace: func(tr Trace) { traces = append(traces, tr) }})
	_, _ = c.Do(context.Background(), Call{Method: "GET", Path: "/agents/x", Query: map[string][]string{"nonce": {"abc"}}})
	_, _ = c.Do(context.Background(), Call{Method: "POST", Path: "/agents/x", Body: []byte("SECRET")})
	if len(traces) != 2 {
		t.Fatalf("%d traces", len(traces))
	}
	first, second := traces[0], traces[1]
	if first.URL != s.URL+"/v2.6/agents/x?nonce=abc" || first.HTTP != 200 || first.Received != 62 || first.Err != nil || first.Kind != Unknown || first.Duration <= 0 {
		t.Errorf("first trace %+v", first)
	}
	if second.HTTP != 409 || second.Kind != Conflict || second.Sent != 6 || second.Err == nil {
		t.Errorf("second trace %+v", second)
	}
	if text := fmt.Sprintf("%+v", traces); strings.Contains(text, "SECRET") {
		t.Errorf("a trace shows a body: %s", text)
	}
}

// TestParallelCalls: calls of several goroutines share the one connection.
func TestParallelCalls(t *testing.T) {
	t.Parallel()
	s := servePlain(t, good(`{}`))
	var mu sync.Mutex
	connections := map[string]bool{}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		good(`{}`)(w, r)
	})
	c := dialTo(t, s.Listener.Addr(), Config{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Do(context.Background(), get("/agents/", nil)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(connections) != 1 {
		t.Errorf("%d connections", len(connections))
	}
}

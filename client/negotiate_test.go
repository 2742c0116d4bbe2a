package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Version{"2.6": {2, 6}, "2.10": {2, 10}, "0.0": {0, 0}, "3.0": {3, 0}} {
		if got, err := ParseVersion(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2", "2.", ".6", "2x3", "2.6.1", "v2.6", "-2.6", "2.-6", "+2.6", "02.6", "2.06", " 2.6", "2.6\n", "2.99999", "２.6"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q is taken for %v", text, v)
		}
	}
	if (Version{2, 10}).Compare(Version{2, 9}) <= 0 || (Version{1, 9}).Compare(Version{2, 0}) >= 0 || (Version{2, 6}).Compare(Current()) != 0 {
		t.Error("versions are compared as texts")
	}
	if all := Supported(); len(all) != 7 || all[0] != (Version{2, 0}) || all[6] != Current() {
		t.Errorf("supported: %v", all)
	}
}

// TestNegotiate holds the rule of PROTOCOL.md 2.3.
func TestNegotiate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		handle   http.HandlerFunc
		want     Version
		theirs   int
		fallback bool
		gone     bool
		kind     Kind // of Err
	}{
		{"verifier", good(`{"current_version": "2.6", "supported_versions": ["1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"]}`), Version{2, 6}, 9, false, false, Unknown},
		{"agent", good(`{"supported_version": "2.2", "supported_versions": ["2.2", "2.1"]}`), Version{2, 2}, 2, false, false, Unknown},
		{"old agent", good(`{"supported_version": "2.1"}`), Version{2, 1}, 1, false, false, Unknown},
		{"a string for a list", good(`{"supported_versions": "2.3"}`), Version{2, 3}, 1, false, false, Unknown},
		{"null for a list", good(`{"supported_version": "2.1", "supported_versions": null}`), Version{2, 1}, 1, false, false, Unknown},
		{"newer server", good(`{"supported_versions": ["2.5", "2.10", "4.0", "nonsense"]}`), Version{2, 5}, 3, false, false, Unknown},
		{"push mode", answer(410, `{"code": 410, "status": "Gone", "results": {}}`), Current(), 0, true, true, Refused},
		{"absent", answer(404, ""), Current(), 0, true, false, NotFound},
		{"error", answer(500, ""), Current(), 0, true, false, Refused},
		{"HTML", answer(200, "<html>"), Current(), 0, true, false, Unreadable},
		{"no versions", good(`{}`), Current(), 0, true, false, Unreadable},
		{"numbers", good(`{"supported_versions": [2.1]}`), Current(), 0, true, false, Unreadable},
		{"nonsense", good(`{"supported_versions": ["x"]}`), Current(), 0, true, false, Unreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1); r.RequestURI != "/version" {
					t.Errorf("asked for %s", r.RequestURI)
				}
				c.handle(w, r)
			})
			client := dialTo(t, s.Listener.Addr(), Config{Name: AgentName})
			for range 2 {
				n, err := client.Negotiate(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if n.Version != c.want || len(n.Theirs) != c.theirs || n.Fallback != c.fallback || n.Gone != c.gone || KindOf(n.Err) != c.kind {
					t.Errorf("%+v", n)
				}
				if !slices.IsSortedFunc(n.Theirs, Version.Compare) || !slices.Equal(n.Ours, Supported()) {
					t.Errorf("lists %v and %v", n.Ours, n.Theirs)
				}
			}
			if client.Version() != c.want || asked.Load() != 1 {
				t.Errorf("version %v, asked %d times", client.Version(), asked.Load())
			}
			client.Use(Version{1, 0})
			if client.Version() != (Version{1, 0}) {
				t.Error("Use does not fix the version")
			}
		})
	}
}

func TestNoCommonVersion(t *testing.T) {
	t.Parallel()
	s := servePlain(t, good(`{"supported_versions": ["3.0", "1.0"]}`))
	_, err := dialTo(t, s.Listener.Addr(), Config{}).Negotiate(context.Background())
	var none *NoCommonVersionError
	if !errors.As(err, &none) {
		t.Fatalf("%v", err)
	}
	if want := []Version{{1, 0}, {3, 0}}; !slices.Equal(none.Theirs, want) {
		t.Errorf("theirs %v", none.Theirs)
	}
}

// TestNegotiateWithoutConnection: the failure is kept for the next call, which
// does not try again; only an agent makes it an error at once.
func TestNegotiateWithoutConnection(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "CA"), newAuthority(t, "Other")
	client := load(t, files(t, ca, clientOf(t, ca)))
	var connections atomic.Int32
	silent := serveRaw(t, func(conn net.Conn) {
		connections.Add(1)
		_, _ = conn.Read(make([]byte, 1))
	})
	for _, c := range []struct {
		name string
		addr net.Addr
		kind Kind
	}{
		{"unreachable", silent, Unreachable},
		{"server untrusted", serveTLS(t, serverOf(t, other), ca, nil, good(`{}`)).Listener.Addr(), ServerUntrusted},
		{"client refused", serveTLS(t, serverOf(t, ca), other, nil, good(`{}`)).Listener.Addr(), ClientRefused},
	} {
		verifier := dialTo(t, c.addr, Config{TLS: client})
		n, err := verifier.Negotiate(context.Background())
		if err != nil || !n.Fallback || n.Version != Current() || KindOf(n.Err) != c.kind {
			t.Errorf("%s: %+v, %v", c.name, n, err)
		}
		before := connections.Load()
		_, err = verifier.Do(context.Background(), get("/agents/", nil))
		if KindOf(err) != c.kind || connections.Load() != before {
			t.Errorf("%s: the next call: %v, %d new connections", c.name, err, connections.Load()-before)
		}
		// The call after that tries for itself.
		_, err = verifier.Do(context.Background(), get("/agents/", nil))
		if KindOf(err) != c.kind || (c.name == "unreachable" && connections.Load() == before) {
			t.Errorf("%s: the call after the next: %v, %d connections", c.name, err, connections.Load()-before)
		}
		agent := dialTo(t, c.addr, Config{Name: AgentName, TLS: client})
		if _, err = agent.Negotiate(context.Background()); KindOf(err) != c.kind {
			t.Errorf("%s: agent: %v", c.name, err)
		}
	}
}

func TestNegotiateCanceled(t *testing.T) {
	t.Parallel()
	handle, started := hanging(t)
	s := servePlain(t, handle)
	c := dialTo(t, s.Listener.Addr(), Config{})
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error)
	go func() {
		<-started
		// A second caller waits its turn, and may give up too.
		go func() {
			_, err := c.Negotiate(ctx)
			waiting <- err
		}()
		cancel()
	}()
	if _, err := c.Negotiate(ctx); KindOf(err) != Canceled {
		t.Errorf("%v", err)
	}
	if err := <-waiting; KindOf(err) != Canceled {
		t.Errorf("the one who waits: %v", err)
	}
}

// FuzzEnvelope: no body makes the client panic, succeed without results, or
// print control characters.
func FuzzEnvelope(f *testing.F) {
	for _, body := range []string{
		`{"code": 200, "status": "Success", "results": {"uuids": ["a"]}}`, `{"code": 404, "status": "agent id not found", "results": {}}`,
		`{"errors": [{"status": "403", "title": "Forbidden", "detail": "x"}]}`, `<html>`, ``, `null`, `[`, `{"code": 1e400}`, "\x00", `{"code": 200, "results": null}`,
	} {
		f.Add(200, []byte(body))
		f.Add(403, []byte(body))
	}
	c, err := New(Config{Name: VerifierName, Host: "127.0.0.1", Port: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var into struct {
			UUIDs []string `json:"uuids"`
		}
		call := get("/agents/", &into)
		reply := &Reply{HTTP: status, Body: body}
		failure := c.open(attempt{call: &call, path: "/v2.6/agents/"}, reply)
		switch {
		case failure == nil && (len(reply.Results) == 0 || string(reply.Results) == "null"):
			t.Errorf("good without results: %q", body)
		case failure != nil:
			for _, r := range failure.Error() {
				if r < ' ' || r == 0x7f {
					t.Errorf("control character in %q", failure)
				}
			}
			_, _ = io.WriteString(io.Discard, failure.Hint)
		}
	})
}

package client

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestOldRegistrar: registrars before 7.10 do not tell their versions on the
// TLS port, and refuse what is newer than themselves.
func TestOldRegistrar(t *testing.T) {
	t.Parallel()
	refusal := answer(400, `{"code": 400, "status": "API Version not supported", "results": {}}`)
	for _, c := range []struct {
		name   string
		server string
		speaks []string
		want   Version
		asked  int
	}{
		{"7.9.0", RegistrarName, []string{"/v2.0/", "/v2.1/"}, Version{2, 1}, 7},
		{"current", RegistrarName, []string{"/v2.6/"}, Version{2, 6}, 2},
		{"speaks nothing known", RegistrarName, nil, Current(), 8},
		{"no registrar", VerifierName, []string{"/v2.1/"}, Current(), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			s := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.RequestURI)
				mu.Unlock()
				if slices.ContainsFunc(c.speaks, func(prefix string) bool { return strings.HasPrefix(r.RequestURI, prefix) }) {
					answer(404, `{"code": 404, "status": "agent none not found", "results": {}}`)(w, r)
					return
				}
				refusal(w, r)
			})
			client := dialTo(t, s.Listener.Addr(), Config{Name: c.server})
			for range 2 { // the second time it is known
				n, err := client.Negotiate(context.Background())
				if err != nil || n.Version != c.want || !n.Fallback || KindOf(n.Err) != Refused || client.Version() != c.want {
					t.Errorf("%+v, %v", n, err)
				}
			}
			if len(asked) != c.asked || asked[0] != "/version" || len(asked) > 1 && asked[1] != "/v2.6/agents/none" {
				t.Errorf("asked %q", asked)
			}
		})
	}
	// Another refusal says nothing about versions.
	s := servePlain(t, answer(400, `{"code": 400, "status": "Bad Request", "results": {}}`))
	n, err := dialTo(t, s.Listener.Addr(), Config{Name: RegistrarName}).Negotiate(context.Background())
	if err != nil || n.Version != Current() || !n.Fallback {
		t.Errorf("%+v, %v", n, err)
	}
}

package registrar_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
)

// serve answers one call, and tells what was asked.
func serve(t *testing.T, status int, results string) (*registrar.Client, *string) {
	t.Helper()
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Content-Type") + " " + string(body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"code": `+strconv.Itoa(status)+`, "status": "text", "results": `+results+`}`)
	}))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().(*net.TCPAddr)
	transport, err := client.New(client.Config{Name: client.RegistrarName, Host: addr.IP.String(), Port: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	return registrar.New(transport), &asked
}

func wantAsked(t *testing.T, asked *string, want string) {
	t.Helper()
	if got := strings.TrimSpace(*asked); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
}

const record = `{"agent_id": "a", "ek_tpm": "ZWs=", "ekcert": null, "aik_tpm": "YWs=", "mtls_cert": "disabled", "ip": "::1", "port": 9002, "regcount": 2}`

func TestAgents(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, `{"uuids": ["a", "b"]}`)
	ids, reply, err := c.Agents(context.Background())
	if err != nil || !slices.Equal(ids, []string{"a", "b"}) || reply.HTTP != 200 {
		t.Errorf("%v, %v", ids, err)
	}
	wantAsked(t, asked, "GET /v2.6/agents/")
	c, _ = serve(t, 200, `{"uuids": []}`)
	if ids, _, err = c.Agents(context.Background()); err != nil || ids == nil || len(ids) != 0 {
		t.Errorf("none: %v, %v", ids, err)
	}
	for _, bad := range []string{`{}`, `{"uuids": null}`, `{"uuids": [["a"]]}`, `{"uuids": "a"}`, `[]`, `null`} {
		c, _ = serve(t, 200, bad)
		if ids, reply, err := c.Agents(context.Background()); client.KindOf(err) != client.Unreadable || ids != nil || reply == nil {
			t.Errorf("%s: %v, %v", bad, ids, err)
		}
	}
}

func TestAgent(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, record)
	a, _, err := c.Agent(context.Background(), "a/b?c")
	if err != nil {
		t.Fatal(err)
	}
	wantAsked(t, asked, "GET /v2.6/agents/a%2Fb%3Fc")
	if a.ID != "a/b?c" || a.AgentID != "a" || a.EKTPM != "ZWs=" || a.EKCert != nil || a.AIKTPM != "YWs=" || *a.MTLSCert != registrar.Disabled ||
		*a.IP != "::1" || *a.Port != 9002 || a.RegCount != 2 || string(a.Raw) != record {
		t.Errorf("%+v", a)
	}
	// The wire type writes the registrar's own order.
	if text, err := json.Marshal(a.Record); err != nil || string(text) != strings.NewReplacer(": ", ":", ", ", ",").Replace(record) {
		t.Errorf("marshalled %s, %v", text, err)
	}
	for _, null := range []string{"ip", "port", "ek_tpm", "aik_tpm"} {
		c, _ = serve(t, 200, `{"aik_tpm": "x", "ek_tpm": "x", "ip": "x", "port": 1, "regcount": 1, "`+null+`": null}`)
		if _, _, err := c.Agent(context.Background(), "a"); err != nil {
			t.Errorf("%s null: %v", null, err)
		}
	}
}

// TestAgentLacks: a record without one of the keys of PROTOCOL.md 3.2 is none.
func TestAgentLacks(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"aik_tpm", "regcount", "ek_tpm", "ip", "port"} {
		c, _ := serve(t, 200, strings.Replace(record, `"`+key+`"`, `"other"`, 1))
		a, reply, err := c.Agent(context.Background(), "a")
		if client.KindOf(err) != client.Unreadable || !strings.Contains(err.Error(), key) || a != nil || reply == nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, bad := range []string{`{"aik_tpm": 5}`, `{"regcount": "2"}`, `[]`, `"x"`} {
		c, _ := serve(t, 200, bad)
		if _, _, err := c.Agent(context.Background(), "a"); client.KindOf(err) != client.Unreadable {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]client.Kind{400: client.Refused, 401: client.Unauthorized, 403: client.Unauthorized, 404: client.NotFound, 409: client.Conflict, 500: client.Refused} {
		c, _ := serve(t, status, `{}`)
		_, _, list := c.Agents(context.Background())
		_, _, read := c.Agent(context.Background(), "a")
		_, removed := c.Delete(context.Background(), "a")
		_, _, register := c.Register(context.Background(), "a", registrar.RegisterRequest{})
		_, activate := c.Activate(context.Background(), "a", "00")
		for _, err := range []error{list, read, removed, register, activate} {
			var e *client.Error
			if !errors.As(err, &e) || e.Kind != kind || e.HTTP != status || e.Reply.Status != "text" {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, `{}`)
	if reply, err := c.Delete(context.Background(), "a"); err != nil || reply.HTTP != 200 {
		t.Error(err)
	}
	wantAsked(t, asked, "DELETE /v2.6/agents/a")
}

func TestRegister(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, `{"blob": "3q2+7w=="}`)
	ip, port := "127.0.0.1", registrar.Port(9002)
	blob, _, err := c.Register(context.Background(), "a", registrar.RegisterRequest{EKTPM: "ZQ==", AIKTPM: "YQ==", IP: &ip, Port: &port})
	if err != nil || string(blob) != "\xde\xad\xbe\xef" {
		t.Errorf("%x, %v", blob, err)
	}
	wantAsked(t, asked, `POST /v2.6/agents/a application/json {"ek_tpm":"ZQ==","ekcert":null,"aik_tpm":"YQ==","iak_cert":null,"idevid_cert":null,"mtls_cert":null,"ip":"127.0.0.1","port":9002}`)
	for _, bad := range []string{`{}`, `{"blob": null}`, `{"blob": ""}`, `{"blob": "*"}`, `{"blob": 5}`} {
		c, _ = serve(t, 200, bad)
		if blob, _, err := c.Register(context.Background(), "a", registrar.RegisterRequest{}); client.KindOf(err) != client.Unreadable || blob != nil {
			t.Errorf("%s: %v", bad, err)
		}
	}
	c, asked = serve(t, 200, `{}`)
	if _, err := c.Activate(context.Background(), "a", "00ff"); err != nil {
		t.Error(err)
	}
	wantAsked(t, asked, `PUT /v2.6/agents/a application/json {"auth_tag":"00ff"}`)
}

func TestRegisterRequestReads(t *testing.T) {
	t.Parallel()
	var r registrar.RegisterRequest
	if err := json.Unmarshal([]byte(`{"port": "9002", "ip": null, "ekcert": null}`), &r); err != nil || r.Port == nil || *r.Port != 9002 || r.IP != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if err := json.Unmarshal([]byte(`{"port": "x"}`), &r); err == nil {
		t.Error("a port that is none was read")
	}
}

package compat

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant"
)

// inPushMode is what a verifier in push mode says of its versions: it is gone.
func inPushMode() tenant.ServerVersion {
	gone := &client.Error{Server: "verifier", Method: "GET", Path: "/version", Kind: client.Refused, HTTP: http.StatusGone, Reply: reply(http.StatusGone, "Gone", "{}")}
	return tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Version: client.Current(), Ours: client.Supported(), Fallback: true, Gone: true, Err: gone}}
}

// shownState puts the state back that the Python tenant has left out.
func shownState(shown *client.Reply) *client.Reply {
	if !strings.Contains(string(shown.Results), "operational_state") {
		shown.Results = json.RawMessage(`{"operational_state": 3, ` + strings.TrimPrefix(string(shown.Results), "{"))
	}
	return shown
}

func agentIn(t *testing.T, shown *client.Reply) *verifier.Agent {
	t.Helper()
	a := &verifier.Agent{}
	if err := json.Unmarshal(shown.Results, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPushVerifier: records of runs beside a verifier in push mode.
func TestPushVerifier(t *testing.T) {
	t.Parallel()
	const at = "Agent Info from Verifier (127.0.0.1:8881):"
	push := func(o *Options) { o.Push = true }
	record := func(name string) *client.Reply { return shownState(numbered(t, jsonAfter(t, golden(t, name), at, 1))) }

	for name, change := range map[string]func(*Options){"727-pushv-cvstatus": nil, "728-pushv-cvstatus-push": push} {
		s := speak(t, change)
		s.tell(inPushMode(), tenant.VerifierStatus{ID: id, Reply: record(name)})
		same(t, s, name)
	}
	for _, name := range []string{"736-pushv-reactivate", "739-pushv-reactivate-failed"} {
		s := speak(t, push)
		s.tell(inPushMode(), tenant.VerifierStatus{ID: id, Reply: record(name)}, tenant.Reactivated{ID: id})
		same(t, s, name)
	}
	for name, change := range map[string]func(*Options){"733-pushv-bulkinfo": nil, "734-pushv-bulkinfo-push": push} {
		s := speak(t, change)
		one := numbered(t, jsonAfter(t, golden(t, name), "Bulk Agent Info:", 1))
		s.tell(inPushMode(), tenant.VerifierBulk{Reply: reply(200, "Success", `{"`+id+`": `+string(one.Results)+`}`)})
		same(t, s, name)
	}
	s := speak(t, push)
	shown := record("742-pushv-delete")
	s.tell(inPushMode(), tenant.VerifierStatus{ID: id, Reply: shown}, tenant.DeleteStarted{ID: id, Agent: agentIn(t, shown)}, tenant.Deleted{ID: id})
	same(t, s, "742-pushv-delete")
}

// TestPushUpdate: once the verifier's record is known, which has no address, the
// agent is spoken of without one.
func TestPushUpdate(t *testing.T) {
	t.Parallel()
	const name = "737-pushv-update-push"
	s := speak(t, func(o *Options) { o.Push = true })
	old := shownState(numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1)))
	anew := shownState(numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier default (127.0.0.1:8881):", 1)))
	s.tell(spoken("registrar"), tenant.RegistrarRecord{ID: id, RegCount: 1, Host: "127.0.0.1", Port: 9002},
		tenant.AgentVersion{ID: id, Version: "2.6", Push: true, Host: "127.0.0.1", Port: 9002}, tenant.PolicyMask{}, inPushMode(),
		tenant.VerifierStatus{ID: id, Reply: old}, tenant.DeleteStarted{ID: id, Agent: agentIn(t, old)}, tenant.Deleted{ID: id},
		tenant.VerifierStatus{ID: id, Reply: anew}, tenant.Added{ID: id})
	same(t, s, name)
}

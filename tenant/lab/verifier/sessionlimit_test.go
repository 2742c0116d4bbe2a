package verifier_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSessionLimits: who has asked too often is refused before anything of the
// question is kept, so that it costs no agent its sessions and the verifier no
// memory.
func TestSessionLimits(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, nil)
	ask := func(address, agent, more string) int {
		r := httptest.NewRequest("POST", "/v3.0/sessions", strings.NewReader(fmt.Sprintf(
			`{"data": {"type": "session", "attributes": {"agent_id": %q, "authentication_supported": [{"authentication_class": "pop", "authentication_type": "tpm_pop"}]}}%s}`, agent, more)))
		r.RemoteAddr = address + ":1024"
		rec := httptest.NewRecorder()
		v.w.server.Handler(true).ServeHTTP(rec, r)
		return rec.Code
	}
	for i := range 50 {
		if code := ask("192.0.2.1", fmt.Sprint(i), ""); code != 200 {
			t.Fatalf("question %d: %d", i, code)
		}
	}
	for range 1000 {
		if code := ask("192.0.2.1", "b", ""); code != 429 {
			t.Fatalf("too many of one address: %d", code)
		}
	}
	if code := ask("192.0.2.2", "b", ""); code != 200 {
		t.Errorf("an agent for which another address asked in vain: %d", code)
	}
	if code := ask("192.0.2.2", "c", strings.Repeat(" ", 1<<20)); code != 400 {
		t.Errorf("a question of a megabyte, of somebody unknown: %d", code)
	}
}

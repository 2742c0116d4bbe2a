package render

import (
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant"
)

// TestPushModelIsExplained: what the push model means for an agent stands beside
// its health.
func TestPushModelIsExplained(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	m := &Modern{o: Options{Now: func() time.Time { return now }}}
	for _, test := range []struct {
		name   string
		change func(*tenant.VerifierAgent)
		want   string
	}{
		{"healthy", func(*tenant.VerifierAgent) {}, "push: it attests itself, every 2s, and is late after 10s (in 7s)"},
		{"late", func(a *tenant.VerifierAgent) { a.Health = tenant.HealthLate }, "push: it attests itself, every 2s, and is late after 10s"},
		{"older verifier", func(a *tenant.VerifierAgent) { a.AttestationPeriod, a.MaxAttestationInterval = "", "" }, "push: it attests itself"},
		{"pull", func(a *tenant.VerifierAgent) { a.Push = false }, ""},
	} {
		a := &tenant.VerifierAgent{ID: "a", Push: true, State: "Get Quote", Health: tenant.HealthHealthy, LastReceivedQuote: now.Unix() - 3,
			AttestationPeriod: "2s", MaxAttestationInterval: "10s", AttestationStatus: "PASS", AttestationCount: 1}
		test.change(a)
		if got := m.pushText(a); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for state, want := range map[string]string{"Get Quote": "(push model)", "": "(push model)", "Tenant Quote Failed": "Tenant Quote Failed (push model)"} {
		if got := stateWord(&tenant.VerifierAgent{Push: true, State: state}); got != want {
			t.Errorf("state %q: %q, want %q", state, got, want)
		}
	}
}

// TestPushSwitchesAreExplained: stop and reactivate do less in the push model.
func TestPushSwitchesAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		verb   string
		result tenant.SwitchResult
		want   string
	}{
		{"stop", tenant.SwitchResult{ID: "a", Push: true}, "goes on attesting itself until keylime_tenant delete a"},
		{"reactivate", tenant.SwitchResult{ID: "a", Push: true, BeforeStatus: "TIMEOUT"}, "no longer taken for late"},
		{"reactivate", tenant.SwitchResult{ID: "a", Push: true, BeforeStatus: "FAIL"}, "goes on saying FAIL until it is enrolled anew: keylime_tenant update a --push-model"},
		{"reactivate", tenant.SwitchResult{ID: "a", Before: "Failed"}, "is attested anew; its state was Failed"},
	} {
		if got := switchText(test.verb, &test.result); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.verb, got, test.want)
		}
	}
}

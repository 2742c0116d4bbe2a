package tenant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// pulled is a record of an agent that the verifier polls.
func pulled(state verifier.State, count int, age time.Duration, now time.Time) *verifier.Agent {
	ip, port := "10.0.0.7", 9002
	a := &verifier.Agent{ID: testID, State: state, Record: verifier.Record{IP: &ip, Port: &port, AttestationCount: count, AttestationStatus: "PASS", MaximumAttestationInterval: "10s"}}
	if count > 0 {
		a.LastSuccessfulAttestation = now.Add(-age).Unix()
	}
	return a
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	event := "measured_boot.invalid_pcr_4"
	for _, test := range []struct {
		name   string
		agent  *verifier.Agent
		change func(*verifier.Agent)
		maxAge time.Duration
		want   Health
		reason string
	}{
		{"good", pulled(verifier.GetQuote, 3, 5*time.Second, now), nil, 0, HealthHealthy, "quotes are accepted"},
		{"at the limit", pulled(verifier.GetQuote, 3, 20*time.Second, now), nil, 0, HealthHealthy, ""},
		{"beyond it", pulled(verifier.GetQuoteRetry, 3, 21*time.Second, now), nil, 0, HealthStale, "maximum_attestation_interval of 10s"},
		{"within --max-age", pulled(verifier.GetQuote, 3, 21*time.Second, now), nil, time.Minute, HealthHealthy, ""},
		{"beyond --max-age", pulled(verifier.GetQuote, 3, 5*time.Second, now), nil, 4 * time.Second, HealthStale, "older than the 4s allowed"},
		{"interval unknown", pulled(verifier.GetQuote, 3, 1e6*time.Second, now), func(a *verifier.Agent) { a.MaximumAttestationInterval = "" }, 0, HealthHealthy, ""},
		{"interval senseless", pulled(verifier.GetQuote, 3, 1e6*time.Second, now), func(a *verifier.Agent) { a.MaximumAttestationInterval = "soon" }, 0, HealthHealthy, ""},
		{"interval of nothing", pulled(verifier.GetQuote, 3, 1e6*time.Second, now), func(a *verifier.Agent) { a.MaximumAttestationInterval = "0s" }, 0, HealthHealthy, ""},
		{"dated in the future", pulled(verifier.GetQuote, 3, -time.Hour, now), nil, 0, HealthHealthy, "clocks"},
		{"PASS of nothing", pulled(verifier.GetQuote, 0, 0, now), nil, 0, HealthPending, "says PASS, but has accepted no quote yet"},
		{"PASS of nothing, retrying", pulled(verifier.GetQuoteRetry, 0, 0, now), nil, 0, HealthPending, "does not reach it"},
		{"pending", pulled(verifier.Start, 0, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "PENDING" }, 0, HealthPending, "has accepted no quote yet"},
		{"failed", pulled(verifier.Failed, 1, 0, now), nil, 0, HealthFailed, "does not say why"},
		{"invalid", pulled(verifier.InvalidQuote, 1, 0, now), func(a *verifier.Agent) { a.LastEventID = &event }, 0, HealthFailed, "PCR 4 does not match the boot log"},
		{"FAIL", pulled(verifier.GetQuote, 1, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "FAIL" }, 0, HealthFailed, ""},
		{"stopped", pulled(verifier.TenantQuoteFailed, 1, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "FAIL" }, 0, HealthStopped, "told to stop"},
		{"ending", pulled(verifier.Terminated, 1, 0, now), nil, 0, HealthEnding, ""},
		{"push, good", pulled(verifier.NoState, 1, time.Second, now), nil, 0, HealthHealthy, ""},
		{"push, not yet", pulled(verifier.NoState, 0, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "PENDING" }, 0, HealthPending, "not come yet"},
		{"push, timed out", pulled(verifier.NoState, 1, time.Second, now), func(a *verifier.Agent) { a.AttestationStatus = "TIMEOUT" }, 0, HealthLate, "the verifier waits 10s"},
		{"push, timed out before the first", pulled(verifier.NoState, 0, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "TIMEOUT" }, time.Hour, HealthLate, ""},
		{"push, overdue", pulled(verifier.GetQuote, 1, time.Minute, now), func(a *verifier.Agent) { a.IP, a.Port = nil, nil }, 0, HealthLate, "in time"},
		{"push, beyond --max-age", pulled(verifier.NoState, 1, time.Minute, now), nil, time.Second, HealthStale, "allowed"},
		{"push, failed", pulled(verifier.NoState, 1, 0, now), func(a *verifier.Agent) { a.AttestationStatus = "FAIL" }, 0, HealthFailed, ""},
	} {
		if test.change != nil {
			test.change(test.agent)
		}
		got, reason := Judge(test.agent, now, test.maxAge)
		if got != test.want || !strings.Contains(reason, test.reason) || reason == "" {
			t.Errorf("%s: %s (%s), want %s (%s)", test.name, got, reason, test.want, test.reason)
		}
	}
}

// TestHealths: every word that Judge and the joined view use is described, once.
func TestHealths(t *testing.T) {
	t.Parallel()
	var words []Health
	for i, h := range Healths() {
		words = append(words, h.Health)
		if h.Health.rank() != i || h.Meaning == "" {
			t.Errorf("%s: %d, %q", h.Health, h.Health.rank(), h.Meaning)
		}
	}
	for _, h := range []Health{HealthHealthy, HealthPending, HealthStale, HealthFailed, HealthLate, HealthUnmonitored, HealthOrphan, HealthStopped, HealthEnding, HealthUnknown} {
		if !slices.Contains(words, h) {
			t.Errorf("%s is not described", h)
		}
	}
	if Health("other").rank() != -1 {
		t.Error("an unknown word has a rank")
	}
}

package tenant

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// pushRecord makes a record one that a verifier in push mode shows: no address,
// and the state of an agent that is asked.
func pushRecord(a *verifier.Agent, status string, count int) {
	a.IP, a.Port, a.State, a.OperationalState = nil, nil, verifier.GetQuote, verifier.GetQuote
	a.AttestationStatus, a.AttestationCount, a.LastEventID = status, count, nil
}

// TestPushAgentAddedWithoutSayingSo: the error says what is missing, if the
// verifier shows that it is that, and nothing is changed.
func TestPushAgentAddedWithoutSayingSo(t *testing.T) {
	t.Parallel()
	disabled := registrar.Disabled
	for _, test := range []struct {
		name     string
		register func(*registrar.Agent)
		gone     bool
		kind     InvalidKind
		push     bool
	}{
		{"no address", func(a *registrar.Agent) { a.IP, a.Port = nil, nil }, true, NoContactAddress, true},
		{"no TLS", func(a *registrar.Agent) { a.MTLSCert = &disabled }, true, PlainAgentRefused, true},
		{"no certificate", func(a *registrar.Agent) { a.MTLSCert = nil }, true, PlainAgentRefused, true},
		{"no address, verifier in pull mode", func(a *registrar.Agent) { a.IP, a.Port = nil, nil }, false, NoContactAddress, false},
		{"no TLS, verifier in pull mode", func(a *registrar.Agent) { a.MTLSCert = &disabled }, false, PlainAgentRefused, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.gone = test.gone
			test.register(w.record)
			_, err := w.tenant(t).Add(context.Background(), goodAdd())
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Kind != test.kind || strings.Contains(err.Error(), "it uses the push model") != test.push ||
				!strings.Contains(invalid.Hint, "--push-model") || len(w.posted) > 0 || len(w.us) > 0 {
				t.Errorf("%v (%+v)", err, invalid)
			}
			if test.push && w.index("PlainAgent") >= 0 {
				t.Error("it is told that the agent is reached without TLS")
			}
		})
	}
	// The Python tenant tries all the same; its successor says what may be wrong.
	w, r := newWorld(t), goodAdd()
	w.gone, w.record.MTLSCert, r.Compat = true, &disabled, true
	w.before = on("agent.version", 0, noConnection())
	_, err := w.tenant(t).Add(context.Background(), r)
	var step *StepError
	if !errors.As(err, &step) || step.Step != StepAgentVersion || !strings.Contains(step.Hint, "--push-model") {
		t.Errorf("%v", err)
	}
}

// TestWaitingForAPushVerifier: its record shows an agent that fails in the state
// of one that is asked.
func TestWaitingForAPushVerifier(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), goodAdd()
	r.Push, r.Payload, r.WaitAttested = true, PayloadInput{}, true
	w.shows = func(a *verifier.Agent, nth int) {
		pushRecord(a, map[bool]string{true: "FAIL", false: "PENDING"}[nth > 3], 0)
	}
	_, err := w.tenant(t).Add(context.Background(), r)
	if !isRefused("FAIL", "")(err) || w.enrolled[testID] != nil {
		t.Errorf("%v", err)
	}
	var refused *RefusedError
	if errors.As(err, &refused) && !strings.Contains(refused.Cause, "push mode never does") {
		t.Errorf("%q", refused.Cause)
	}
}

// TestPushSwitches: what stop and reactivate do not do is in the result.
func TestPushSwitches(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), goodAdd()
	w.gone = true
	r.Push, r.Payload = true, PayloadInput{}
	tenant := w.tenant(t)
	if _, err := tenant.Add(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	w.shows = func(a *verifier.Agent, _ int) { pushRecord(a, "FAIL", 2) }
	got, err := tenant.Reactivate(context.Background(), ReactivateRequest{ID: testID})
	if err != nil || *got != (SwitchResult{ID: testID, Push: true, BeforeStatus: "FAIL"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = tenant.Stop(context.Background(), testID); err != nil || !got.Push {
		t.Errorf("%+v, %v", got, err)
	}
	shown, err := tenant.VerifierStatus(context.Background(), testID)
	if err != nil || !shown.Push || shown.Health != HealthFailed || !strings.Contains(shown.Reason, "push mode never does") {
		t.Errorf("%+v, %v", shown, err)
	}
	if a, b := Anew("x", false), Again("x", false); a != "keylime_tenant reactivate x" || b != "keylime_tenant update x" {
		t.Error(a, b)
	}
}

// TestPushWithoutPolicies: a verifier in push mode would never attest such an
// agent, which is told in the new grammar; any policy at all silences it.
func TestPushWithoutPolicies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*AddRequest)
		warned bool
	}{
		"nothing":                {func(*AddRequest) {}, true},
		"an empty tpm_policy":    {func(r *AddRequest) { r.Policies.TPM = "{}" }, true},
		"the old grammar":        {func(r *AddRequest) { r.Compat = true }, false},
		"the pull model":         {func(r *AddRequest) { r.Push = false }, false},
		"a register":             {func(r *AddRequest) { r.Policies.TPM = `{"23": "` + strings.Repeat("00", 32) + `"}` }, false},
		"a measured-boot policy": {func(r *AddRequest) { r.Policies.MeasuredBootName = "boots" }, false},
		"a runtime policy":       {func(r *AddRequest) { r.Policies.RuntimeName = "files" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), goodAdd()
			r.Push, r.Payload = true, PayloadInput{}
			if test.change(&r); r.Push {
				w.gone = true
			}
			_, err := w.tenant(t).Add(context.Background(), r)
			if missing := new(NotFoundError); err != nil && !errors.As(err, &missing) { // the names are unknown
				t.Fatal(err)
			}
			if got := w.warned(WarnPushNothing); got != test.warned {
				t.Errorf("warned: %v", got)
			}
		})
	}
}

package tenant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

func TestWait(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		goal WaitGoal
		// change happens at each pause, which are counted from 1.
		change func(s *servers, pause int)
		looks  int
		err    func(error) bool
		says   string
	}{
		{"healthy at once", WaitHealthy, nil, 1, nil, ""},
		{"healthy later", WaitHealthy, func(s *servers, pause int) {
			if s.agents[0].AttestationCount = 0; pause == 3 {
				s.agents[0].AttestationCount = 1
			}
		}, 4, nil, ""},
		{"never", WaitHealthy, func(s *servers, _ int) { s.agents[0].AttestationCount = 0 }, 21, is(ErrTimedOut), "agent x is not healthy after 10s: it is pending (never attested: the verifier says PASS"},
		{"failed meanwhile", WaitHealthy, func(s *servers, pause int) {
			if s.agents[0].AttestationCount = 0; pause == 2 {
				s.agents[0].State = verifier.Failed
			}
		}, 3, isRefused("Failed", ""), "does not say why"},
		{"stopped meanwhile", WaitHealthy, func(s *servers, pause int) {
			s.agents[0].State = verifier.TenantQuoteFailed
		}, 2, isRefused("Tenant Quote Failed", ""), "told to stop"},
		{"failed", WaitFailed, func(s *servers, pause int) { s.agents[0].State = verifier.InvalidQuote }, 2, nil, ""},
		{"not failed", WaitFailed, nil, 21, is(ErrTimedOut), "it is healthy"},
		{"absent", WaitAbsent, func(s *servers, pause int) {
			if pause == 2 {
				s.agents = nil
			}
		}, 3, nil, ""},
		{"not absent", WaitAbsent, nil, 21, is(ErrTimedOut), "agent x is not absent after 10s: it is healthy"},
		{"deleted meanwhile", WaitFailed, func(s *servers, _ int) { s.agents = nil }, 2, is(ErrNotFound), "not enrolled"},
		{"verifier away for a while", WaitAbsent, func(s *servers, pause int) {
			if s.verifierErr = noConnection(); pause == 3 {
				s.verifierErr, s.agents = nil, nil
			}
		}, 4, nil, ""},
		{"verifier away for good", WaitAbsent, func(s *servers, pause int) { s.verifierErr = noConnection() }, 21, is(ErrTimedOut), "connection refused"},
		{"verifier refuses us", WaitAbsent, func(s *servers, pause int) { s.verifierErr = refusal(client.Unauthorized, 403, "no") }, 2, kind(client.Unauthorized), "waiting"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServers()
			s.add("x")
			pauses := 0
			tenant := s.tenant()
			if test.goal == WaitHealthy && test.change != nil {
				test.change(s, 0)
				if s.agents[0].State != verifier.GetQuote {
					s.agents[0] = *pulled(verifier.GetQuote, 0, 0, s.now)
					s.agents[0].ID = "x"
				}
			}
			s.slept = func(d time.Duration) {
				if pauses++; test.change != nil {
					test.change(s, pauses)
				}
			}
			got, err := tenant.Wait(context.Background(), WaitRequest{ID: "x", For: test.goal, Limit: 10 * time.Second})
			if (err == nil) != (test.err == nil) || err != nil && (!test.err(err) || !strings.Contains(err.Error(), test.says)) {
				t.Fatalf("error %v", err)
			}
			if s.calls["agent"] != test.looks && err == nil || err != nil && pauses+1 != test.looks {
				t.Errorf("%v, %d pauses, want %d looks", s.calls, pauses, test.looks)
			}
			if err == nil && (got.Looks != test.looks || got.Schema != SchemaWait || (got.Health == "") != (test.goal == WaitAbsent) || got.Waited != float64(pauses)/2) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("x")
	if _, err := s.tenant().Wait(context.Background(), WaitRequest{ID: "a/b", For: WaitFailed}); !isInvalid(InvalidAgentID)(err) {
		t.Errorf("bad id: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("a signal")
	s.slept = func(time.Duration) { cancel(why) }
	_, err := s.tenant().Wait(ctx, WaitRequest{ID: "x", For: WaitFailed})
	var step *StepError
	if !errors.As(err, &step) || step.Step != StepWaitFor || !errors.Is(err, why) {
		t.Errorf("given up: %v", err)
	}
	// The verifier never answers: the limit holds all the same.
	tenant := s.tenant()
	tenant.Verifier = silent{s}
	if _, err := tenant.Wait(context.Background(), WaitRequest{ID: "x", For: WaitAbsent, Limit: time.Millisecond}); !errors.Is(err, ErrTimedOut) {
		t.Errorf("no answer: %v", err)
	}
}

// silent is a verifier that never answers.
type silent struct{ *servers }

func (silent) Agent(ctx context.Context, _ string) (*verifier.Agent, *client.Reply, error) {
	<-ctx.Done()
	return nil, nil, &client.Error{Server: "verifier", Kind: client.TimedOut, Err: ctx.Err()}
}

package tenant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

func TestDelete(t *testing.T) {
	t.Parallel()
	enrolled := func(w *world) { w.enrol(testID, verifier.AddRequest{}) }
	tests := []struct {
		name    string
		arrange func(w *world)
		request DeleteRequest
		want    *DeleteResult
		check   func(error) bool
		calls   []string
		told    []string
	}{
		{"at once", enrolled, DeleteRequest{}, &DeleteResult{ID: testID}, nil,
			[]string{"verifier.Agent", "verifier.Delete"}, []string{"VerifierStatus", "DeleteStarted", "Deleted"}},
		{"at once, and looked after", enrolled, DeleteRequest{WaitGone: true}, &DeleteResult{ID: testID}, nil,
			[]string{"verifier.Agent", "verifier.Delete", "verifier.Agent"}, []string{"VerifierStatus", "DeleteStarted", "Deleted"}},
		{"unchecked", enrolled, DeleteRequest{NoCheck: true}, &DeleteResult{ID: testID}, nil,
			[]string{"verifier.Delete"}, []string{"DeleteStarted", "Deleted"}},
		{"absent", func(*world) {}, DeleteRequest{}, &DeleteResult{ID: testID, Absent: true}, nil,
			[]string{"verifier.Agent"}, []string{"NotEnrolled", "Deleted"}},
		{"absent, unchecked", func(*world) {}, DeleteRequest{NoCheck: true}, &DeleteResult{ID: testID, Absent: true}, nil,
			[]string{"verifier.Delete"}, []string{"DeleteStarted", "Deleted"}},
		{"absent, but must exist", func(*world) {}, DeleteRequest{MustExist: true}, nil, is(ErrNotFound),
			[]string{"verifier.Agent"}, []string{"NotEnrolled"}},
		{"absent, but must exist, unchecked", func(*world) {}, DeleteRequest{NoCheck: true, MustExist: true}, nil, is(ErrNotFound),
			[]string{"verifier.Delete"}, []string{"DeleteStarted"}},
		{"in time", func(w *world) { enrolled(w); w.pending = 2 }, DeleteRequest{}, &DeleteResult{ID: testID, Tries: 2}, nil,
			[]string{"verifier.Agent", "verifier.Delete", "verifier.Agent", "verifier.Agent", "verifier.Agent"},
			[]string{"VerifierStatus", "DeleteStarted", "DeleteRetry", "DeleteRetry", "Deleted"}},
		{"in time, though it answers 503 meanwhile", func(w *world) {
			enrolled(w)
			w.pending, w.before = 1, on("verifier.Agent", 2, refusal(client.Refused, 503, ""))
		}, DeleteRequest{}, &DeleteResult{ID: testID, Tries: 2}, nil,
			[]string{"verifier.Agent", "verifier.Delete", "verifier.Agent", "verifier.Agent", "verifier.Agent"},
			[]string{"VerifierStatus", "DeleteStarted", "DeleteRetry", "DeleteRetry", "Deleted"}},
		{"never", func(w *world) { enrolled(w); w.pending = 100 }, DeleteRequest{}, nil, is(ErrTimedOut), nil, nil},
		{"verifier down", failing(on("verifier.Agent", 0, noConnection())), DeleteRequest{}, nil, isKind(client.Unreachable),
			[]string{"verifier.Agent"}, nil},
		{"verifier refuses", func(w *world) {
			enrolled(w)
			w.before = on("verifier.Delete", 0, refusal(client.Unauthorized, 403, ""))
		}, DeleteRequest{}, nil, isKind(client.Unauthorized), nil, nil},
		{"verifier refuses to show", func(w *world) {
			enrolled(w)
			w.pending, w.before = 3, on("verifier.Agent", 2, refusal(client.Unauthorized, 403, ""))
		}, DeleteRequest{}, nil, isKind(client.Unauthorized), nil, nil},
		{"bad id", func(*world) {}, DeleteRequest{ID: "a/b"}, nil, isInvalid(InvalidAgentID), []string{}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.arrange(w)
			if test.request.ID == "" {
				test.request.ID = testID
			}
			got, err := w.tenant(t).Delete(context.Background(), test.request)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if (err == nil) != (test.check == nil) || err != nil && !test.check(err) {
				t.Errorf("error %v (%T) is not the one named", err, err)
			}
			calls := slices.DeleteFunc(w.calls(), func(call string) bool { return strings.HasSuffix(call, ".version") })
			if test.calls != nil && !slices.Equal(calls, test.calls) {
				t.Errorf("calls %q, want %q", calls, test.calls)
			}
			var told []string
			for _, e := range w.events {
				if name := eventName(e); name != "ServerVersion" {
					told = append(told, name)
				}
			}
			if test.told != nil && !slices.Equal(told, test.told) {
				t.Errorf("events %q, want %q", told, test.told)
			}
		})
	}
}

func failing(hook func(string, int) error) func(*world) { return func(w *world) { w.before = hook } }

func TestDeleteInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enrol(testID, verifier.AddRequest{})
	w.pending = 100
	ctx, cancel := context.WithCancel(context.Background())
	w.before = func(call string, nth int) error {
		if call == "verifier.Agent" && nth == 3 {
			cancel()
		}
		return nil
	}
	_, err := w.tenant(t).Delete(ctx, DeleteRequest{ID: testID})
	var step *StepError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &step) || step.Step != StepWaitDeleted {
		t.Errorf("error %v", err)
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		retry Retry
		tries int
		want  time.Duration
	}{
		{Retry{Base: 2, Exponential: true}, 1, 2 * time.Second},
		{Retry{Base: 2, Exponential: true}, 4, 16 * time.Second},
		{Retry{Base: 2, Exponential: true}, 7, 60 * time.Second},
		{Retry{Base: 10, Exponential: true}, 1000, 60 * time.Second},
		{Retry{Base: 2}, 4, 2 * time.Second},
		{Retry{Base: 0.5, Exponential: true}, 3, 500 * time.Millisecond},
		{Retry{Base: -1}, 3, time.Second},
		{Retry{Base: 1e300}, 3, 60 * time.Second},
		{Retry{}, 3, 0},
	}
	for _, test := range tests {
		if got := test.retry.Delay(test.tries); got != test.want {
			t.Errorf("%+v after %d tries: %v, want %v", test.retry, test.tries, got, test.want)
		}
	}
}

func TestSleepHasJitter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rand byte
		want time.Duration
	}{{0, 10 * time.Second}, {0xff, 11 * time.Second}} {
		var slept time.Duration
		tenant := &Tenant{Rand: repeated(test.rand), After: func(d time.Duration) <-chan time.Time {
			slept = d
			c := make(chan time.Time, 1)
			c <- time.Time{}
			return c
		}}
		if err := tenant.sleep(context.Background(), 10*time.Second); err != nil || slept != test.want {
			t.Errorf("slept %v (%v), want %v", slept, err, test.want)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("stop it")
	cancel(cause)
	if err := (&Tenant{}).sleep(ctx, time.Hour); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || err.Error() != "stop it" {
		t.Errorf("an ended context: %v", err)
	}
}

// repeated is a source of one byte.
type repeated byte

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

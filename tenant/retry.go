package tenant

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// maxDelay is the longest wait between two tries. The Python tenant has no
// limit: its fifth wait at base 10 is a day (TENANT-CLI.md E29).
const maxDelay = 60 * time.Second

// jitterPart is the share of a delay that is added at random, so that many
// tenants that were started together do not stay in step.
const jitterPart = 10

// Delay is the wait after so many failed tries, counted from 1, without its
// jitter: Base to the power of tries when Exponential and Base is above 1,
// otherwise the absolute value of Base, in seconds (PROTOCOL.md 0.3); never
// above 60 s.
func (r Retry) Delay(tries int) time.Duration {
	seconds := math.Abs(r.Base)
	if r.Exponential && r.Base > 1 {
		seconds = math.Pow(r.Base, float64(tries))
	}
	if !(seconds < maxDelay.Seconds()) { // NaN included
		return maxDelay
	}
	return time.Duration(seconds * float64(time.Second))
}

// sleep waits for a delay and its jitter. It returns the cause of the
// context's end if that comes first.
func (t *Tenant) sleep(ctx context.Context, delay time.Duration) error {
	after := time.After
	if t.After != nil {
		after = t.After
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	select {
	case <-after(delay + t.jitter(delay)):
		return nil
	case <-ctx.Done():
		return interrupted(ctx)
	}
}

// jitter is a random part of a delay, at most a tenth. Without random numbers
// there is none: it protects servers from many tenants at once, nothing else.
func (t *Tenant) jitter(delay time.Duration) time.Duration {
	var b [2]byte
	if _, err := io.ReadFull(t.rand(), b[:]); err != nil {
		return 0
	}
	return delay / jitterPart * time.Duration(binary.BigEndian.Uint16(b[:])) / math.MaxUint16
}

// interrupted is why a context has ended, nil if it has not.
func interrupted(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, err) {
		return &interruption{cause: cause, err: err}
	}
	return err
}

// interruption is a context's end together with its cause, whose words it has.
type interruption struct{ cause, err error }

func (i *interruption) Error() string   { return i.cause.Error() }
func (i *interruption) Unwrap() []error { return []error{i.cause, i.err} }

// transient says whether a failed call may succeed a little later: no answer,
// or an answer from something that stands in for an overloaded server.
func transient(err error) bool {
	switch client.KindOf(err) {
	case client.Unreachable, client.TimedOut:
		return true
	}
	status := httpStatus(err)
	return status == 503 || status == 504
}

// httpStatus is the status of the answer inside an error, 0 if there is none.
func httpStatus(err error) int {
	var e *client.Error
	if errors.As(err, &e) {
		return e.HTTP
	}
	return 0
}

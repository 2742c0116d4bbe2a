package source

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// A server that was started a moment ago refuses connections until it listens;
// scripts start one and ask it at once, because upstream's tool needed a second
// to come up itself.
const (
	reachPause = 50 * time.Millisecond // before the first further try, doubled each time
	reachTries = 7                     // all in all, within 3.2 s
)

// reach is a GET of the first file of a repository: while the connection is
// refused it is tried again.
func (r *remote) reach(ctx context.Context, reference string, limit int64) ([]byte, error) {
	pause := reachPause
	for try := 1; ; try++ {
		content, err := r.get(ctx, reference, limit)
		if try == reachTries || !errors.Is(err, syscall.ECONNREFUSED) {
			return content, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

package source

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// reluctant refuses the first connections.
type reluctant struct {
	refusals int
	err      error
	onRefuse func()
	asked    int
}

func (r *reluctant) RoundTrip(q *http.Request) (*http.Response, error) {
	r.asked++
	if r.asked <= r.refusals {
		if r.onRefuse != nil {
			r.onRefuse()
		}
		return nil, r.err
	}
	return http.DefaultTransport.RoundTrip(q)
}

// TestRepositoryComesUp: a server that is just starting is waited for, any
// other failure is told at once.
func TestRepositoryComesUp(t *testing.T) {
	t.Parallel()
	_, request := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		name  string
		ctx   context.Context
		way   reluctant
		asked int
		want  string
	}{
		{"starting", t.Context(), reluctant{refusals: 1, err: syscall.ECONNREFUSED}, 5, ""},
		{"another failure", t.Context(), reluctant{refusals: 1, err: syscall.EHOSTUNREACH}, 1, "no route to host"},
		{"interrupted", ctx, reluctant{refusals: 9, err: syscall.ECONNREFUSED, onRefuse: cancel}, 1, "canceled"},
	} {
		request.HTTP = &http.Client{Transport: &c.way}
		_, err := Create(c.ctx, request)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || c.way.asked != c.asked {
			t.Errorf("%s: %v after %d requests", c.name, err, c.way.asked)
		}
		if c.want == "canceled" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

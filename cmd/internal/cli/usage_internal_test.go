package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/payload/ca"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// TestExitCode: each kind of failure has its code, however deep it lies.
func TestExitCode(t *testing.T) {
	t.Parallel()
	kind := func(k client.Kind) error { return &client.Error{Kind: k} }
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&statusError{Code: 42}, 42},
		{usagef("x"), 2},
		{&advisedError{Err: &config.Error{}}, 2},
		{&inputError{Err: errors.New("x")}, 2},
		{&tenant.InvalidError{}, 2},
		{&client.FileError{}, 2},
		{&quote.VerificationError{}, 3},
		{&ek.VerificationError{}, 3},
		{&tenant.RefusedError{}, 3},
		{kind(client.ServerUntrusted), 4},
		{kind(client.ClientRefused), 4},
		{kind(client.Unauthorized), 4},
		{&ca.Error{Err: ca.ErrName}, 2},
		{ca.ErrNoPassword, 2},
		{&tenant.NotFoundError{}, 5},
		{&caMissingError{}, 5},
		{&ca.Error{Err: ca.ErrNotFound}, 5},
		{kind(client.NotFound), 5},
		{kind(client.Unreachable), 6},
		{kind(client.TimedOut), 6},
		{&tenant.WaitError{}, 6},
		{context.DeadlineExceeded, 6},
		{&tenant.ConflictError{}, 7},
		{kind(client.Conflict), 7},
		{tenant.ErrPartial, 8},
		{errInterrupted, 130},
		{context.Canceled, 130},
		{kind(client.Canceled), 130},
		{&interruptedError{errors.New("x")}, 130},
		{kind(client.Refused), 1},
		{kind(client.Unreadable), 1},
	} {
		err := c.err
		if err != nil {
			err = &tenant.UndoneError{Err: &tenant.StepError{Err: fmt.Errorf("around: %w", c.err)}}
		}
		if got := exitCode(err); got != c.want {
			t.Errorf("%T %v: %d, want %d", c.err, c.err, got, c.want)
		}
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%T %v alone: %d, want %d", c.err, c.err, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"add", "update", "delete", "cvstatus", "cvlist", "reglist", "regstatus", "reactivate"}
	for word, want := range map[string]string{
		"delet": "delete", "detele": "delete", "upadte": "update", "cvstat": "cvstatus", "reg": "reglist", "CVLIST": "cvlist",
		"ad": "add", "aad": "add", "xyz": "", "": "", "zzzzzzzzz": "", "react": "reactivate",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestFormatIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""}, {[]string{"cvlist", "-o", "json"}, "json"}, {[]string{"-ojson"}, "json"}, {[]string{"-o=yaml"}, "yaml"},
		{[]string{"--output", "name"}, "name"}, {[]string{"--output=json", "-o", "yaml"}, "yaml"},
		{[]string{"-o"}, ""}, {[]string{"-o", "xml"}, ""}, {[]string{"--", "-o", "json"}, ""}, {[]string{"-other"}, ""},
	} {
		if got := formatIn(c.args); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"5": "5s", "0.25": "250ms", "1m30s": "1m30s", "10s": "10s", "0": "", "-1": "", "soon": "", "NaN": "", "Inf": "", "1e300": "", "": ""} {
		var s seconds
		err := s.Set(text)
		if (err != nil) != (want == "") || err == nil && s.String() != want {
			t.Errorf("%q: %q, %v; want %q", text, s.String(), err, want)
		}
	}
}

func TestExpandShorts(t *testing.T) {
	t.Parallel()
	got := fmt.Sprint(expandShorts([]string{"add", "x", "-tp", "9002", "-rp=8891", "-vp", "1", "-nvc", "-t", "h", "--", "-tp"}))
	if want := "[add x --targetport 9002 --registrarport=8891 --cvport 1 --no-verifier-check -t h -- -tp]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

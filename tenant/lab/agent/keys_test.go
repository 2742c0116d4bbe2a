package agent

import (
	"testing"

	"github.com/keylime/keylime-tenant/payload"
)

// TestAllPairsAreTried: shares of several tenants arrive in any order; only a
// pair whose K satisfies the tag counts.
func TestAllPairsAreTried(t *testing.T) {
	t.Parallel()
	const id = "agent-1"
	first, second := newKeys(t), newKeys(t)
	sealed := "c2VhbGVk"
	var s keyStore
	u := func(k payload.Keys, tag string) *shareU { return &shareU{k.U, tag, &sealed} }
	steps := []struct {
		name string
		u    *shareU
		v    *payload.Secret
		fits bool
	}{
		{"a U alone", u(first, payload.AuthTag(first.K, id)), nil, false},
		{"a V of another", nil, &second.V, false},
		{"a U with the tag of another agent", u(second, payload.AuthTag(second.K, "agent-2")), nil, false},
		{"the V of the first", nil, &first.V, true},
		{"the V again, all shares being used up", nil, &first.V, false},
	}
	for _, step := range steps {
		d := s.add(step.u, step.v, id)
		if (d != nil) != step.fits {
			t.Fatalf("%s: %v", step.name, d)
		}
		if d != nil && (!d.key.Equal(first.K) || d.sealed != sealed) {
			t.Errorf("%s: another key or payload", step.name)
		}
	}
	if !s.current().Equal(first.K) {
		t.Error("K is not kept")
	}
	for range 3 * maxShares {
		s.add(nil, &second.V, id)
	}
	if len(s.vs) > maxShares {
		t.Errorf("%d shares are kept", len(s.vs))
	}
}

func newKeys(t *testing.T) payload.Keys {
	t.Helper()
	k, err := payload.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

package tenant

import (
	"errors"
	"testing"

	"github.com/keylime/keylime-tenant/client"
)

// TestPolledVersion: an old verifier is told a version that it speaks.
func TestPolledVersion(t *testing.T) {
	t.Parallel()
	versions := func(names ...string) (list []client.Version) {
		for _, name := range names {
			v, err := client.ParseVersion(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, v)
		}
		return list
	}
	agent := versions("2.1", "2.2", "2.3", "2.4", "2.5", "2.6")
	for _, test := range []struct {
		name            string
		with            string
		agent, verifier []client.Version
		fixed, fallback bool
		want            string
	}{
		{name: "of the same age", with: "2.6", agent: agent, verifier: versions("1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"), want: "2.6"},
		{name: "7.12.1", with: "2.6", agent: agent, verifier: versions("1.0", "2.0", "2.1", "2.2", "2.3"), want: "2.3"},
		{name: "6.6.0", with: "2.6", agent: agent, verifier: versions("1.0", "2.0", "2.1"), want: "2.1"},
		{name: "not with the agent", with: "2.6", agent: versions("2.1", "2.6"), verifier: versions("2.0", "2.1", "2.2"), want: "2.1"},
		{name: "nothing in common", with: "2.6", agent: versions("2.6"), verifier: versions("1.0", "2.0", "2.1"), want: "2.6"},
		{name: "agent does not tell", with: "2.6", verifier: versions("2.0", "2.1"), want: "2.1"},
		{name: "newer verifier", with: "2.1", agent: versions("2.1"), verifier: versions("2.2", "2.3"), want: "2.1"},
		{name: "another major version", with: "2.6", agent: agent, verifier: versions("1.0", "3.0"), want: "2.6"},
		{name: "old agent", with: "1.0", verifier: versions("2.0", "2.1"), want: "1.0"},
		{name: "fixed by the caller", with: "2.6", agent: agent, verifier: versions("2.0", "2.1"), fixed: true, want: "2.6"},
		{name: "verifier does not tell", with: "2.6", agent: agent, verifier: versions("2.0"), fallback: true, want: "2.6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			with := versions(test.with)[0]
			e := &enrolment{t: &Tenant{verifierVersion: &client.Negotiation{Theirs: test.verifier, Fallback: test.fallback}}, plan: &plan{}, version: with, agentVersions: test.agent}
			if test.fixed {
				e.plan.version = &with
			}
			if got := e.polledVersion().String(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
	if got := (&enrolment{t: &Tenant{}, plan: &plan{}, version: versions("2.6")[0]}).polledVersion().String(); got != "2.6" {
		t.Errorf("without a verifier: %s", got)
	}
}

// TestOldVerifierHasNoNamedPolicies: what an old verifier would silently not
// enforce is refused.
func TestOldVerifierHasNoNamedPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant(t)
	tenant.verifierVersion = &client.Negotiation{Version: client.Version{Major: 2, Minor: 2}}
	r := goodAdd()
	r.Policies.MeasuredBootName = "web"
	_, err := tenant.Add(t.Context(), r)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || invalid.Kind != InvalidMBPolicy || len(w.posted) > 0 {
		t.Errorf("%v, posted %v", err, w.posted)
	}
}

// TestOldVerifierGivesVToEveryAgent: an agent without payload has a key all the
// same, with a verifier that fails without.
func TestOldVerifierGivesVToEveryAgent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		minor int
		push  bool
		keys  int
	}{{2, false, 1}, {3, false, 0}, {2, true, 0}} {
		w := newWorld(t)
		tenant := w.tenant(t)
		tenant.verifierVersion = &client.Negotiation{Version: client.Version{Major: 2, Minor: test.minor}}
		r := goodAdd()
		r.Payload, r.Push = PayloadInput{}, test.push
		result, err := tenant.Add(t.Context(), r)
		if err != nil || result.Payload || len(w.us) != test.keys || (w.posted[0].V != nil) != (test.keys == 1) {
			t.Errorf("API 2.%d: %+v, %v, %d shares, V %t", test.minor, result, err, len(w.us), w.posted[0].V != nil)
		}
	}
}

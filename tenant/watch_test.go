package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// said is what a snapshot tells: changes and notes.
func said(s *Snapshot) string {
	var list []string
	for _, c := range s.Changes {
		list = append(list, fmt.Sprintf("%s%s %s>%s", c.Agent, c.Server, c.From, c.To))
	}
	for _, n := range s.Notes {
		list = append(list, "note: "+n)
	}
	return strings.Join(list, "; ")
}

// watch looks as often as there are steps, each of which changes the servers
// before its look (the first before the second look).
func watch(t *testing.T, s *servers, r WatchRequest, steps ...func()) []*Snapshot {
	t.Helper()
	var seen []*Snapshot
	s.slept = func(d time.Duration) {
		if d != DefaultWatchInterval {
			t.Errorf("slept %v", d)
		}
		for i := range s.agents { // quotes go on being accepted
			if a := &s.agents[i]; a.State == verifier.GetQuote && a.AttestationCount > 0 {
				a.LastSuccessfulAttestation = s.now.Unix()
			}
		}
		steps[len(seen)-1]()
	}
	r.Looks = len(steps) + 1
	if err := s.tenant().Watch(context.Background(), r, func(shot *Snapshot) error {
		seen = append(seen, shot)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return seen
}

func nothing() {}

// TestWatchLoad: a look is one request to the verifier, and every fifth one to
// the registrar.
func TestWatchLoad(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("a")
	s.add("b")
	watch(t, s, WatchRequest{}, slices.Repeat([]func(){nothing}, 10)...)
	if s.calls["bulk "] != 11 || s.calls["list"] != 3 || s.calls["agent"] != 0 || s.calls["verifier version"] != 1 || s.calls["registrar version"] != 1 || len(s.calls) != 4 {
		t.Errorf("all: %v", s.calls)
	}
	s.calls = map[string]int{}
	watch(t, s, WatchRequest{FleetRequest: FleetRequest{Patterns: []string{"b"}}}, slices.Repeat([]func(){nothing}, 3)...)
	if s.calls["agent"] != 4 || s.calls["list"] != 1 || s.calls["bulk "] != 0 {
		t.Errorf("one: %v", s.calls)
	}
}

func TestWatchChanges(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("a")
	s.add("b")
	got := watch(t, s, WatchRequest{FleetRequest: FleetRequest{Only: []Health{HealthFailed}}},
		nothing,
		func() { s.agents[0].State = verifier.InvalidQuote },
		func() { s.add("c").AttestationCount = 0 },
		func() { s.agents = s.agents[1:] },           // the registrar still has it
		func() { s.ids = []string{"b", "c", "new"} }, // asked again at look 6
		func() { s.agents[1].AttestationCount = 1 },
	)
	for i, want := range []string{"", "", "a healthy>failed", "c absent>orphan", "a failed>unmonitored",
		"new absent>unmonitored; c orphan>pending; a unmonitored>absent", "c pending>healthy"} {
		if text := said(got[i]); text != want {
			t.Errorf("look %d: %s, want %s", i+1, text, want)
		}
	}
	if c := got[2].Changes[0]; c.Now == nil || c.Now.Health != HealthFailed || c.Reason == "" || c.At != got[2].Time {
		t.Errorf("change %+v", c)
	}
	if got[5].Changes[2].Now != nil {
		t.Error("an agent that is gone has a state")
	}
	if since := got[6].Since; since["b"] != got[0].Time || since["c"] != got[6].Time || since["new"] != got[5].Time || len(since) != 3 {
		t.Errorf("since %v", since)
	}
}

func TestWatchServers(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("a")
	down := func() { s.verifierErr = noConnection() }
	probes := 0
	r := WatchRequest{Probe: func(context.Context) (client.Negotiation, error) {
		probes++
		return client.Negotiation{Gone: probes == 2}, nil
	}}
	got := watch(t, s, r,
		down,
		func() { s.now = s.now.Add(time.Minute); s.agents[0].State = verifier.Failed }, // nobody sees it
		func() { s.verifierErr, s.registrarErr = nil, noConnection() },
		nothing, nothing, // look 6 asks the registrar
		func() { s.registrarErr = nil; s.verifierErr = noConnection() },
		func() { s.verifierErr = nil },
	)
	for i, want := range []string{"", "verifier reachable>unreachable", "", "verifier unreachable>reachable; a healthy>failed", "",
		"registrar reachable>unreachable", "verifier reachable>unreachable; registrar unreachable>reachable", "verifier unreachable>reachable; note: " + turned} {
		text := said(got[i])
		if i == 2 {
			text = strings.TrimPrefix(text, "note: the clock of this machine was moved by 1m2s: ages are counted by it")
		}
		if text != want {
			t.Errorf("look %d: %s, want %s", i+1, text, want)
		}
	}
	if got[2].Verifier.Reached || words(got[2].FleetResult) != "a healthy" || !strings.Contains(got[1].Changes[0].Reason, "connection refused") {
		t.Errorf("while the verifier was away: %+v", got[2].FleetResult)
	}
	// Its records grow older all the same.
	if age := *got[2].Agents[0].Age; age < 60 {
		t.Errorf("the last good quote is %d seconds old after a minute", age)
	}
	if probes != 2 || !got[7].Verifier.Push {
		t.Errorf("%d probes, %+v", probes, got[7].Verifier)
	}
}

func TestWatchPushMode(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("a")
	got := watch(t, s, WatchRequest{}, nothing, func() { s.agents[0].IP, s.agents[0].Port = nil, nil }, nothing)
	if said(got[1]) != "" || said(got[2]) != "note: "+turned || said(got[3]) != "" || !got[3].Verifier.Push || got[1].Verifier.Push {
		t.Errorf("by records: %s; %s; %s", said(got[1]), said(got[2]), said(got[3]))
	}
	s = newServers()
	s.add("a")
	got = watch(t, s, WatchRequest{}, func() { s.verifierErr = refusal(client.Refused, 410, "Gone") }, nothing)
	if said(got[1]) != "verifier reachable>unreachable; note: "+turned || said(got[2]) != "" {
		t.Errorf("by its answer: %s; %s", said(got[1]), said(got[2]))
	}
	s = newServers()
	s.add("a")
	s.gone = true
	if got = watch(t, s, WatchRequest{}, nothing); said(got[1]) != "" || !got[0].Verifier.Push {
		t.Errorf("from the beginning: %s", said(got[1]))
	}
}

// TestWatchClock: when the clock of this machine jumps, that is said, and an
// agent whose quotes are seen to come does not become stale by it.
func TestWatchClock(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		s := newServers()
		s.add("a")
		s.add("dead")
		w := newWatcher(s.tenant(), WatchRequest{})
		mono := time.Duration(0)
		w.elapsed = func() time.Duration { return mono }
		server := s.now // the verifier's clock
		for look := 1; look <= 6; look++ {
			s.agents[0].LastSuccessfulAttestation = server.Unix()
			got, err := w.look(context.Background(), look)
			if err != nil {
				t.Fatal(err)
			}
			note := strings.Contains(said(got), fmt.Sprintf("the clock of this machine was moved by %v", jump))
			if (look == 3) != note {
				t.Errorf("%v, look %d: %s", jump, look, said(got))
			}
			// words are sorted by health: find a.
			if i := slices.IndexFunc(got.Agents, func(a AgentHealth) bool { return a.ID == "a" }); got.Agents[i].Health != HealthHealthy || strings.Contains(got.Agents[i].Reason, "clocks") {
				t.Errorf("%v, look %d: %+v", jump, look, got.Agents[i])
			}
			mono, server, s.now = mono+2*time.Second, server.Add(2*time.Second), s.now.Add(2*time.Second)
			if look == 2 {
				s.now = s.now.Add(jump)
			}
		}
	}
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	s := newServers()
	s.add("a")
	pipe := errors.New("closed pipe")
	if err := s.tenant().Watch(context.Background(), WatchRequest{}, func(*Snapshot) error { return pipe }); !errors.Is(err, pipe) {
		t.Errorf("shown in vain: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	signal := errors.New("a signal")
	s.slept = func(time.Duration) { cancel(signal) }
	if err := s.tenant().Watch(ctx, WatchRequest{}, func(*Snapshot) error { return nil }); !errors.Is(err, signal) {
		t.Errorf("a signal: %v", err)
	}
	if err := s.tenant().Watch(context.Background(), WatchRequest{FleetRequest: FleetRequest{Patterns: []string{"a/b"}}}, nil); !isInvalid(InvalidAgentID)(err) {
		t.Errorf("bad id: %v", err)
	}
	s.registrarErr, s.verifierErr = noConnection(), noConnection()
	var both *BothError
	if err := s.tenant().Watch(context.Background(), WatchRequest{}, nil); !errors.As(err, &both) {
		t.Errorf("nobody there: %v", err)
	}
}

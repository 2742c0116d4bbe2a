package tenant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// DefaultWatchInterval is the time between two looks of [Tenant.Watch].
const DefaultWatchInterval = 2 * time.Second

// registrarEvery is how many looks go by between two questions to the
// registrar, whose list changes seldom.
const registrarEvery = 5

// The words of a [Change] that no agent's health has.
const (
	// ChangeAbsent: neither server knows the agent (any longer, or before).
	ChangeAbsent = "absent"
	// ChangeReached and ChangeLost are of servers.
	ChangeReached = "reachable"
	ChangeLost    = "unreachable"
)

// WatchRequest asks to follow agents. Its Only has no effect: an agent that
// leaves a selection would look like one that is gone.
type WatchRequest struct {
	FleetRequest
	// Interval is the time between two looks, 0 for [DefaultWatchInterval].
	Interval time.Duration
	// Looks ends the watch after so many; 0 is without end.
	Looks int
	// Probe settles the protocol with the verifier anew, on a new connection;
	// nil does not. It is asked after the verifier was lost.
	Probe func(context.Context) (client.Negotiation, error)
}

// Change is something that was not so at the look before.
type Change struct {
	At time.Time `json:"time"`
	// Agent is the id of the agent, Server the name of the server; one of them
	// is empty.
	Agent  string `json:"agent_id,omitempty"`
	Server string `json:"server,omitempty"`
	// From and To are words of [Healths], or the words above.
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	// Now is the agent as it is; nil for a server or an agent that is gone.
	Now *AgentHealth `json:"agent,omitempty"`
}

// Snapshot is what one look has shown.
type Snapshot struct {
	// FleetResult are the agents. While the verifier cannot be asked they are
	// those of the last look at which it could.
	*FleetResult
	// Look counts from 1.
	Look int
	// Since says from when on each agent has had its health, as far as it was
	// watched.
	Since map[string]time.Time
	// Changes since the look before, servers first; none at the first look.
	Changes []Change
	// Notes are sentences on what else has happened.
	Notes []string
}

// watcher is one call of [Tenant.Watch].
type watcher struct {
	t *Tenant
	r WatchRequest
	// elapsed is a clock that nobody sets, for what was seen here.
	elapsed func() time.Duration

	registered registeredList
	listed     bool // the registrar has answered once
	enrolled   []verifier.Agent
	last       *FleetResult
	since      map[string]time.Time
	grown      map[string]growth
	wall       time.Time
	mono       time.Duration
	push       bool
}

// growth is when a new good quote of an agent was last seen.
type growth struct {
	success int64
	at      time.Duration
	seen    bool
}

// Watch looks at all agents again and again and hands each [Snapshot] to show,
// until the context ends, show fails, or the looks asked for are done. A look
// is one request to the verifier: one record if a single id is followed, all
// records in bulk otherwise; every fifth also lists the registrar's agents. A
// server that fails is told of in the snapshot; only when neither answers at
// the first look, that is an error. Errors: *[InvalidError], *[BothError], that
// of show, and the end of the context.
func (t *Tenant) Watch(ctx context.Context, r WatchRequest, show func(*Snapshot) error) error {
	for _, pattern := range r.Patterns {
		if err := CheckPattern(pattern); err != nil {
			return err
		}
	}
	if r.Interval <= 0 {
		r.Interval = DefaultWatchInterval
	}
	r.Only = nil
	w := newWatcher(t, r)
	for look := 1; ; look++ {
		snapshot, err := w.look(ctx, look)
		if err != nil {
			return err
		}
		if err := show(snapshot); err != nil {
			return err
		}
		if r.Looks > 0 && look >= r.Looks {
			return nil
		}
		if err := t.sleep(ctx, r.Interval); err != nil {
			return err
		}
	}
}

func newWatcher(t *Tenant, r WatchRequest) *watcher {
	start := time.Now()
	return &watcher{t: t, r: r, elapsed: func() time.Duration { return time.Since(start) },
		since: map[string]time.Time{}, grown: map[string]growth{}}
}

func (w *watcher) look(ctx context.Context, look int) (*Snapshot, error) {
	registrarErr, verifierErr := w.ask(ctx, look)
	if err := interrupted(ctx); err != nil {
		return nil, err
	}
	if look == 1 && registrarErr != nil && verifierErr != nil {
		return nil, &BothError{Verifier: verifierErr, Registrar: registrarErr}
	}
	s := &Snapshot{Look: look}
	now, mono := w.t.now(), w.elapsed()
	w.noteClock(s, now, mono)
	s.FleetResult = w.result(now, mono, registrarErr, verifierErr)
	if w.last != nil {
		w.noteServers(ctx, s)
		w.noteAgents(s)
	}
	w.noteMode(s)
	for _, a := range s.Agents {
		if _, known := w.since[a.ID]; !known {
			w.since[a.ID] = s.Time
		}
	}
	s.Since = maps.Clone(w.since) // the reader may be another goroutine
	w.last = s.FleetResult
	return s, nil
}

// ask asks the servers that are due.
func (w *watcher) ask(ctx context.Context, look int) (registrarErr, verifierErr error) {
	if !w.listed || (look-1)%registrarEvery == 0 || w.last != nil && !w.last.Registrar.Reached {
		ids, err := w.t.registrarIDs(ctx)
		if err == nil {
			w.registered, w.listed = registeredList{ids: ids}, true
		} else if !w.listed {
			w.registered.err = err
		}
		registrarErr = err
	}
	agents, err := w.agents(ctx)
	if err != nil {
		return registrarErr, err
	}
	w.enrolled = agents
	return registrarErr, nil
}

// agents reads the record of the only agent that is followed, or all.
func (w *watcher) agents(ctx context.Context) ([]verifier.Agent, error) {
	if len(w.r.Patterns) != 1 || isPattern(w.r.Patterns[0]) {
		return w.t.bulk(ctx, w.r.VerifierID)
	}
	id := w.r.Patterns[0]
	if err := w.t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepStatus, ID: id, Err: err}
	}
	found, _, err := w.t.Verifier.Agent(ctx, id)
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, &StepError{Step: StepStatus, ID: id, Err: err}
	}
	return []verifier.Agent{*found}, nil
}

// result is the joined view. While the verifier cannot be asked, nobody is
// judged anew: that its records grow old says nothing about the agents.
func (w *watcher) result(now time.Time, mono time.Duration, registrarErr, verifierErr error) *FleetResult {
	f := &FleetResult{Schema: SchemaFleet, Time: now.UTC().Truncate(time.Second)}
	f.Registrar = w.t.serverState(w.t.RegistrarConn, registrarErr)
	f.Verifier = w.t.serverState(w.t.VerifierConn, verifierErr)
	f.Verifier.Push = w.push
	if verifierErr != nil && w.last != nil && w.last.Agents != nil {
		f.Agents, f.Summary, f.Missing = older(w.last.Agents, f.Time.Sub(w.last.Time)), w.last.Summary, w.last.Missing
		return f
	}
	f.join(w.r.FleetRequest, func(a *verifier.Agent) time.Duration { return w.age(a, now, mono) }, w.registered, w.enrolled)
	return f
}

// older are agents as they were, some time later.
func older(agents []AgentHealth, by time.Duration) []AgentHealth {
	list := slices.Clone(agents)
	for i := range list {
		if age := list[i].Age; age != nil {
			now := *age + int64(by/time.Second)
			list[i].Age = &now
		}
	}
	return list
}

// age is how old the last good quote of an agent is. A new one that was seen
// here is no older than that, whatever the clocks of the two machines say.
func (w *watcher) age(a *verifier.Agent, now time.Time, mono time.Duration) time.Duration {
	age, g := ageOf(a, now), w.grown[a.ID]
	if first := g == (growth{}); first || a.LastSuccessfulAttestation != g.success {
		g = growth{success: a.LastSuccessfulAttestation, at: mono, seen: !first}
		w.grown[a.ID] = g
	}
	if seen := mono - g.at; g.seen && (age > seen || age < -skew) {
		return seen
	}
	return age
}

// noteClock tells of a clock that was set: then ages are wrong.
func (w *watcher) noteClock(s *Snapshot, now time.Time, mono time.Duration) {
	if w.last != nil {
		jump := now.Round(0).Sub(w.wall) - (mono - w.mono)
		if jump = jump.Round(time.Second); jump > skew || jump < -skew {
			s.Notes = append(s.Notes, fmt.Sprintf("the clock of this machine was moved by %v: ages are counted by it", jump))
		}
	}
	w.wall, w.mono = now.Round(0), mono
}

// noteServers tells of servers that were lost or are back.
func (w *watcher) noteServers(ctx context.Context, s *Snapshot) {
	for _, server := range []struct {
		name        string
		before, now ServerState
	}{{ServerVerifier, w.last.Verifier, s.Verifier}, {ServerRegistrar, w.last.Registrar, s.Registrar}} {
		switch {
		case server.before.Reached == server.now.Reached:
		case server.now.Reached:
			s.Changes = append(s.Changes, Change{At: s.Time, Server: server.name, From: ChangeLost, To: ChangeReached, Reason: "it answers again"})
			if server.name == ServerVerifier {
				w.probe(ctx, s)
			}
		default:
			s.Changes = append(s.Changes, Change{At: s.Time, Server: server.name, From: ChangeReached, To: ChangeLost, Reason: stepText(server.now.Err)})
		}
	}
}

// probe asks a verifier that was restarted in which model it runs.
func (w *watcher) probe(ctx context.Context, s *Snapshot) {
	if w.r.Probe == nil || w.t.verifierVersion == nil {
		return
	}
	n, err := w.r.Probe(ctx)
	if err != nil || n.Gone == w.t.verifierVersion.Gone {
		return
	}
	w.t.verifierVersion = &n
	w.push, s.Verifier.Push = n.Gone, n.Gone
	if n.Gone {
		s.Notes = append(s.Notes, turned)
	} else {
		s.Notes = append(s.Notes, "the verifier has left the push model: it asks its agents for quotes again")
	}
}

// turned is said when a verifier changes to the push model.
const turned = "the verifier has turned to the push model: it asks no agent for quotes any longer, agents have to come"

// noteMode tells when the verifier turns to the push model, which its answer to
// a request, or the records it shows, give away.
func (w *watcher) noteMode(s *Snapshot) {
	gone := w.t.verifierVersion != nil && w.t.verifierVersion.Gone
	var failure *client.Error
	if errors.As(s.Verifier.Err, &failure) && failure.HTTP == http.StatusGone {
		gone = true
	}
	if s.Verifier.Reached && !gone && len(w.enrolled) > 0 {
		gone = true
		for i := range w.enrolled {
			gone = gone && push(&w.enrolled[i])
		}
	}
	if gone && !w.push && w.last != nil {
		s.Notes = append(s.Notes, turned)
	}
	w.push, s.Verifier.Push = gone || w.push && !s.Verifier.Reached, gone || w.push && !s.Verifier.Reached
}

// noteAgents tells of agents whose health has changed.
func (w *watcher) noteAgents(s *Snapshot) {
	if !s.Verifier.Reached {
		return
	}
	before := make(map[string]*AgentHealth, len(w.last.Agents))
	for i := range w.last.Agents {
		before[w.last.Agents[i].ID] = &w.last.Agents[i]
	}
	for i := range s.Agents {
		now := &s.Agents[i]
		from, word := before[now.ID], ChangeAbsent
		delete(before, now.ID)
		if from != nil {
			word = string(from.Health)
		}
		if word == string(now.Health) {
			continue
		}
		w.since[now.ID] = s.Time
		s.Changes = append(s.Changes, Change{At: s.Time, Agent: now.ID, From: word, To: string(now.Health), Reason: now.Reason, Now: now})
	}
	for _, gone := range w.last.Agents {
		if before[gone.ID] == nil {
			continue
		}
		delete(w.since, gone.ID)
		delete(w.grown, gone.ID)
		s.Changes = append(s.Changes, Change{At: s.Time, Agent: gone.ID, From: string(gone.Health), To: ChangeAbsent, Reason: "neither server knows it any longer"})
	}
}

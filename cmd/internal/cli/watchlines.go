package cli

import (
	"context"
	"errors"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// schemaWatch is the schema of the lines of watch -o jsonl.
const schemaWatch = "keylime_tenant/watch/v1"

// The events of watch -o jsonl.
const (
	watchStarted = "start"
	watchAgent   = "state" // an agent that is not well when the watch begins
	watchChanged = "change"
	watchNoted   = "note"
)

// watchLine is one line of watch where there is no screen for a table.
type watchLine struct {
	Schema string    `json:"schema"`
	Event  string    `json:"event"`
	Time   time.Time `json:"time"`
	// Summary counts agents by health, at the start.
	Summary  map[tenant.Health]int `json:"summary,omitempty"`
	Interval float64               `json:"interval_seconds,omitempty"`
	// Agent, Server, From, To and Reason are those of a [tenant.Change].
	Agent  string `json:"agent_id,omitempty"`
	Server string `json:"server,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Now is the agent as it is.
	Now *tenant.AgentHealth `json:"agent,omitempty"`
	// Note is a sentence on what else has happened.
	Note string `json:"note,omitempty"`
	text string
}

// Screen is the line as a person reads it.
func (l watchLine) Screen() render.Screen {
	return render.Screen{{Text: l.Time.Format(time.RFC3339) + "  " + l.text}}
}

// errReaderGone is why a watch ends that writes into a pipe.
var errReaderGone = errors.New("nobody reads it any longer")

// lines follows line by line: first how many agents there are and which are
// not well, then each change.
func (w *watch) lines(ctx context.Context, t *tenant.Tenant) error {
	return t.Watch(ctx, w.request, func(s *tenant.Snapshot) error {
		if readerGone(w.a.out()) {
			return &outputError{Path: "standard output", Err: errReaderGone}
		}
		for _, line := range w.linesOf(s) {
			if err := w.a.show(line); err != nil {
				return &outputError{Path: "standard output", Err: err}
			}
		}
		return nil
	})
}

func (w *watch) linesOf(s *tenant.Snapshot) []watchLine {
	var lines []watchLine
	add := func(l watchLine) {
		l.Schema, l.Time = schemaWatch, s.Time
		lines = append(lines, l)
	}
	if s.Look == 1 {
		add(watchLine{Event: watchStarted, Summary: s.Summary, Interval: w.request.Interval.Seconds(), text: render.SummaryOf(s.FleetResult)})
		for _, server := range []struct {
			name  string
			state tenant.ServerState
		}{{tenant.ServerVerifier, s.Verifier}, {tenant.ServerRegistrar, s.Registrar}} {
			if !server.state.Reached {
				c := tenant.Change{Server: server.name, To: tenant.ChangeLost, Reason: server.state.Error}
				add(watchLine{Event: watchChanged, Server: c.Server, To: c.To, Reason: c.Reason, text: server.name + "  " + c.To + "  " + render.Safe(c.Reason)})
			}
		}
		for i := range s.Agents {
			if a := &s.Agents[i]; notWell(a.Health) && w.shows(tenant.Change{Agent: a.ID, To: string(a.Health)}) {
				add(watchLine{Event: watchAgent, Agent: a.ID, To: string(a.Health), Reason: a.Reason, Now: a,
					text: render.Safe(a.ID) + "  " + string(a.Health) + "  " + render.Safe(a.Reason)})
			}
		}
	}
	for _, c := range w.changes(s) {
		add(watchLine{Event: watchChanged, Agent: c.Agent, Server: c.Server, From: c.From, To: c.To, Reason: c.Reason, Now: c.Now, text: render.ChangeText(c)})
	}
	for _, note := range s.Notes {
		add(watchLine{Event: watchNoted, Note: note, text: "note: " + note})
	}
	return lines
}

// notWell says that a health needs somebody's attention.
func notWell(h tenant.Health) bool {
	switch h {
	case tenant.HealthFailed, tenant.HealthStale, tenant.HealthLate, tenant.HealthStopped:
		return true
	}
	return false
}

package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/keylime/keylime-tenant/tenant"
)

// WatchScreen is a terminal on which agents are watched.
type WatchScreen struct {
	// Width and Height are in characters; 0 is taken for 80 by 24.
	Width, Height int
	Color         bool
}

// WatchState is what a [WatchScreen] shows.
type WatchState struct {
	Snapshot *tenant.Snapshot
	// Recent are the changes so far, the newest last; Notes the sentences on
	// what else has happened.
	Recent []tenant.Change
	Notes  []string
	// Elapsed is the time since the snapshot was made.
	Elapsed, Interval time.Duration
	// Only selects words for health; none means all. Troubled leaves out those
	// that are well.
	Only     []tenant.Health
	Troubled bool
	// Offset is the first row shown; see [WatchScreen.Clamp].
	Offset int
}

// The least numbers of rows that a screen is divided for.
const (
	watchWidth, watchHeight = 80, 24
	// watchFrame are the lines around the rows: two of title, an empty one, the
	// header, and the line of keys.
	watchFrame = 5
	// watchRecent is how many changes are shown at most.
	watchRecent = 6
	// newsRest is the room that time and change need beside an id, newsID the
	// least that is left of the id.
	newsRest, newsID = 50, 8
)

func (w WatchScreen) size() (width, height int) {
	if width = w.Width; width <= 0 {
		width = watchWidth
	}
	if height = w.Height; height <= 0 {
		height = watchHeight
	}
	return width, height
}

// split divides the height between the rows and what has happened.
func (w WatchScreen) split(s WatchState) (rows, news int) {
	_, height := w.size()
	news = min(len(s.Recent)+len(s.Notes), watchRecent, max(0, (height-watchFrame)/3))
	rows = height - watchFrame - news
	if news > 0 {
		rows-- // the line between
	}
	return max(rows, 1), news
}

// Page is how many agents the screen shows at once.
func (w WatchScreen) Page(s WatchState) int {
	rows, _ := w.split(s)
	return rows
}

// Clamp is the offset nearest to the one in the state that shows a full screen.
func (w WatchScreen) Clamp(s WatchState) int {
	return max(0, min(s.Offset, len(s.agents())-w.Page(s)))
}

// agents are those that are to be shown.
func (s WatchState) agents() []tenant.AgentHealth {
	if len(s.Only) == 0 && !s.Troubled {
		return s.Snapshot.Agents
	}
	var list []tenant.AgentHealth
	for _, a := range s.Snapshot.Agents {
		if (len(s.Only) == 0 || slices.Contains(s.Only, a.Health)) && !(s.Troubled && a.Health == tenant.HealthHealthy) {
			list = append(list, a)
		}
	}
	return list
}

// View is the whole screen; no line is wider than the screen, and there are no
// more lines than it has.
func (w WatchScreen) View(s WatchState) string {
	width, height := w.size()
	p := palette{w.Color}
	rows, news := w.split(s)
	agents := s.agents()
	first := w.Clamp(s)
	last := min(first+rows, len(agents))
	lines := []string{w.title(s, p), w.servers(s, p), ""}
	if len(agents) == 0 {
		lines = append(lines, "no agents")
	} else {
		lines = append(lines, w.table(s, agents[first:last], p)...)
	}
	for len(lines) < watchFrame-1+rows {
		lines = append(lines, "")
	}
	if news > 0 {
		lines = append(lines, p.faint(strings.Repeat("-", min(width, 20))))
		lines = append(lines, newsOf(s, news, width, p)...)
	}
	keys := "q quits, arrows and PgUp/PgDn scroll, t shows all or only trouble"
	if len(agents) > rows {
		keys = fmt.Sprintf("%d-%d of %d; %s", first+1, last, len(agents), keys)
	}
	lines = append(lines, p.faint(keys))
	if len(lines) > height {
		lines = lines[:height]
	}
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, cutMark)
	}
	return strings.Join(lines, "\n")
}

func (w WatchScreen) title(s WatchState, p palette) string {
	at := s.Snapshot.Time.Add(s.Elapsed).Local().Format(time.TimeOnly)
	return p.bold(SummaryOf(s.Snapshot.FleetResult)) + p.faint(fmt.Sprintf("  %s, every %s", at, Duration(s.Interval)))
}

func (w WatchScreen) servers(s WatchState, p palette) string {
	var parts []string
	for _, server := range []struct {
		name  string
		state tenant.ServerState
	}{{"verifier", s.Snapshot.Verifier}, {"registrar", s.Snapshot.Registrar}} {
		text := server.name + " " + Safe(server.state.Address)
		switch {
		case !server.state.Reached:
			text = p.red(Safe(firstLine(server.state.Error)))
		case server.state.Push:
			text += " (push model)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// table is the header and the rows of the agents given.
func (w WatchScreen) table(s WatchState, agents []tenant.AgentHealth, p palette) []string {
	width, _ := w.size()
	t := Table{Header: []string{"ID", "HEALTH", "SINCE", "QUOTES", "LAST GOOD", "REASON"},
		Columns: []Column{{Min: 8, Middle: true}, {}, {Drop: 2}, {Drop: 1}, {Drop: 3}, {Min: 12, Drop: 4}}}
	now := s.Snapshot.Time.Add(s.Elapsed)
	for i := range agents {
		a := agents[i]
		if a.Age != nil {
			older := *a.Age + int64(s.Elapsed/time.Second)
			a.Age = &older
		}
		since := "-"
		if at, known := s.Snapshot.Since[a.ID]; known {
			since = Duration(max(0, now.Sub(at).Truncate(time.Second)))
		}
		t.Rows = append(t.Rows, []string{Safe(a.ID), p.tone(healthTone(a.Health), string(a.Health)), since, quotesOf(&a), AgeOf(&a), reasonOf(&a)})
	}
	var b strings.Builder
	if err := writeTable(&b, t, width); err != nil { // of the library, for a table that is none
		return []string{err.Error()}
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// newsOf are the last things that have happened, the newest last. Where there is
// little room an id gives way to what has happened.
func newsOf(s WatchState, most, width int, p palette) []string {
	var lines []string
	for _, note := range s.Notes {
		lines = append(lines, p.yellow("note: ")+note)
	}
	for _, c := range s.Recent {
		lines = append(lines, c.At.Local().Format(time.TimeOnly)+"  "+changeText(c, max(newsID, width-newsRest), p))
	}
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return lines
}

// ChangeText says what has changed, and why, in one line.
func ChangeText(c tenant.Change) string { return changeText(c, 0, palette{}) }

// changeText cuts the id of the agent to a width, 0 for none.
func changeText(c tenant.Change, width int, p palette) string {
	who, tone := Safe(c.Agent), healthTone(tenant.Health(c.To))
	if width > 0 {
		who = cut(who, width, true)
	}
	if c.Server != "" {
		who, tone = c.Server, Bad
		if c.To == tenant.ChangeReached {
			tone = Good
		}
	}
	return fmt.Sprintf("%s  %s -> %s  %s", who, c.From, p.tone(tone, c.To), Safe(firstLine(c.Reason)))
}

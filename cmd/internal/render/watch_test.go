package render_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// watched is a state with five agents, and one change.
func watched() render.WatchState {
	f := fleet()
	return render.WatchState{
		Snapshot: &tenant.Snapshot{FleetResult: f, Look: 3, Since: map[string]time.Time{"bad": f.Time.Add(-4 * time.Second), "good": f.Time.Add(-90 * time.Second)}},
		Recent:   []tenant.Change{{At: f.Time, Agent: "bad", From: "healthy", To: "failed", Reason: "a file was used"}},
		Interval: 2 * time.Second, Elapsed: time.Second,
	}
}

func TestWatchView(t *testing.T) {
	t.Parallel()
	at := clock().Add(time.Second).Local().Format(time.TimeOnly)
	changed := clock().Local().Format(time.TimeOnly)
	got := render.WatchScreen{Width: 90, Height: 14}.View(watched())
	want := `5 agents: 1 failed, 1 unmonitored, 1 pending, 2 healthy  ` + at + `, every 2s
verifier v, registrar r

ID              HEALTH       SINCE  QUOTES  LAST GOOD      REASON
bad             failed       5s     7       4s ago         a file was used
"alone\x1b[2J"  unmonitored  -      -       -              registered
new             pending      -      0       never          never attested
clock           healthy      -      1       in the future  the clocks differ
good            healthy      1m31s  9       4s ago


--------------------
` + changed + `  bad  healthy -> failed  a file was used
q quits, arrows and PgUp/PgDn scroll, t shows all or only trouble`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWatchViewFits: whatever the terminal, no line is too long, and there are
// no more lines than it has.
func TestWatchViewFits(t *testing.T) {
	t.Parallel()
	s := watched()
	s.Snapshot.Verifier = tenant.ServerState{Address: "v", Error: "cannot be reached\nat all \x1b[2J", Err: errors.New("x")}
	s.Notes = []string{strings.Repeat("the clock of this machine was moved ", 5)}
	for range 10 {
		s.Recent = append(s.Recent, s.Recent[0])
	}
	s.Recent[10].Agent = "d432fbb3-d2f1-4a97-9ef7-75bd81c00001"
	for _, color := range []bool{false, true} {
		for width := 1; width <= 120; width += 7 {
			for height := 1; height <= 40; height += 3 {
				view := render.WatchScreen{Width: width, Height: height, Color: color}.View(s)
				lines := strings.Split(view, "\n")
				if len(lines) > height {
					t.Errorf("%dx%d: %d lines", width, height, len(lines))
				}
				for _, line := range lines {
					if n := ansi.StringWidth(line); n > width {
						t.Errorf("%dx%d: %d columns: %q", width, height, n, line)
					}
				}
				if strings.Contains(view, "\x1b[2J") || !color && strings.Contains(view, "\x1b") {
					t.Errorf("%dx%d: %q", width, height, view)
				}
			}
		}
	}
	// On a narrow terminal the id gives way, not what has happened.
	if view := (render.WatchScreen{Width: 40, Height: 16}).View(s); !strings.Contains(view, "d43…0001  healthy -> ") {
		t.Errorf("40 columns:\n%s", view)
	}
	if view := (render.WatchScreen{Width: 80, Height: 24}).View(s); !strings.Contains(view, "cannot be reached, registrar r\n") {
		t.Errorf("a server away:\n%s", view)
	}
}

func TestWatchSelection(t *testing.T) {
	t.Parallel()
	w := render.WatchScreen{Width: 90, Height: 10} // four rows
	s := watched()
	s.Recent = nil
	for _, c := range []struct {
		name     string
		change   func(*render.WatchState)
		has, not string
	}{
		{"trouble", func(s *render.WatchState) { s.Troubled = true }, "bad ", "good "},
		{"only", func(s *render.WatchState) { s.Only = []tenant.Health{tenant.HealthPending} }, "new ", "bad "},
		{"only, and trouble", func(s *render.WatchState) { s.Only, s.Troubled = []tenant.Health{tenant.HealthHealthy}, true }, "no agents", "good "},
		{"top", func(*render.WatchState) {}, "1-5 of", "x"},
		{"beyond the end", func(s *render.WatchState) { s.Offset = 100 }, "good ", "x"},
		{"before the top", func(s *render.WatchState) { s.Offset = -100 }, "bad ", "x"},
	} {
		state := s
		c.change(&state)
		view := w.View(state)
		if c.name == "top" {
			c.has = "bad "
		}
		if !strings.Contains(view, c.has) || c.not != "x" && strings.Contains(view, c.not) {
			t.Errorf("%s:\n%s", c.name, view)
		}
	}
	small := render.WatchScreen{Width: 90, Height: 8}
	s.Offset = 100
	if offset, page := small.Clamp(s), small.Page(s); page != 3 || offset != 2 || !strings.Contains(small.View(s), "3-5 of 5; q quits") {
		t.Errorf("page %d, offset %d\n%s", page, offset, small.View(s))
	}
}

func TestChangeText(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]tenant.Change{
		"x  healthy -> failed  why":                        {Agent: "x", From: "healthy", To: "failed", Reason: "why"},
		"verifier  reachable -> unreachable  cut":          {Server: "verifier", From: tenant.ChangeReached, To: tenant.ChangeLost, Reason: "cut\noff"},
		`"x\x1b[2J"  absent -> pending  "\x1b[31m is red"`: {Agent: "x\x1b[2J", From: tenant.ChangeAbsent, To: "pending", Reason: "\x1b[31m is red"},
	} {
		if got := render.ChangeText(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func BenchmarkWatchView10000(b *testing.B) {
	s := watched()
	few := s.Snapshot.Agents
	for i := range 10_000 {
		s.Snapshot.Agents = append(s.Snapshot.Agents, few[i%len(few)])
	}
	for b.Loop() {
		render.WatchScreen{Width: 100, Height: 50, Color: true}.View(s)
	}
}

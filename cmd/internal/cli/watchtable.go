package cli

import (
	"context"
	"errors"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// recentKept is how many changes and notes the table remembers.
const recentKept = 50

// watchHeight is the number of lines of a terminal that does not tell.
const watchHeight = 24

// watchModel is the table of watch on a terminal.
type watchModel struct {
	screen render.WatchScreen
	state  render.WatchState
	// taken is when the snapshot came, by a clock that nobody sets.
	taken       time.Time
	interrupted bool
}

// Messages of the table.
type (
	watchShot struct {
		snapshot *tenant.Snapshot
		changes  []tenant.Change
	}
	watchSaid string
	watchTick time.Time
)

func tick() tea.Cmd {
	return tea.Tick(time.Second, func(at time.Time) tea.Msg { return watchTick(at) })
}

// Init starts the clock.
func (m *watchModel) Init() tea.Cmd { return tick() }

// Update takes a snapshot, a key, or another second.
func (m *watchModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.screen.Width, m.screen.Height = msg.Width, msg.Height
	case watchShot:
		m.take(msg)
	case watchSaid:
		m.state.Notes = kept(append(m.state.Notes, "exec: "+string(msg)))
	case watchTick:
		m.state.Elapsed = time.Since(m.taken)
		return m, tick()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	m.state.Offset = m.screen.Clamp(m.state)
	return m, nil
}

func (m *watchModel) take(shot watchShot) {
	m.state.Snapshot, m.taken, m.state.Elapsed = shot.snapshot, time.Now(), 0
	m.state.Recent = kept(append(m.state.Recent, shot.changes...))
	if len(shot.snapshot.Notes) > 0 {
		m.state.Notes = kept(append(m.state.Notes, shot.snapshot.Notes...))
	}
}

// kept are the last of a list.
func kept[T any](list []T) []T { return list[max(0, len(list)-recentKept):] }

func (m *watchModel) key(name string) tea.Cmd {
	page := m.screen.Page(m.state)
	switch name {
	case "ctrl+c":
		m.interrupted = true
		return tea.Quit
	case "q", "esc":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "t":
		m.state.Troubled = !m.state.Troubled
	case "up", "k":
		m.state.Offset--
	case "down", "j":
		m.state.Offset++
	case "pgup", "b":
		m.state.Offset -= page
	case "pgdown", "space", "f":
		m.state.Offset += page
	case "home", "g":
		m.state.Offset = 0
	case "end", "G":
		m.state.Offset = len(m.state.Snapshot.Agents)
	}
	m.state.Offset = m.screen.Clamp(m.state)
	return nil
}

// View draws the table in the alternate screen, which the terminal forgets when
// the watch ends.
func (m *watchModel) View() tea.View {
	v := tea.NewView(m.screen.View(m.state))
	v.AltScreen = true
	v.WindowTitle = programName + " watch"
	return v
}

// table follows in a table that keeps itself current. The screen is taken only
// once there is something to show, so that a failure to begin is told plainly.
func (w *watch) table(ctx context.Context, t *tenant.Tenant) error {
	ctx, cancel := context.WithCancelCause(ctx)
	shots, ended := make(chan watchShot), make(chan struct{})
	var failure error
	go func() {
		defer close(ended)
		failure = t.Watch(ctx, w.request, func(s *tenant.Snapshot) error {
			select {
			case shots <- watchShot{s, w.changes(s)}:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	defer func() {
		cancel(errWatchEnded)
		<-ended
	}()
	model := &watchModel{screen: render.WatchScreen{Color: w.a.colors() && w.a.streams.OutTTY}, state: render.WatchState{Interval: w.request.Interval, Only: w.only}}
	select {
	case <-ended:
		return failure
	case shot := <-shots:
		model.take(shot)
	}
	err := w.draw(model, shots, ended)
	select {
	case <-ended:
		return errors.Join(err, failure)
	default:
		return err
	}
}

// errWatchEnded is the cause of a watch that its reader has ended.
var errWatchEnded = errors.New("the watch was ended")

// draw runs the table until a key or the end of the watch ends it.
func (w *watch) draw(model *watchModel, shots <-chan watchShot, ended <-chan struct{}) error {
	// Signals are the business of Main.
	options := []tea.ProgramOption{tea.WithInput(w.a.streams.In), tea.WithOutput(w.a.out()), tea.WithEnvironment(w.a.env), tea.WithoutSignalHandler()}
	if _, file := w.a.out().(*os.File); !file { // which cannot be asked for its size
		options = append(options, tea.WithWindowSize(w.a.streams.Width, watchHeight))
	}
	p := tea.NewProgram(model, options...)
	done, forwarded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(forwarded)
		for {
			select {
			case shot := <-shots:
				p.Send(shot)
			case <-ended:
				p.Quit()
				return
			case <-done:
				return
			}
		}
	}()
	w.screen.Store(p)
	_, err := p.Run()
	w.screen.Store(nil)
	close(done)
	<-forwarded
	if err == nil && model.interrupted {
		err = errInterrupted
	}
	return err
}

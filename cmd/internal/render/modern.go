package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
)

// Modern is the presenter of the modern contract.
type Modern struct {
	o        Options
	out, err palette
	// written says that a document is on stdout already: there must be no second.
	written bool
}

// New makes the presenter of the modern contract.
func New(o Options) *Modern {
	if o.Format == "" {
		o.Format = FormatTable
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Verbose = (o.Verbose || o.Debug) && !o.Quiet
	o.Steps = o.Steps && !o.Quiet
	return &Modern{o: o, out: palette{o.Color}, err: palette{o.ErrColor}}
}

// Event shows warnings always, and steps where they were asked for.
func (m *Modern) Event(e tenant.Event) {
	if text, hint := warningOf(e); text != "" {
		m.line(m.err.yellow("warning:"), text)
		m.hint(hint)
		return
	}
	text := ""
	if m.o.Steps || m.o.Verbose {
		text = stepOf(e)
	}
	if m.o.Verbose && text == "" {
		text = detailOf(e)
	}
	if text != "" {
		m.line(m.err.faint("-"), text)
	}
}

// Trace shows a request, its answer and how long it took.
func (m *Modern) Trace(t client.Trace) {
	if !m.o.Debug {
		return
	}
	outcome := fmt.Sprintf("%d, %d bytes", t.HTTP, t.Received)
	if t.Err != nil {
		outcome = t.Err.Error()
	}
	m.line(m.err.faint("debug:"), fmt.Sprintf("%s %s: %s in %s", t.Method, t.URL, outcome, t.Duration.Round(100*time.Microsecond)))
}

// Result writes the outcome to stdout in the format asked for.
func (m *Modern) Result(verb string, result any) error {
	if result == nil {
		return nil
	}
	switch m.o.Format {
	case FormatJSON, FormatYAML:
		return m.document(m.reveal(result))
	case FormatLines:
		return m.lines(result)
	case FormatName:
		names, ok := namesOf(result)
		if !ok {
			return nil
		}
		for _, name := range names {
			if _, err := fmt.Fprintln(m.o.Out, Safe(name)); err != nil {
				return err
			}
		}
		return nil
	}
	screen := m.screenOf(verb, result)
	for _, section := range screen {
		if t := section.Table; t != nil && len(t.Rows) == 0 && t.Empty != "" && !m.o.Quiet {
			fmt.Fprintln(m.o.Err, t.Empty)
		}
	}
	width := m.o.Width
	if m.o.Format == FormatWide {
		width = 0
	}
	if err := writeScreen(m.o.Out, screen, m.out, width); err != nil {
		return err
	}
	if f, ok := result.(*tenant.FleetResult); ok && len(f.Agents) > 0 && !m.o.Quiet {
		fmt.Fprintln(m.o.Err, SummaryOf(f))
	}
	return nil
}

func (m *Modern) document(value any) error {
	m.written = true
	if m.o.Format == FormatYAML {
		return writeYAML(m.o.Out, value)
	}
	return writeJSON(m.o.Out, value)
}

// Fail says what went wrong on stderr, and, where stdout is for a machine that
// has not had its document yet, as a document there.
func (m *Modern) Fail(_ string, err error) {
	f := explain(err)
	m.line(m.err.red("error:"), f.Message)
	for _, done := range f.Undone {
		m.line("undone:", done)
	}
	for _, left := range f.Left {
		m.line(m.err.yellow("left:"), left.What)
		if len(left.Command) > 0 {
			m.hint(Command(left.Command))
		}
	}
	m.hint(f.Hint)
	if m.written || m.o.Format != FormatJSON && m.o.Format != FormatYAML && m.o.Format != FormatLines {
		return
	}
	if m.o.ExitCode != nil {
		f.ExitCode = m.o.ExitCode(err)
	}
	// Nothing more can be said if stdout is gone too.
	if document := map[string]failure{"error": f}; m.o.Format == FormatLines {
		_ = m.lines(document)
	} else {
		_ = m.document(document)
	}
}

func (m *Modern) hint(text string) {
	if text != "" && !m.o.Quiet {
		m.line(m.err.cyan("hint:"), text)
	}
}

// line writes one line, or several with the later ones indented. Servers and
// agents have a say in texts: nothing in them commands the terminal.
func (m *Modern) line(label, text string) {
	text = strings.ReplaceAll(harmless(text), "\n", "\n  ")
	io.WriteString(m.o.Err, label+" "+text+"\n")
}

// namesOf are the names in a result; false if it has none.
func namesOf(result any) ([]string, bool) {
	if n, ok := result.(Named); ok {
		return n.Names(), true
	}
	return tenantNames(result)
}

// screenOf is a result as a person reads it.
func (m *Modern) screenOf(verb string, result any) Screen {
	if s, ok := result.(Shown); ok {
		return s.Screen()
	}
	if s, ok := m.tenantScreen(verb, result); ok {
		return s
	}
	// A result that nobody has made a screen for: its fields, one a line.
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return Screen{{Fields: []Field{{Name: "result", Value: fmt.Sprint(result)}}}}
	}
	return Screen{{Text: string(text)}}
}

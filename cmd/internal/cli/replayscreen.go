package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
)

// replayResult is what replay shows.
type replayResult struct {
	*tenant.ReplayResult
	// columns is the width of the terminal, 0 if there is none.
	columns int
}

// Names are the agents that have failed.
func (r *replayResult) Names() []string {
	names := []string{}
	for _, agent := range r.Agents {
		if agent.Verdict == tenant.ReplayFailed {
			names = append(names, agent.ID)
		}
	}
	return names
}

// replayLine is a line of replay -o jsonl.
type replayLine struct {
	Schema string `json:"schema"`
	tenant.AgentReplay
}

// Lines are the agents.
func (r *replayResult) Lines() []any {
	lines := make([]any, 0, len(r.Agents))
	for _, agent := range r.Agents {
		lines = append(lines, replayLine{tenant.SchemaReplay, agent})
	}
	return lines
}

// stamp is a time in the form that --start and --end take.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Screen shows a row for each agent, then what was wrong with those that failed.
func (r *replayResult) Screen() render.Screen {
	table := render.Table{Header: []string{"AGENT", "RECORDS", "FIRST", "LAST", "VERDICT"}, Empty: "No agents."}
	for _, agent := range r.Agents {
		first, last := "-", "-"
		if agent.First != nil {
			first, last = stamp(*agent.First), stamp(*agent.Last)
		}
		table.Rows = append(table.Rows, []string{render.Safe(agent.ID), strconv.Itoa(agent.Records), first, last, verdictText(&agent)})
	}
	screen := render.Screen{{Table: &table}}
	notes := strings.Builder{}
	for i := range r.Agents {
		agent := &r.Agents[i]
		if agent.Verdict == tenant.ReplayFailed {
			screen = append(screen, r.failed(agent)...)
		}
		for _, note := range agent.Notes {
			notes.WriteString(r.explained(nil).hanging("- ", render.Safe(agent.ID)+": "+clean(note)))
		}
	}
	for _, note := range r.Notes {
		notes.WriteString(r.explained(nil).hanging("- ", clean(note)))
	}
	if notes.Len() > 0 {
		screen = append(screen, render.Section{Title: "Notes", Text: strings.TrimRight(notes.String(), "\n")})
	}
	return screen
}

// verdictText is the verdict, and since when.
func verdictText(a *tenant.AgentReplay) string {
	switch {
	case a.Verdict != tenant.ReplayFailed:
		return string(a.Verdict)
	case a.FailingSince != nil:
		return "failed, since " + stamp(a.FailingSince.Time)
	}
	return "failed, attested again since"
}

// explained lends its screen to findings.
func (r *replayResult) explained(findings []policy.Finding) *explanation {
	return &explanation{Explanation: &tenant.Explanation{Findings: findings}, columns: r.columns}
}

func pointText(p *tenant.ReplayPoint) string {
	return fmt.Sprintf("%s (record %d)", stamp(p.Time), p.Number)
}

// failed shows an agent that was not attested all the time.
func (r *replayResult) failed(a *tenant.AgentReplay) render.Screen {
	fields := []render.Field{{Name: "FIRST BAD", Value: pointText(a.FirstBad), Tone: render.Bad}}
	if a.FailingSince != nil && *a.FailingSince != *a.FirstBad {
		fields = append(fields, render.Field{Name: "FAILING SINCE", Value: pointText(a.FailingSince), Tone: render.Bad})
	}
	if a.FailingSince == nil {
		fields = append(fields, render.Field{Name: "AND NOW", Value: "the last record is good"})
	}
	if a.LastGood != nil {
		fields = append(fields, render.Field{Name: "LAST GOOD", Value: pointText(a.LastGood)})
	} else {
		fields = append(fields, render.Field{Name: "LAST GOOD", Value: "none in this window"})
	}
	fields = append(fields, render.Field{Name: "BAD RECORDS", Value: fmt.Sprintf("%d of %d", a.Failed, a.Records)})
	screen := render.Screen{{Title: "Agent " + render.Safe(a.ID), Fields: fields}}
	var files []policy.Finding
	for _, f := range a.Findings {
		if f.Check == runtime.CheckNotInPolicy || f.Check == runtime.CheckDigest {
			files = append(files, f.Finding)
		}
	}
	number := 0
	for i := range a.Findings {
		f := &a.Findings[i]
		if len(files) > fewFiles && (f.Check == runtime.CheckNotInPolicy || f.Check == runtime.CheckDigest) {
			continue
		}
		if number++; number > shownFindings {
			screen = append(screen, render.Section{Text: fmt.Sprintf("There are %d findings (-o json shows all).", len(a.Findings))})
			break
		}
		sections := r.explained([]policy.Finding{f.Finding}).sections([]policy.Finding{f.Finding})
		sections[0].Title = fmt.Sprintf("%d. %s", number, placeOf(&f.Finding))
		sections[0].Fields = append(sections[0].Fields, render.Field{Name: "component", Value: f.Component}, render.Field{Name: "seen", Value: seenText(f)})
		screen = append(screen, sections...)
	}
	if len(files) > fewFiles {
		screen = append(screen, filesTable(files)...)
	}
	return screen
}

// shownFindings bounds the findings of an agent on a screen.
const shownFindings = 25

// seenText says which records show a finding.
func seenText(f *tenant.ReplayFinding) string {
	text := fmt.Sprintf("%s (record %d)", stamp(f.Time), f.Record)
	if f.Times > 1 {
		text += fmt.Sprintf(", and in %s up to %s", count(f.Times-1, "more record"), stamp(f.Until))
	}
	return text
}

// replayProgress is a bar on stderr, where that is a terminal.
type replayProgress struct {
	newBar func(total int) *progressbar.ProgressBar
	bar    *progressbar.ProgressBar
	id     string
	drawn  time.Time
}

func (a *app) newReplayProgress() *replayProgress {
	p := &replayProgress{}
	if a.streams.ErrTTY && !a.global.quiet {
		p.newBar = func(total int) *progressbar.ProgressBar {
			return progressbar.NewOptions(total, progressbar.OptionSetWriter(a.errOut()), progressbar.OptionSetWidth(24),
				progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true), progressbar.OptionSetSpinnerChangeInterval(0))
		}
	}
	return p
}

// report shows how many records of an agent are done.
func (p *replayProgress) report(id string, done, of int) {
	if p.newBar == nil || time.Since(p.drawn) < redraw {
		return
	}
	if p.bar == nil || p.id != id {
		p.done()
		p.bar, p.id = p.newBar(of), id
		p.bar.Describe(render.Safe(id))
	}
	p.drawn = time.Now()
	_ = p.bar.Set(done) // a bar that cannot be drawn is no failure
}

// done wipes the bar.
func (p *replayProgress) done() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

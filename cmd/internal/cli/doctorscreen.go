package cli

import (
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant/doctor"
)

// doctorResult is what doctor has found.
type doctorResult struct {
	Problems int          `json:"problems"`
	Warnings int          `json:"warnings"`
	Hops     []doctor.Hop `json:"hops"`

	report *doctor.Report
	all    bool
	width  int
}

func newDoctorResult(report *doctor.Report, all bool, width int) doctorResult {
	return doctorResult{Problems: report.Count(doctor.Problem), Warnings: report.Count(doctor.Warning), Hops: report.Hops, report: report, all: all, width: width}
}

// Names are the checks that found something: "registrar/server-chain".
func (r doctorResult) Names() []string {
	var names []string
	for _, h := range r.Hops {
		for _, f := range h.Findings {
			if f.Level == doctor.Problem || f.Level == doctor.Warning {
				names = append(names, strings.ReplaceAll(h.Name, " ", "-")+"/"+string(f.Check))
			}
		}
	}
	return names
}

// Screen shows a section a hop, the worst first, and a line that sums up.
func (r doctorResult) Screen() render.Screen {
	var screen render.Screen
	for _, h := range r.Hops {
		section := render.Section{Title: strings.TrimSpace(h.Name + " " + h.Address)}
		for _, level := range doctor.Levels() {
			if level == doctor.OK && !r.all {
				continue
			}
			for _, f := range h.Findings {
				if f.Level == level && !f.Unchecked {
					section.Fields = append(section.Fields, r.fields(f)...)
				}
			}
		}
		section.Fields = append(section.Fields, r.unchecked(h)...)
		if passed := countLevel(h, doctor.OK); passed > 0 && !r.all {
			section.Fields = append(section.Fields, render.Field{Name: "ok", Value: counted(passed, "check") + " passed", Tone: render.Good})
		}
		screen = append(screen, section)
	}
	sum := r.sum()
	if r.width > 0 {
		sum = strings.Join(wrap(sum, r.width), "\n")
	}
	return append(screen, render.Section{Text: sum})
}

func countLevel(h doctor.Hop, level doctor.Level) int {
	n := 0
	for _, f := range h.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// fields are the lines of one finding.
func (r doctorResult) fields(f doctor.Finding) []render.Field {
	tone := map[doctor.Level]render.Tone{doctor.Problem: render.Bad, doctor.Warning: render.Doubtful, doctor.OK: render.Good}[f.Level]
	lines := []render.Field{{Name: string(f.Level), Value: r.fit(f.Seen), Tone: tone}}
	if f.Level == doctor.OK {
		lines[0].Tone = render.Plain
	}
	if f.Why != "" {
		lines = append(lines, render.Field{Value: r.fit("why: " + f.Why)})
	}
	if f.Fix != "" {
		lines = append(lines, render.Field{Value: r.fit("fix: " + f.Fix)})
	}
	if f.Command != "" {
		lines = append(lines, render.Field{Value: "run: " + f.Command})
	}
	return lines
}

// unchecked tells of checks that could not be made, those of one reason
// together.
func (r doctorResult) unchecked(h doctor.Hop) []render.Field {
	var reasons []string
	checks := map[string][]string{}
	for _, f := range h.Findings {
		if !f.Unchecked {
			continue
		}
		if checks[f.Seen] == nil {
			reasons = append(reasons, f.Seen)
		}
		checks[f.Seen] = append(checks[f.Seen], string(f.Check))
	}
	var fields []render.Field
	for _, reason := range reasons {
		fields = append(fields, render.Field{Name: "not checked", Value: r.fit(strings.Join(checks[reason], ", ") + ": " + reason)})
	}
	return fields
}

// labelColumns is the width of the column of levels: "not checked" and two
// blanks.
const labelColumns = 13

// fit breaks a text into lines that fit beside the levels.
func (r doctorResult) fit(text string) string {
	if r.width <= labelColumns+20 {
		return text
	}
	return strings.Join(wrap(text, r.width-labelColumns), "\n")
}

// sum is one line on everything.
func (r doctorResult) sum() string {
	unchecked := 0
	for _, h := range r.Hops {
		for _, f := range h.Findings {
			if f.Unchecked {
				unchecked++
			}
		}
	}
	var parts []string
	if r.Problems > 0 {
		parts = append(parts, counted(r.Problems, "problem"))
	}
	if r.Warnings > 0 {
		parts = append(parts, counted(r.Warnings, "warning"))
	}
	if notes := r.report.Count(doctor.Note) - unchecked; notes > 0 {
		parts = append(parts, counted(notes, "note"))
	}
	text := "no problem found"
	if len(parts) > 0 {
		text = strings.Join(parts, ", ")
	}
	if unchecked > 0 {
		text += fmt.Sprintf("; %s could not be made", counted(unchecked, "check"))
	}
	return text + fmt.Sprintf("; %s passed", counted(r.report.Count(doctor.OK), "check"))
}

// counted writes a number and its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

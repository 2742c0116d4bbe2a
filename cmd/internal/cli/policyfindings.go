package cli

import (
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// checkResult is what policy check found out.
type checkResult struct {
	Accepted bool `json:"accepted"`
	// Subjects are what was held against what, and the verdict of each.
	Subjects []checkSubject `json:"subjects"`
	// Registers says where the TPM's values came from, "" if there were none.
	Registers string           `json:"pcrs_from,omitempty"`
	Findings  []policy.Finding `json:"findings"`
	Warnings  []string         `json:"warnings,omitempty"`

	registers *registers
}

// checkSubject is one file and the policy it was held against.
type checkSubject struct {
	Kind     string `json:"kind"`
	Policy   string `json:"policy"`
	Evidence string `json:"evidence"`
	Accepted bool   `json:"accepted"`
}

// The kinds of a checkSubject.
const (
	kindBoot  = "measured-boot"
	kindFiles = "runtime"
)

// add takes a verdict up.
func (r *checkResult) add(kind, policyPath, evidence string, v policy.Verdict) {
	r.Accepted = r.Accepted && v.Accepted
	r.Subjects = append(r.Subjects, checkSubject{kind, policyPath, evidence, v.Accepted})
	r.Findings = append(r.Findings, v.Findings...)
	r.Warnings = append(r.Warnings, v.Warnings...)
	if r.registers != nil {
		r.Registers = r.registers.from
	}
}

// Names are the names of the checks that refused.
func (r *checkResult) Names() []string {
	names := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		names = append(names, f.Check)
	}
	return names
}

// Screen shows the verdict, then the findings one below the other.
func (r *checkResult) Screen() render.Screen {
	var verdict []render.Field
	for _, s := range r.Subjects {
		name := "measured boot"
		if s.Kind == kindFiles {
			name = "files"
		}
		f := render.Field{Name: name, Value: "accepted: " + s.Evidence + " by " + s.Policy, Tone: render.Good}
		if !s.Accepted {
			f.Value, f.Tone = "refused: "+s.Evidence+" by "+s.Policy, render.Bad
		}
		verdict = append(verdict, f)
	}
	pcrs := render.Field{Name: "TPM", Value: "values of " + r.Registers + " compared"}
	if r.Registers == "" {
		pcrs.Value, pcrs.Tone = "not asked: without --pcrs or --quote this is what the machine claims", render.Doubtful
	}
	verdict = append(verdict, pcrs)
	for _, w := range r.Warnings {
		verdict = append(verdict, render.Field{Name: "warning", Value: render.Safe(w), Tone: render.Doubtful})
	}
	others, files := partFiles(r.Findings)
	screen := append(render.Screen{{Fields: verdict}}, findingSections(others)...)
	if len(files) == 0 {
		return screen
	}
	for _, s := range r.Subjects {
		if s.Kind == kindFiles {
			screen = append(screen, fileSections(files, s)...)
		}
	}
	return screen
}

// partFiles parts findings about files that a policy does not allow, of which
// there can be many, from all others.
func partFiles(findings []policy.Finding) (others, files []policy.Finding) {
	for _, f := range findings {
		switch f.Check {
		case runtime.CheckNotInPolicy, runtime.CheckDigest:
			files = append(files, f)
		default:
			others = append(others, f)
		}
	}
	return others, files
}

// fileSections show files that are not allowed: a row each, and below how to
// allow the first of them, or all.
func fileSections(files []policy.Finding, s checkSubject) render.Screen {
	table := render.Table{Header: []string{"LINE", "FILE", "WHY", "DIGEST FOUND"}}
	for _, f := range files {
		why := "not in the policy"
		if f.Check == runtime.CheckDigest {
			why = "another digest"
		}
		if strings.Contains(f.Message, "signature") {
			why += ", and its signature does not count"
		}
		line := ""
		if f.Event != nil {
			line = fmt.Sprint(*f.Event)
		}
		table.Rows = append(table.Rows, []string{line, clean(f.Where), why, strings.Join(f.Found, " ")})
	}
	all := []string{programName, "policy", "merge", s.Policy, s.Evidence, "-o", s.Policy}
	fields := []render.Field{{Name: "remedy", Value: files[0].Remedy}}
	if len(files[0].Command) > 0 {
		fields = append(fields, render.Field{Name: "accept one", Value: render.Command(files[0].Command)})
	}
	if len(files) > 1 {
		fields = append(fields, render.Field{Name: "accept all", Value: render.Command(all)})
	}
	return render.Screen{{Title: count(len(files), "file") + " not allowed", Table: &table}, {Fields: fields}}
}

// findingSections are findings for people: what is wrong, what was found, and
// what to do if it was meant.
func findingSections(findings []policy.Finding) render.Screen {
	var screen render.Screen
	for i, f := range findings {
		section := render.Section{Title: fmt.Sprintf("%d. %s", i+1, placeOf(&f))}
		section.Fields = append(section.Fields, render.Field{Name: "what", Value: clean(f.Message), Tone: render.Bad})
		if text := several(f.Expected); text != "" {
			section.Fields = append(section.Fields, render.Field{Name: "expected", Value: text})
		}
		if text := several(f.Found); text != "" {
			section.Fields = append(section.Fields, render.Field{Name: "found", Value: text})
		}
		if f.Remedy != "" {
			section.Fields = append(section.Fields, render.Field{Name: "remedy", Value: f.Remedy})
		}
		if len(f.Command) > 0 {
			section.Fields = append(section.Fields, render.Field{Name: "accept", Value: render.Command(f.Command)})
		}
		section.Fields = append(section.Fields, render.Field{Name: "check", Value: f.Check})
		screen = append(screen, section)
	}
	return screen
}

// placeOf says where a finding is: the thing in words, and its event or line.
func placeOf(f *policy.Finding) string {
	where := render.Safe(f.Where)
	var at []string
	if f.PCR != nil && where != fmt.Sprintf("PCR %d", *f.PCR) {
		at = append(at, fmt.Sprintf("PCR %d", *f.PCR))
	}
	if f.Event != nil && strings.HasPrefix(f.Check, "ima.") {
		at = append(at, fmt.Sprintf("line %d", *f.Event))
	} else if f.Event != nil {
		at = append(at, fmt.Sprintf("event %d", *f.Event))
	}
	switch {
	case len(at) == 0 && where == "":
		return f.Check
	case len(at) == 0:
		return where
	case where == "":
		return strings.Join(at, ", ")
	}
	return where + " (" + strings.Join(at, ", ") + ")"
}

// listed bounds lists of values on a screen; JSON has all.
const listed = 8

// several shows values one below the other.
func several(values []string) string {
	var lines []string
	for i, v := range values {
		if i == listed {
			lines = append(lines, fmt.Sprintf("and %d more (-o json shows all)", len(values)-i))
			break
		}
		lines = append(lines, clean(v))
	}
	return strings.Join(lines, "\n")
}

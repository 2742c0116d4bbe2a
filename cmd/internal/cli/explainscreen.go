package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant"
)

// explanation is what explain shows.
type explanation struct {
	*tenant.Explanation
	// Saved are the files that were written.
	Saved []string `json:"saved,omitempty"`

	// columns is the width of the terminal, 0 if there is none.
	columns int
}

// Names are the names of the checks that refused.
func (x *explanation) Names() []string {
	names := make([]string, 0, len(x.Findings))
	for _, f := range x.Findings {
		names = append(names, f.Check)
	}
	return names
}

// Screen shows the answer, then what was found, what to do, and what the
// answer rests on.
func (x *explanation) Screen() render.Screen {
	screen := render.Screen{{Title: "Agent " + render.Safe(x.ID), Fields: x.head()}}
	screen = append(screen, x.found()...)
	if len(x.Next) > 0 {
		screen = append(screen, render.Section{Title: "What to do", Text: x.steps()})
	}
	screen = append(screen, x.restsOn()...)
	if len(x.Saved) > 0 {
		screen = append(screen, render.Section{Title: "Saved", Text: strings.Join(x.Saved, "\n")})
	}
	return screen
}

// restsOn are the checks and the notes.
func (x *explanation) restsOn() render.Screen {
	table := render.Table{Header: []string{"CHECKED", "OUTCOME", "DETAIL"}}
	for _, c := range x.Checks {
		table.Rows = append(table.Rows, []string{c.Name, string(c.Outcome), clean(c.Detail)})
	}
	screen := render.Screen{{Table: &table}}
	if len(x.Notes) > 0 {
		var b strings.Builder
		for _, note := range x.Notes {
			b.WriteString(x.hanging("- ", clean(note)))
		}
		screen = append(screen, render.Section{Title: "Notes", Text: strings.TrimRight(b.String(), "\n")})
	}
	return screen
}

const (
	// widest and narrowest bound the columns of running text, nameColumn is
	// where the values of fields begin.
	widest, narrowest = 120, 60
	nameColumn        = len("MEASURED-BOOT POLICY") + 2
)

// width is the number of columns of running text.
func (x *explanation) width() int {
	if x.columns == 0 {
		return widest
	}
	return min(max(x.columns, narrowest), widest)
}

// hanging wraps text behind a mark.
func (x *explanation) hanging(mark, text string) string {
	var b strings.Builder
	for _, line := range wrap(text, x.width()-len(mark)) {
		b.WriteString(mark + line + "\n")
		mark = strings.Repeat(" ", len(mark))
	}
	return b.String()
}

// wrapped is running text as the value of a field.
func (x *explanation) wrapped(text string) string {
	return strings.Join(wrap(text, x.width()-nameColumn), "\n")
}

func (x *explanation) head() []render.Field {
	fields := []render.Field{{Name: "ANSWER", Value: string(x.Answer), Tone: x.tone()},
		{Name: "BECAUSE", Value: x.wrapped(clean(x.Summary))},
		{Name: "VERIFIER", Value: x.wrapped(x.verifierText())}}
	if e := x.Event; e != nil {
		text := clean(e.ID)
		if e.Severity != nil {
			text += fmt.Sprintf(" (severity %d)", *e.Severity)
		}
		if e.Earlier {
			text += ", of an earlier failure"
		}
		fields = append(fields, render.Field{Name: "LAST EVENT", Value: text + "\n" + clean(e.Words)})
	}
	fields = append(fields, render.Field{Name: "EVIDENCE", Value: x.wrapped(x.evidenceText())})
	for _, p := range x.Policies {
		text := clean(p.Detail)
		if p.Name != "" && p.Name != x.ID {
			text = clean(p.Name) + ", " + text
		}
		fields = append(fields, render.Field{Name: strings.ToUpper(string(p.Kind)), Value: x.wrapped(text)})
	}
	return fields
}

func (x *explanation) tone() render.Tone {
	switch x.Answer {
	case tenant.AnswerHealthy:
		return render.Good
	case tenant.AnswerPending, tenant.AnswerRecovered, tenant.AnswerEnding:
		return render.Doubtful
	}
	return render.Bad
}

// verifierText is the verifier's state, since when, and how it went before.
func (x *explanation) verifierText() string {
	v := x.Verifier
	state := render.Safe(v.State)
	if state == "" || v.Push {
		state = "push model, " + render.Safe(v.AttestationStatus)
	}
	text := state
	if v.LastReceivedQuote != 0 {
		text += ", last quote " + x.age(v.LastReceivedQuote)
	}
	if v.AttestationCount == 0 {
		return text + ", none accepted so far"
	}
	return text + fmt.Sprintf(", %s accepted, the last %s", count(v.AttestationCount, "quote"), x.age(v.LastSuccessfulAttestation))
}

func (x *explanation) age(seconds int64) string {
	return render.Age(x.Time.Sub(time.Unix(seconds, 0)))
}

func (x *explanation) evidenceText() string {
	e := x.Evidence
	if e.Source == "" {
		return "none"
	}
	parts := []string{clean(e.Source)}
	switch e.Quote {
	case "verified":
		parts = append(parts, fmt.Sprintf("quote verified (%s of bank %s)", count(len(e.PCRs), "PCR"), e.Bank))
	case "refused":
		parts = append(parts, "quote refused: nothing of it is used")
	default:
		parts = append(parts, "no quote")
	}
	if e.BootEvents != nil {
		parts = append(parts, count(*e.BootEvents, "boot event"))
	}
	if e.IMALines != nil {
		parts = append(parts, count(*e.IMALines, "line")+" of IMA list")
	}
	return strings.Join(parts, ", ")
}

const (
	// fewFiles are shown one by one, more of them as a table of at most
	// manyFiles rows.
	fewFiles  = 3
	manyFiles = 25
)

// found shows the findings.
func (x *explanation) found() render.Screen {
	others, files := partFiles(x.Findings)
	if len(files) <= fewFiles {
		return x.sections(x.Findings)
	}
	table := filesTable(files)
	if nearest := x.Findings[0].Check; nearest == files[0].Check {
		return append(table, x.sections(others)...)
	}
	return append(x.sections(others), table...)
}

// sections are findings whose commands are safe to show.
func (x *explanation) sections(findings []policy.Finding) render.Screen {
	shown := make([]policy.Finding, len(findings))
	copy(shown, findings)
	var screen render.Screen
	for i := range shown {
		command := shown[i].Command
		shown[i].Command = nil
		section := findingSections(shown[i : i+1])[0]
		section.Title = fmt.Sprintf("%d. %s", i+1, placeOf(&shown[i]))
		for j := range section.Fields {
			switch field := &section.Fields[j]; field.Name {
			case "what":
				field.Value = x.wrapped(withoutValues(field.Value, &shown[i]))
			case "remedy":
				field.Value = x.wrapped(field.Value)
			}
		}
		if text := difference(&shown[i]); text != "" {
			at := slices.IndexFunc(section.Fields, func(f render.Field) bool { return f.Name == "found" })
			section.Fields = slices.Insert(section.Fields, at+1, render.Field{Name: "difference", Value: text, Tone: render.Bad})
		}
		screen = append(screen, section)
		// What to do has most commands; the others stand alone too, since the
		// value of a field may be broken into lines, which no shell understands.
		if command != nil && !slices.ContainsFunc(x.Next, func(s tenant.NextStep) bool { return slices.Equal(s.Command, command) }) {
			screen = append(screen, render.Section{Text: "This accepts it:\n   " + shellText(command)})
		}
	}
	return screen
}

// withoutValues takes the values out of a message that stand below it anyway.
// The place in the policy, in brackets at the end, stays.
func withoutValues(text string, f *policy.Finding) string {
	i := strings.Index(text, ": found ")
	if i < 0 || len(f.Expected) == 0 || len(f.Found) == 0 {
		return text
	}
	if place := strings.LastIndex(text, " ("); place > i && strings.HasSuffix(text, ")") {
		return text[:i] + text[place:]
	}
	return text[:i]
}

// difference are the words that differ between two long texts, such as kernel
// command lines, "" for anything else.
func difference(f *policy.Finding) string {
	if len(f.Expected) != 1 || len(f.Found) != 1 {
		return ""
	}
	expected, found := strings.Fields(f.Expected[0]), strings.Fields(f.Found[0])
	if min(len(expected), len(found)) < fewWords {
		return ""
	}
	var lines []string
	list := func(mark string, words, without []string) {
		words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return slices.Contains(without, word) })
		if len(words) > 0 {
			lines = append(lines, mark+clean(strings.Join(words, " ")))
		}
	}
	list("more: ", found, expected)
	list("less: ", expected, found)
	return strings.Join(lines, "\n")
}

// fewWords is the number of words below which a text is taken in at a glance.
const fewWords = 3

// filesTable shows files that are not allowed, a row each.
func filesTable(files []policy.Finding) render.Screen {
	screen := fileSections(files[:min(len(files), manyFiles)], checkSubject{})
	screen[0].Title = count(len(files), "file") + " not allowed"
	if more := len(files) - manyFiles; more > 0 {
		screen[0].Title += fmt.Sprintf(", the first %d of them (-o json shows all)", manyFiles)
	}
	return screen[:1]
}

// steps are what to do, numbered, each command on a line of its own.
func (x *explanation) steps() string {
	var b strings.Builder
	for i, s := range x.Next {
		b.WriteString(x.hanging(strconv.Itoa(i+1)+". ", clean(s.Text)))
		if s.Command != nil {
			b.WriteString("   " + shellText(s.Command) + "\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// shellText is a command for a shell. One that a machine has put unprintable
// characters into is quoted as a whole, so that it does nothing to a terminal.
func shellText(command []string) string {
	text := render.Command(command)
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

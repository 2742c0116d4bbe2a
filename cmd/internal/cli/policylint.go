package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

func newPolicyLintCmd(a *app) *cobra.Command {
	return a.command("lint POLICY", "look for what a policy's author will not have meant",
		`Look for what is valid in POLICY and yet likely wrong: excludes that let everything pass,
digests that no list can have, paths that are never measured, members that nobody reads.
Exit code 1 means that the policy will not do what it is for, 2 that it is no policy.`,
		`keylime_tenant policy lint policy.json
keylime_tenant policy lint policy.json -o json | jq -r '.notes[].message'`,
		oneArg("POLICY"), func(_ context.Context, args []string) error {
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			return a.lint(d)
		})
}

// lint shows the notes on a policy.
func (a *app) lint(d *document) error {
	result := &lintResult{File: d.path, Notes: []runtime.Note{}}
	switch d.content {
	case contentRuntimePolicy, contentSigned:
		p, _, err := d.runtimePolicy()
		if err != nil {
			return err
		}
		if notes := p.Lint(); notes != nil {
			result.Notes = notes
		}
	case contentMBPolicy, contentJSON:
		if err := lintMB(d, result); err != nil {
			return err
		}
	default:
		return d.unfit("a policy")
	}
	if err := a.show(result); err != nil {
		return err
	}
	grave := 0
	for _, note := range result.Notes {
		if note.Grave {
			grave++
		}
	}
	if grave > 0 {
		return fmt.Errorf("%s: %s will keep the policy from doing what it is for", d.path, count(grave, "fault"))
	}
	return nil
}

// lintMB turns what is odd about a measured-boot policy into notes.
func lintMB(d *document, result *lintResult) error {
	file := d.path
	shown, err := describeMB(d)
	if err != nil {
		return err
	}
	if len(shown.Demands) == 0 {
		result.Notes = append(result.Notes, runtime.Note{Rule: "empty", Grave: true, Where: file,
			Message: "the policy is empty: a verifier checks nothing of the boot log", Remedy: "keylime_tenant policy create measured-boot LOG makes one"})
	}
	for _, text := range shown.Warnings {
		result.Notes = append(result.Notes, runtime.Note{Rule: "measured-boot", Where: file, Message: text})
	}
	return nil
}

// describeMB explains a measured-boot policy, {} included.
func describeMB(d *document) (mbResult, error) {
	if d.content == contentJSON {
		return describeEmpty(d)
	}
	p, err := d.mbPolicy()
	if err != nil {
		return mbResult{}, err
	}
	return newMBResult(d, p), nil
}

// lintResult is what policy lint found.
type lintResult struct {
	File  string         `json:"file"`
	Notes []runtime.Note `json:"notes"`
}

// Names are the rules that notes come from.
func (r *lintResult) Names() []string {
	names := make([]string, 0, len(r.Notes))
	for _, note := range r.Notes {
		names = append(names, note.Rule)
	}
	return names
}

// Screen shows a note a block.
func (r *lintResult) Screen() render.Screen {
	if len(r.Notes) == 0 {
		return render.Screen{{Text: r.File + ": nothing to remark"}}
	}
	var screen render.Screen
	for _, note := range r.Notes {
		kind, tone := "remark", render.Doubtful
		if note.Grave {
			kind, tone = "fault", render.Bad
		}
		section := render.Section{Fields: []render.Field{{Name: kind, Value: clean(note.Message), Tone: tone}}}
		if note.Where != "" && note.Where != r.File {
			section.Fields = append(section.Fields, render.Field{Name: "where", Value: render.Safe(note.Where)})
		}
		if note.Remedy != "" {
			section.Fields = append(section.Fields, render.Field{Name: "remedy", Value: note.Remedy})
		}
		section.Fields = append(section.Fields, render.Field{Name: "rule", Value: note.Rule})
		screen = append(screen, section)
	}
	return screen
}

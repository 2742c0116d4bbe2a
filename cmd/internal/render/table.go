package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// writeTable writes rows under their header, in columns parted by two blanks
// and without lines, as kubectl does: easy on the eye, and awk can read it.
// width is that of the terminal, 0 for no limit.
func writeTable(w io.Writer, t Table, width int) error {
	t = fit(t, width)
	var b bytes.Buffer
	// Every default that changes text is switched off: tablewriter would turn
	// the header "res_ult" into "RES ULT" and break long words.
	table := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	table.Header(anys(t.Header)...)
	if err := table.Bulk(t.Rows); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func anys(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}

// writeScreen writes sections one below the other, an empty line between them.
// Names of fields are aligned over the whole screen. columns is the width of the
// terminal, 0 for no limit.
func writeScreen(w io.Writer, screen Screen, p palette, columns int) error {
	width := 0
	for _, section := range screen {
		for _, f := range section.Fields {
			width = max(width, len(f.Name))
		}
	}
	var b strings.Builder
	for i, section := range screen {
		if i > 0 {
			b.WriteByte('\n')
		}
		if section.Title != "" {
			b.WriteString(p.bold(harmless(section.Title)) + "\n")
		}
		if section.Text != "" {
			b.WriteString(harmless(section.Text) + "\n")
		}
		for _, f := range section.Fields {
			value := harmless(f.Value)
			if room := columns - width - gap; room >= wrapMin {
				value = breakLines(value, room)
			}
			value = strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", width+gap))
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %s", width, f.Name, p.tone(f.Tone, value)), " ") + "\n")
		}
		if section.Table != nil && len(section.Table.Rows) > 0 {
			if err := writeTable(&b, *section.Table, columns); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

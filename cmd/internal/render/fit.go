package render

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Column says how a column gives way where a table is wider than the terminal.
type Column struct {
	// Min is the width down to which it may be cut, 0 for never.
	Min int
	// Drop is the order in which columns are left out when cutting is not
	// enough, 1 first; 0 is never.
	Drop int
	// Middle cuts out the middle instead of the end, for ids.
	Middle bool
}

const (
	// gap are the blanks between two columns.
	gap = 2
	// wrapMin is the least width that is worth wrapping text in.
	wrapMin = 20
	// cutMark stands for what was cut off.
	cutMark = "…"
)

// fit makes a table fit a width: columns that may be cut are cut, the widest
// first, then columns that may go are left out. A table that says nothing of
// its columns keeps all of them; the text of the last is broken into lines.
// Width 0 is no limit.
func fit(t Table, width int) Table {
	if width <= 0 || len(t.Header) == 0 {
		return t
	}
	if len(t.Columns) != len(t.Header) {
		return wrapLast(t, width)
	}
	for {
		widths := columnWidths(t)
		if shrink(widths, t.Columns, width) {
			return cutTo(t, widths)
		}
		out := -1
		for i, c := range t.Columns {
			if c.Drop > 0 && (out < 0 || c.Drop < t.Columns[out].Drop) {
				out = i
			}
		}
		if out < 0 {
			return cutTo(t, widths) // as narrow as it gets
		}
		t = without(t, out)
	}
}

// columnWidths are the widths that the cells need.
func columnWidths(t Table) []int {
	widths := make([]int, len(t.Header))
	for i, name := range t.Header {
		widths[i] = ansi.StringWidth(name)
	}
	for _, row := range t.Rows {
		for i, cell := range row {
			if i < len(widths) {
				widths[i] = max(widths[i], cellWidth(cell))
			}
		}
	}
	return widths
}

// cellWidth is the width of the widest line of a cell.
func cellWidth(cell string) int {
	if !strings.Contains(cell, "\n") {
		return ansi.StringWidth(cell)
	}
	width := 0
	for line := range strings.Lines(cell) {
		width = max(width, ansi.StringWidth(strings.TrimSuffix(line, "\n")))
	}
	return width
}

// shrink narrows columns until the table fits, and says whether it does.
func shrink(widths []int, columns []Column, width int) bool {
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for total > width {
		widest := -1
		for i, c := range columns {
			if c.Min > 0 && widths[i] > c.Min && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		by := min(total-width, widths[widest]-columns[widest].Min)
		widths[widest], total = widths[widest]-by, total-by
	}
	return true
}

func cutTo(t Table, widths []int) Table {
	rows := make([][]string, len(t.Rows))
	for r, row := range t.Rows {
		rows[r] = make([]string, len(row))
		for i, cell := range row {
			rows[r][i] = cell
			if i < len(widths) {
				rows[r][i] = cut(cell, widths[i], t.Columns[i].Middle)
			}
		}
	}
	header := make([]string, len(t.Header))
	for i, name := range t.Header {
		header[i] = cut(name, widths[i], false)
	}
	t.Header, t.Rows = header, rows
	return t
}

// cut shortens a cell, whose colour stays.
func cut(cell string, width int, middle bool) string {
	length := ansi.StringWidth(cell)
	if length <= width {
		return cell
	}
	if !middle || width < 4 {
		return ansi.Truncate(cell, width, cutMark)
	}
	head := (width - 1) / 2
	return ansi.Truncate(cell, head, "") + cutMark + ansi.TruncateLeft(cell, length-(width-1-head), "")
}

func without(t Table, column int) Table {
	drop := func(row []string) []string {
		if column >= len(row) {
			return row
		}
		return append(append([]string{}, row[:column]...), row[column+1:]...)
	}
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = drop(row)
	}
	columns := append(append([]Column{}, t.Columns[:column]...), t.Columns[column+1:]...)
	t.Header, t.Rows, t.Columns = drop(t.Header), rows, columns
	return t
}

// breakLines breaks text at blanks into lines of a width; lines that fit stay as
// they are, and so do words that are longer.
func breakLines(text string, width int) string {
	if cellWidth(text) <= width {
		return text
	}
	var out []string
	for _, line := range strings.Split(text, "\n") {
		room, current := width, ""
		for i, word := range strings.Split(line, " ") {
			n := ansi.StringWidth(word)
			switch {
			case i == 0:
				current, room = word, width-n
			case n+1 > room:
				out = append(out, current)
				current, room = word, width-n
			default:
				current, room = current+" "+word, room-n-1
			}
		}
		out = append(out, current)
	}
	return strings.Join(out, "\n")
}

// wrapLast breaks the text of the last column into lines.
func wrapLast(t Table, width int) Table {
	widths, last := columnWidths(t), len(t.Header)-1
	room := width
	for _, w := range widths[:last] {
		room -= w + gap
	}
	if widths[last] <= room || room < wrapMin {
		return t
	}
	rows := make([][]string, len(t.Rows))
	for r, row := range t.Rows {
		rows[r] = append([]string{}, row...)
		if last < len(row) {
			rows[r][last] = breakLines(row[last], room)
		}
	}
	t.Rows = rows
	return t
}

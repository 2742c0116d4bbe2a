package pylog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// format is the form of a record: pieces of text and fields in turn.
type format struct {
	pieces []piece
	date   string // strftime
	// plainTime appends ",123" to the time, as Python does without a datefmt.
	plainTime bool
}

// piece is a text that is copied, or a field of the record.
type piece struct {
	text  string
	field string
	// flags, width and kind are those of the conversion: %-8s, %03d.
	flags string
	width int
	kind  byte
}

const isoDate = "%Y-%m-%d %H:%M:%S"

func defaultFormat() format {
	f, _ := parseFormat("%(asctime)s.%(msecs)03d - %(name)s - %(levelname)s - %(message)s", isoDate, true) // tested
	return f
}

// fields are those that a record has: true for numbers.
func fields() map[string]bool {
	return map[string]bool{"asctime": false, "name": false, "levelname": false, "message": false, "msecs": true, "process": true, "levelno": true,
		// Keylime's servers add these two; a tenant has no request to name.
		"reqid": false, "reqidf": false}
}

// parseFormat reads a format of logging's default style, and the format of its
// time.
func parseFormat(text, date string, hasDate bool) (format, error) {
	f := format{date: date, plainTime: !hasDate}
	if !hasDate {
		f.date = isoDate
	}
	if _, err := strftime(f.date, time.Time{}); err != nil {
		return format{}, err
	}
	for text != "" {
		before, after, found := strings.Cut(text, "%")
		if before != "" {
			f.pieces = append(f.pieces, piece{text: before})
		}
		if !found {
			break
		}
		if rest, escaped := strings.CutPrefix(after, "%"); escaped {
			f.pieces = append(f.pieces, piece{text: "%"})
			text = rest
			continue
		}
		p, rest, err := conversion(after)
		if err != nil {
			return format{}, err
		}
		f.pieces = append(f.pieces, p)
		text = rest
	}
	return f, nil
}

// maxWidth is the widest field that is allowed.
const maxWidth = 200

// conversion reads "(name)03d" and what follows it.
func conversion(text string) (p piece, rest string, err error) {
	name, after, found := strings.Cut(text, ")")
	field, open := strings.CutPrefix(name, "(")
	number, known := fields()[field]
	if !found || !open || !known {
		return p, "", fmt.Errorf("the format has a field that is not understood: %.40q", "%"+text)
	}
	p.field = field
	spec := strings.TrimLeft(after, "-+ #0")
	p.flags = after[:len(after)-len(spec)]
	kind := strings.TrimLeft(spec, "0123456789")
	if digits := spec[:len(spec)-len(kind)]; digits != "" {
		if p.width, err = strconv.Atoi(digits); err != nil || p.width > maxWidth {
			return p, "", fmt.Errorf("the format has a field that is too wide: %s", field)
		}
	}
	if kind == "" || kind[0] != 's' && (kind[0] != 'd' || !number) {
		return p, "", fmt.Errorf("the format writes %s in a way that is not understood", field)
	}
	p.kind = kind[0]
	return p, kind[1:], nil
}

// record is one record, without the newline at its end.
func (f format) record(now time.Time, name string, level Level, message string) string {
	var b strings.Builder
	for _, p := range f.pieces {
		switch p.field {
		case "":
			b.WriteString(p.text)
		case "asctime":
			text, _ := strftime(f.date, now) // judged by parseFormat
			if f.plainTime {
				text += fmt.Sprintf(",%03d", now.Nanosecond()/1e6)
			}
			b.WriteString(p.pad(text))
		case "msecs":
			b.WriteString(p.number(now.Nanosecond() / 1e6))
		case "process":
			b.WriteString(p.number(os.Getpid()))
		case "levelno":
			b.WriteString(p.number(int(level)))
		case "name":
			if name == "" {
				name = "root"
			}
			b.WriteString(p.pad(name))
		case "levelname":
			b.WriteString(p.pad(level.String()))
		case "message":
			b.WriteString(p.pad(message))
		default: // reqid, reqidf
			b.WriteString(p.pad(""))
		}
	}
	return b.String()
}

// number writes a number. Milliseconds are a float in Python, which %s shows.
func (p piece) number(n int) string {
	if p.kind == 's' {
		text := strconv.Itoa(n)
		if p.field == "msecs" {
			text += ".0"
		}
		return p.pad(text)
	}
	text := strconv.Itoa(n)
	switch {
	case strings.Contains(p.flags, "+"):
		text = "+" + text
	case strings.Contains(p.flags, " "):
		text = " " + text
	}
	if strings.Contains(p.flags, "0") && !strings.Contains(p.flags, "-") {
		return strings.Repeat("0", max(p.width-len(text), 0)) + text
	}
	return p.pad(text)
}

// pad fills a text up with blanks to the width of the field.
func (p piece) pad(text string) string {
	blanks := strings.Repeat(" ", max(p.width-len([]rune(text)), 0))
	if strings.Contains(p.flags, "-") {
		return text + blanks
	}
	return blanks + text
}

// strftime writes a time as C's function does in the C locale.
func strftime(layout string, t time.Time) (string, error) {
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			b.WriteByte(layout[i])
			continue
		}
		i++
		if i == len(layout) {
			return "", fmt.Errorf("the time format %q ends with a lone %%", layout)
		}
		c := layout[i]
		switch c {
		case '%':
			b.WriteByte('%')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'j':
			fmt.Fprintf(&b, "%03d", t.YearDay())
		case 's':
			fmt.Fprintf(&b, "%d", t.Unix())
		case 'u':
			fmt.Fprintf(&b, "%d", (int(t.Weekday())+6)%7+1)
		case 'w':
			fmt.Fprintf(&b, "%d", int(t.Weekday()))
		case 'C':
			fmt.Fprintf(&b, "%02d", t.Year()/100)
		case 'G':
			year, _ := t.ISOWeek()
			fmt.Fprintf(&b, "%04d", year)
		case 'V':
			_, week := t.ISOWeek()
			fmt.Fprintf(&b, "%02d", week)
		case 'k':
			fmt.Fprintf(&b, "%2d", t.Hour())
		case 'l':
			fmt.Fprintf(&b, "%2d", (t.Hour()+11)%12+1)
		default:
			form := goLayout(c)
			if form == "" {
				return "", fmt.Errorf("the time format has %%%c, which is not understood", c)
			}
			b.WriteString(t.Format(form))
		}
	}
	return b.String(), nil
}

// goLayout is the layout of package time for a letter of strftime, "" if there
// is none.
func goLayout(c byte) string {
	switch c {
	case 'Y':
		return "2006"
	case 'y':
		return "06"
	case 'm':
		return "01"
	case 'd':
		return "02"
	case 'e':
		return "_2"
	case 'H':
		return "15"
	case 'I':
		return "03"
	case 'M':
		return "04"
	case 'S':
		return "05"
	case 'p':
		return "PM"
	case 'a':
		return "Mon"
	case 'A':
		return "Monday"
	case 'b', 'h':
		return "Jan"
	case 'B':
		return "January"
	case 'Z':
		return "MST"
	case 'z':
		return "-0700"
	case 'D', 'x':
		return "01/02/06"
	case 'F':
		return "2006-01-02"
	case 'T', 'X':
		return "15:04:05"
	case 'R':
		return "15:04"
	case 'r':
		return "03:04:05 PM"
	case 'c':
		return "Mon Jan _2 15:04:05 2006"
	}
	return ""
}

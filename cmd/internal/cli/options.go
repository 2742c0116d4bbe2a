package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations of flags that the help reads.
const (
	annotationValue   = "value"   // what the value is called
	annotationSection = "section" // under which title the option is listed
)

// options defines the options of a verb, each with the name of its value and
// under the section that is open.
type options struct {
	flags   *pflag.FlagSet
	section string
}

func (o *options) note(name, value string) {
	f := o.flags.Lookup(name)
	f.Annotations = map[string][]string{annotationValue: {value}, annotationSection: {o.section}}
}

// text defines an option that takes a value; short may be empty.
func (o *options) text(into *string, name, short, value, about string) {
	o.flags.StringVarP(into, name, short, "", about)
	o.note(name, value)
}

// list defines an option that may be repeated.
func (o *options) list(into *[]string, name, value, about string) {
	o.flags.StringArrayVar(into, name, nil, about)
	o.note(name, value)
}

// limit defines an option that takes a time.
func (o *options) limit(into *seconds, name, about string) {
	o.flags.Var(into, name, about)
	o.note(name, "TIME")
}

// on defines an option without a value.
func (o *options) on(into *bool, name, short, about string) {
	o.flags.BoolVarP(into, name, short, false, about)
	o.note(name, "")
}

// annotation is a note on a flag, "" if there is none.
func annotation(f *pflag.Flag, name string) string {
	if values := f.Annotations[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// flagColumn is the column at which the explanation of an option begins.
const flagColumn = 30

// writeOptions lists options, under their sections if they have any. title is
// that of those without one.
func writeOptions(b *strings.Builder, title string, flags []*pflag.Flag, width int) {
	last := "\x00"
	for _, f := range flags {
		section := annotation(f, annotationSection)
		if section == "" {
			section = title
		}
		if section != last {
			fmt.Fprintf(b, "\n%s:\n", section)
			last = section
		}
		writeOption(b, f, width)
	}
}

func writeOption(b *strings.Builder, f *pflag.Flag, width int) {
	value, about := pflag.UnquoteUsage(f)
	if f.Value.Type() == "bool" {
		value = ""
	}
	if _, noted := f.Annotations[annotationValue]; noted {
		value, about = annotation(f, annotationValue), f.Usage
	}
	head := "      --" + f.Name
	if f.Shorthand != "" {
		head = "  -" + f.Shorthand + ", --" + f.Name
	}
	if value != "" {
		head += " " + value
	}
	if len(head) > flagColumn-2 {
		b.WriteString(head + "\n")
		head = ""
	}
	for _, line := range wrap(about, width-flagColumn) {
		fmt.Fprintf(b, "%-*s%s\n", flagColumn, head, line)
		head = ""
	}
}

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string {
	lines, line := []string{}, ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

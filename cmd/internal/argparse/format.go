package argparse

import (
	"strings"
	"unicode/utf8"
)

// maxHelpPosition is the column at which help begins at the latest.
const maxHelpPosition = 24

func (p *Parser) width() int {
	if p.Columns > 0 {
		return p.Columns - 2
	}
	return 80 - 2
}

// Usage is the usage, wrapped, with a newline at its end.
func (p *Parser) Usage() string {
	const prefix = "usage: "
	var optional, positional []string
	for _, o := range p.options() {
		if !o.Own {
			optional = append(optional, o.usage()...)
		}
	}
	for _, o := range p.positionals() {
		positional = append(positional, o.usage()...)
	}
	all := append(append([]string{p.Prog}, optional...), positional...)
	line := prefix + strings.Join(all, " ")
	if length(line) <= p.width() {
		return line + "\n"
	}
	var lines []string
	if head := length(prefix) + length(p.Prog); float64(head) <= 0.75*float64(p.width()) {
		indent := strings.Repeat(" ", head+1)
		lines = p.usageLines(append([]string{p.Prog}, optional...), indent, length(prefix))
		lines = append(lines, p.usageLines(positional, indent, len(indent))...)
	} else {
		indent := strings.Repeat(" ", length(prefix))
		lines = p.usageLines(append(optional, positional...), indent, len(indent))
		if len(lines) > 1 {
			lines = append(p.usageLines(optional, indent, len(indent)), p.usageLines(positional, indent, len(indent))...)
		}
		lines = append([]string{p.Prog}, lines...)
	}
	return prefix + strings.Join(lines, "\n") + "\n"
}

// usageLines packs parts into lines; the first begins in column start, without
// its indentation if that is another column.
func (p *Parser) usageLines(parts []string, indent string, start int) []string {
	var lines, line []string
	used := start - 1
	for _, part := range parts {
		if used+1+length(part) > p.width() && len(line) > 0 {
			lines = append(lines, indent+strings.Join(line, " "))
			line, used = nil, len(indent)-1
		}
		line = append(line, part)
		used += length(part) + 1
	}
	if len(line) > 0 {
		lines = append(lines, indent+strings.Join(line, " "))
	}
	if len(lines) > 0 && start != len(indent) {
		lines[0] = lines[0][len(indent):]
	}
	return lines
}

// usage are the parts of the usage for one option, which are not broken.
func (o *Option) usage() []string {
	if len(o.Names) == 0 {
		if o.NArgs == AtLeastOne {
			return []string{o.metavar(), "[" + o.metavar() + " ...]"}
		}
		return []string{o.arguments()}
	}
	text := o.Names[0] + o.after()
	if o.Required {
		return strings.Split(text, " ")
	}
	return []string{"[" + text + "]"}
}

// after is the arguments of an option with a blank in front, "" for a flag.
func (o *Option) after() string {
	if o.NArgs == None {
		return ""
	}
	return " " + o.arguments()
}

func (o *Option) arguments() string {
	m := o.metavar()
	switch o.NArgs {
	case Optional:
		return "[" + m + "]"
	case Any:
		return "[" + m + " ...]"
	case AtLeastOne:
		return m + " [" + m + " ...]"
	default:
		return m
	}
}

func (o *Option) metavar() string {
	switch {
	case o.Metavar != "":
		return o.Metavar
	case len(o.Choices) > 0:
		return "{" + strings.Join(o.Choices, ",") + "}"
	case len(o.Names) > 0:
		return strings.ToUpper(o.Dest)
	default:
		return o.Dest
	}
}

// invocation is how the help shows an option.
func (o *Option) invocation() string {
	if len(o.Names) == 0 {
		return o.metavar()
	}
	all := make([]string, len(o.Names))
	for i, name := range o.Names {
		all[i] = name + o.after()
	}
	return strings.Join(all, ", ")
}

// Help is the whole help.
func (p *Parser) Help() string {
	var b strings.Builder
	b.WriteString(p.Usage())
	paragraph := func(text string) {
		if text != "" {
			b.WriteString("\n" + strings.Join(wrap(squeezed(p.expand(text)), max(p.width(), 11)), "\n") + "\n")
		}
	}
	paragraph(p.Description)
	position := 0
	for _, o := range append(p.options(), p.positionals()...) {
		if !o.Own {
			position = max(position, length(o.invocation())+2)
		}
	}
	position = min(position+2, min(maxHelpPosition, max(p.width()-20, 4)))
	section := func(title string, options []*Option) {
		if len(options) > 0 {
			b.WriteString("\n" + title + ":\n")
		}
		for _, o := range options {
			if !o.Own {
				p.helpOf(&b, o, position)
			}
		}
	}
	section("positional arguments", p.positionals())
	section("options", p.options())
	paragraph(p.Epilog)
	return b.String()
}

// helpOf writes one option; its help begins in column position.
func (p *Parser) helpOf(b *strings.Builder, o *Option, position int) {
	const indent = 2
	invocation := o.invocation()
	b.WriteString(strings.Repeat(" ", indent) + invocation)
	lines := wrap(squeezed(p.expand(o.Help)), max(p.width()-position, 11))
	if len(lines) == 0 {
		b.WriteString("\n")
		return
	}
	first := position
	if room := position - indent - 2; length(invocation) <= room {
		first = room - length(invocation) + 2
	} else {
		b.WriteString("\n")
	}
	for i, line := range lines {
		if i == 0 {
			b.WriteString(strings.Repeat(" ", first))
		} else {
			b.WriteString(strings.Repeat(" ", position))
		}
		b.WriteString(line + "\n")
	}
}

// expand fills in the program's name, the only thing our texts refer to.
func (p *Parser) expand(text string) string {
	return strings.NewReplacer("%(prog)s", p.Prog, "%%", "%").Replace(text)
}

func length(s string) int { return utf8.RuneCountInString(s) }

// squeezed is a text with every run of ASCII white space made one blank.
func squeezed(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < utf8.RuneSelf && strings.ContainsRune(" \t\n\r\f\v", r) }), " ")
}

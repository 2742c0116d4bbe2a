package render

import "github.com/fatih/color"

// palette colours text, or leaves it alone. Colour repeats what the words say;
// it never says anything alone.
type palette struct{ on bool }

func (p palette) paint(text string, attributes ...color.Attribute) string {
	if !p.on || text == "" {
		return text
	}
	c := color.New(attributes...)
	c.EnableColor() // our caller has decided; the library looks at stdout only
	return c.Sprint(text)
}

func (p palette) bold(text string) string   { return p.paint(text, color.Bold) }
func (p palette) red(text string) string    { return p.paint(text, color.FgRed, color.Bold) }
func (p palette) yellow(text string) string { return p.paint(text, color.FgYellow) }
func (p palette) cyan(text string) string   { return p.paint(text, color.FgCyan) }
func (p palette) faint(text string) string  { return p.paint(text, color.Faint) }

func (p palette) tone(t Tone, text string) string {
	switch t {
	case Good:
		return p.paint(text, color.FgGreen)
	case Doubtful:
		return p.yellow(text)
	case Bad:
		return p.red(text)
	}
	return text
}

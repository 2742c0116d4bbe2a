// Package render shows results, events and failures of use cases.
//
// A [Presenter] is one way of speaking to whoever called the program. The
// modern one (see [New]) writes the result, and nothing else, to stdout; what
// happens on the way, warnings and hints go to stderr. The other one, package
// render/compat, writes the log records of the Python tenant.
//
// Nothing here decides exit codes, reads the environment or talks to a server.
package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
)

// Presenter shows what a call does and what comes of it.
type Presenter interface {
	// Event is told what happens while a use case runs. It is called from one
	// goroutine at a time.
	Event(tenant.Event)
	// Result shows the outcome of verb. The error is one of writing.
	Result(verb string, result any) error
	// Fail shows why verb failed. err is never nil.
	Fail(verb string, err error)
}

// Tracer is a [Presenter] that also wants to know of every request.
type Tracer interface {
	Trace(client.Trace)
}

// Format is a way to write a result.
type Format string

// The formats of the modern contract. Table is the default on a terminal and
// off it.
const (
	FormatTable Format = "table"
	// FormatWide is the table with more columns, which does not care for the
	// width of the terminal.
	FormatWide Format = "wide"
	FormatJSON Format = "json"
	// FormatLines is JSON with a line for each part of a list.
	FormatLines Format = "jsonl"
	FormatYAML  Format = "yaml"
	FormatName  Format = "name"
)

// Formats lists all formats, the default first.
func Formats() []Format {
	return []Format{FormatTable, FormatWide, FormatJSON, FormatLines, FormatYAML, FormatName}
}

// ParseFormat reads the value of --output. The error lists what is allowed.
func ParseFormat(text string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if text == string(f) {
			return f, nil
		}
		names = append(names, string(f))
	}
	return "", fmt.Errorf("%q is none of %s", text, strings.Join(names, ", "))
}

// Options say where and how the modern presenter writes.
type Options struct {
	// Out gets the result, Err everything else.
	Out, Err io.Writer
	// Format of the result; "" means [FormatTable].
	Format Format
	// Color allows colour on Out, ErrColor on Err.
	Color, ErrColor bool
	// Width of the terminal in columns, 0 if Out is none.
	Width int
	// Quiet leaves out hints and all steps; warnings stay.
	Quiet bool
	// Steps shows on Err the steps that take time or that trust depends on,
	// Verbose every step, Debug each request with its duration as well.
	Steps, Verbose, Debug bool
	// ShowSecrets shows the key share V that a verifier's record holds.
	ShowSecrets bool
	// ExitCode says which code an error has, for the JSON form of a failure;
	// nil leaves it out.
	ExitCode func(error) int
	// Now is the clock for ages; nil means the real one.
	Now func() time.Time
}

// Table is a result, or a part of one, as rows.
type Table struct {
	Header []string
	Rows   [][]string
	// Empty is said on stderr instead of a table without rows.
	Empty string
	// Columns say how the columns give way on a narrow terminal; nil keeps them
	// all, and breaks the text of the last into lines.
	Columns []Column
}

// Field is a named value of a screen.
type Field struct {
	Name, Value string
	// Tone colours the value where colour is allowed; it never carries meaning
	// that the words do not.
	Tone Tone
}

// Tone is how good the news of a value is.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Good
	Doubtful
	Bad
)

// Section is a block of a screen: a title, then text, fields and a table.
type Section struct {
	Title string
	// Text stands as it is.
	Text   string
	Fields []Field
	Table  *Table
}

// Screen is a result as a person reads it.
type Screen []Section

// Shown is a result that brings its own screen; the JSON and YAML forms are
// made by marshalling it.
type Shown interface{ Screen() Screen }

// Named is a result that knows the names which -o name prints, one a line.
type Named interface{ Names() []string }

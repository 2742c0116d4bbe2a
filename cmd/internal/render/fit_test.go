package render_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

// shown is a result that is one table.
type shown struct{ render.Table }

func (s shown) Screen() render.Screen { return render.Screen{{Table: &s.Table}} }

func TestTableFits(t *testing.T) {
	t.Parallel()
	giving := []render.Column{{Min: 8, Middle: true}, {}, {Drop: 1}, {Min: 12, Drop: 2}}
	rows := [][]string{{"d432fbb3-d2f1-4a97-9ef7-75bd81c00001", "failed", "12", "a file was used that the runtime policy does not list"}, {"größe-001", "pending", "0"}}
	for _, c := range []struct {
		name    string
		width   int
		columns []render.Column
		want    string
	}{
		{"no limit", 0, giving, `
ID                                    HEALTH   QUOTES  REASON
d432fbb3-d2f1-4a97-9ef7-75bd81c00001  failed   12      a file was used that the runtime policy does not list
größe-001                             pending  0
`},
		{"text is cut first", 80, giving, `
ID                                    HEALTH   QUOTES  REASON
d432fbb3-d2f1-4a97-9ef7-75bd81c00001  failed   12      a file was used that the…
größe-001                             pending  0
`},
		{"then ids", 40, giving, `
ID         HEALTH   QUOTES  REASON
d432…0001  failed   12      a file was …
größe-001  pending  0
`},
		{"then columns go", 34, giving, `
ID           HEALTH   REASON
d432f…00001  failed   a file was …
größe-001    pending
`},
		{"until two are left", 20, giving, `
ID           HEALTH
d432f…00001  failed
größe-001    pending
`},
		{"narrower it does not get", 10, giving, `
ID        HEALTH
d43…0001  failed
grö…-001  pending
`},
		{"the last is broken into lines", 90, nil, `
ID                                    HEALTH   QUOTES  REASON
d432fbb3-d2f1-4a97-9ef7-75bd81c00001  failed   12      a file was used that the runtime
                                                       policy does not list
größe-001                             pending  0
`},
		{"where there is room", 60, nil, `
ID                                    HEALTH   QUOTES  REASON
d432fbb3-d2f1-4a97-9ef7-75bd81c00001  failed   12      a file was used that the runtime policy does not list
größe-001                             pending  0
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, out, _ := presenter(render.Options{Width: c.width})
			table := render.Table{Header: []string{"ID", "HEALTH", "QUOTES", "REASON"}, Rows: rows, Columns: c.columns}
			if err := m.Result("x", shown{table}); err != nil || out.String() != c.want[1:] {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestColouredCells: colour takes no room, and is not cut in two.
func TestColouredCells(t *testing.T) {
	t.Parallel()
	m, out, _ := presenter(render.Options{Width: 16})
	table := render.Table{Header: []string{"A", "B"}, Rows: [][]string{{"one", "\x1b[31mfailed altogether\x1b[0m"}}, Columns: []render.Column{{}, {Min: 4}}}
	if err := m.Result("x", shown{table}); err != nil || !strings.Contains(out.String(), "one  \x1b[31mfailed alt…\x1b[0m") {
		t.Errorf("%v\n%q", err, out)
	}
}

// TestFieldsFit: values of a screen are broken at blanks, under each other.
func TestFieldsFit(t *testing.T) {
	t.Parallel()
	m, out, _ := presenter(render.Options{Width: 40})
	agent := record()
	if err := m.Result("cvstatus", agent); err != nil {
		t.Fatal(err)
	}
	if want := "POLICIES       runtime policy,\n               measured-boot policy, PCR\n               22, 23\n"; !strings.Contains(out.String(), want) {
		t.Errorf("lacks %q:\n%s", want, out)
	}
	for line := range strings.Lines(out.String()) {
		if utf8.RuneCountInString(line) > 41 {
			t.Errorf("too wide: %s", line)
		}
	}
}

package render_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

func TestSafe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                  "",
		"Get Quote":         "Get Quote",
		"größe":             "größe",
		"a\nb":              `"a\nb"`,
		"\x1b[31mred":       `"\x1b[31mred"`,
		"\u202eevil":        `"\u202eevil"`,
		"\xff\xfe":          `"\xff\xfe"`,
		"tab\there":         `"tab\there"`,
		"say \"x\"":         `say "x"`,
		"zero\u200bwidth":   `"zero\u200bwidth"`,
		"nul\x00":           `"nul\x00"`,
		"delete\x7f":        `"delete\x7f"`,
		"c1 \u009b control": `"c1 \u009b control"`,
	} {
		if got := render.Safe(text); got != want {
			t.Errorf("Safe(%q) = %s, want %s", text, got, want)
		}
	}
	long := render.Safe(strings.Repeat("ö", 1000))
	if len(long) > 310 || !utf8.ValidString(long) || !strings.HasSuffix(long, "...") {
		t.Errorf("a long text becomes %q", long)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-5 * time.Second:                      "in the future (clocks differ)",
		200 * time.Millisecond:                "now",
		3 * time.Second:                       "3s ago",
		90 * time.Second:                      "1m30s ago",
		2 * time.Minute:                       "2m ago",
		3*time.Hour + 12*time.Minute:          "3h12m ago",
		49 * time.Hour:                        "2d1h ago",
		30 * 24 * time.Hour:                   "30d ago",
		59*time.Second + 700*time.Millisecond: "1m ago",
	} {
		if got := render.Age(d); got != want {
			t.Errorf("Age(%s) = %q, want %q", d, got, want)
		}
	}
	if got := render.Duration(1500 * time.Millisecond); got != "1.5s" {
		t.Errorf("got %q", got)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	got := render.Command([]string{"keylime_tenant", "delete", "a-b.c_1", "", "it's", "$HOME", "a b"})
	if want := `keylime_tenant delete a-b.c_1 '' 'it'\''s' '$HOME' 'a b'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseFormat(t *testing.T) {
	t.Parallel()
	for _, f := range render.Formats() {
		if got, err := render.ParseFormat(string(f)); err != nil || got != f {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
	if _, err := render.ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "table, wide, json, jsonl, yaml, name") {
		t.Errorf("got %v", err)
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("Get Quote")
	f.Add("\x1b[2J\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := render.Safe(text)
		if strings.ContainsAny(got, "\x1b\n\r\x00") || !utf8.ValidString(got) {
			t.Errorf("Safe(%q) = %q", text, got)
		}
	})
}

// hostile is what an agent may register for its address, or a server say.
const hostile = "10.0.0.1\x1b]0;owned\x07\u009b31m\u202e\r\x7f"

// TestNothingCommands: whatever way a text takes, nothing in it commands the
// terminal.
func TestNothingCommands(t *testing.T) {
	t.Parallel()
	shown := func(t *testing.T, what, text string) {
		t.Helper()
		if strings.ContainsAny(text, "\x1b\x07\u009b\u202e\r\x7f") || !strings.Contains(text, "owned") {
			t.Errorf("%s: %q", what, text)
		}
	}
	for _, e := range []tenant.Event{
		tenant.PlainAgent{ID: "a", Host: hostile, Port: 1, Disabled: true},
		tenant.Warning{Text: hostile},
		tenant.AgentVersion{ID: "a", Host: hostile, Port: 1},
		tenant.Undone{What: hostile},
	} {
		m, _, errs := presenter(render.Options{Verbose: true})
		m.Event(e)
		shown(t, fmt.Sprintf("%T", e), errs.String())
	}
	m, _, errs := presenter(render.Options{})
	m.Fail("add", &tenant.UndoneError{Err: errors.New("x"), Left: []tenant.Leftover{{What: hostile}}})
	shown(t, "what is left", errs.String())
	for _, format := range []render.Format{render.FormatTable, render.FormatJSON, render.FormatLines} {
		m, out, _ := presenter(render.Options{Format: format})
		if err := m.Result("x", screen{hostile}); err != nil {
			t.Error(err)
		}
		shown(t, string(format), out.String())
		if format == render.FormatTable {
			continue
		}
		var read screen
		if err := json.Unmarshal(out.Bytes(), &read); err != nil || read.Text != hostile {
			t.Errorf("%s: reads back as %q, %v", format, read.Text, err)
		}
	}
}

// screen is a result that takes no care.
type screen struct {
	Text string `json:"text"`
}

func (s screen) Screen() render.Screen {
	return render.Screen{{Title: s.Text, Text: s.Text, Fields: []render.Field{{Name: "x", Value: s.Text}}}}
}

package render_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
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

package upgrade

import (
	"regexp"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// Doubt is an option whose value the programs of Keylime will not read as it
// was meant.
type Doubt struct {
	Key Key
	Why string
}

// readBack reads a new file as its component will, and says which values are
// not those of the configuration. Templates do not look at what they write.
func readBack(f *File, d *Document) []Doubt {
	ini, err := config.ParseINI(f.Component+".conf", f.Content)
	if err != nil {
		return []Doubt{{Key{f.Component, ""}, "the new file cannot be read: " + err.Error()}}
	}
	scalar, err := regexp.Compile(tomlScalar)
	if err != nil {
		return nil
	}
	var doubts []Doubt
	for _, k := range f.Keys {
		written, there := ini.Get(k.Section, k.Option)
		value, _ := d.Get(k.Section, k.Option)
		switch {
		case !there:
		case f.Component == "agent":
			if !isTOML(scalar, written) {
				doubts = append(doubts, Doubt{k, "the value in the new file is no TOML, so the agent will refuse the file"})
			}
		case strings.TrimSpace(strip(written)) != strings.TrimSpace(value):
			why := "the new file holds another value"
			if strings.Contains(value, "\n") {
				why = "the value has several lines, of which the new file keeps the first"
			}
			doubts = append(doubts, Doubt{k, why})
		}
	}
	return doubts
}

// quotedOnce are values of the agent between single quotes. TOML takes these
// off, and the reader of the upgrade does not, so that they become part of the
// value.
func quotedOnce(d *Document) []Doubt {
	var doubts []Doubt
	for _, e := range d.entries("agent") {
		if v := e.value; len(v) > 1 && v[0] == '\'' && v[len(v)-1] == '\'' {
			doubts = append(doubts, Doubt{Key{"agent", e.name}, "the single quotes become part of the value: write double quotes in the old file"})
		}
	}
	return doubts
}

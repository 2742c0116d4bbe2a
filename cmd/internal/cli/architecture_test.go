package cli_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/keylime/keylime-tenant/"

// allowed says which of our own packages a room may import: the longest
// matching prefix of the importing package rules. "" means nothing of ours.
// DESIGN.md section 3 draws it; arrows point downwards only.
var allowed = map[string]string{
	"cmd/keylime_tenant":  "cmd/internal",
	"cmd/internal/cli":    "cmd/internal tenant client policy payload completions",
	"cmd/internal/render": "cmd/internal/render cmd/internal/pyjson cmd/internal/pylog tenant client policy payload",
	"cmd/internal/config": "cmd/internal/pyjson",
	// Upgrades of configurations are read with the parser of configurations.
	"cmd/internal/config/upgrade": "cmd/internal/config cmd/internal/pyjson",

	"cmd/internal/classic": "cmd/internal/argparse",
	"cmd/internal":         "cmd/internal tenant client policy payload",
	"tenant":               "tenant client policy payload",
	"tenant/tpmkey":        "",
	"tenant/quote":         "tenant/tpmkey",
	"tenant/ek":            "tenant/tpmkey",
	"tenant/doctor":        "tenant/ek client",
	"tenant/tpmdev":        "tenant/quote",
	"tenant/lab":           "tenant client policy payload",
	"tenant/lab/softtpm":   "tenant/quote tenant/ek tenant/tpmkey",
	"client":               "client",
	"policy":               "policy",
	"policy/eventlog":      "policy/eventlog",
	"policy/pyre":          "",
	"policy/dsse":          "",
	"payload":              "payload",
	"completions":          "",
}

// confined libraries never leave the tree named.
var confined = map[string]string{
	"github.com/spf13/cobra":                "cmd",
	"github.com/spf13/pflag":                "cmd",
	"github.com/spf13/viper":                "cmd",
	"github.com/fatih/color":                "cmd",
	"github.com/olekukonko/tablewriter":     "cmd",
	"charm.land/bubbletea/v2":               "cmd",
	"github.com/schollz/progressbar/v3":     "cmd",
	"github.com/google/go-tpm":              "tenant",
	"github.com/dlclark/regexp2/v2":         "policy/pyre",
	"github.com/pelletier/go-toml/v2":       "tenant/lab",
	"github.com/rogpeppe/go-internal":       "(tests)",
	"github.com/google/go-cmp":              "(tests)",
	"go.uber.org/goleak":                    "(tests)",
	"gopkg.in/yaml.v3":                      "(nowhere)",
	"github.com/google/go-eventlog":         "(nowhere)",
	"github.com/hashicorp/go-retryablehttp": "(nowhere)",
}

// TestArchitecture holds the imports of every package against DESIGN.md
// section 3, so that an arrow that points upwards fails the build.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	seen := map[string]bool{}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		rule := longestPrefix(room)
		if rule == "" {
			t.Errorf("%s: no rule says what this room may know of", room)
			continue
		}
		seen[rule] = true
		for _, path := range p.Imports {
			if own, ours := strings.CutPrefix(path, module); ours {
				if own == "client/pkitest" {
					t.Errorf("%s imports %s, which is for tests alone", room, own)
				}
				if !within(own, strings.Fields(allowed[rule])) && !within(own, []string{room}) {
					t.Errorf("%s imports %s, which DESIGN.md section 3 does not allow", room, own)
				}
				continue
			}
			for library, home := range confined {
				if (path == library || strings.HasPrefix(path, library+"/")) && !within(room, []string{home}) {
					t.Errorf("%s imports %s, which must not leave %s", room, path, home)
				}
			}
		}
	}
	for rule := range allowed {
		if !seen[rule] && rule != "cmd/internal" {
			t.Errorf("the rule for %s rules nothing: has the room been renamed?", rule)
		}
	}
}

func longestPrefix(room string) string {
	best := ""
	for rule := range allowed {
		if within(room, []string{rule}) && len(rule) > len(best) {
			best = rule
		}
	}
	return best
}

// within says whether path is one of the roots or lies below one.
func within(path string, roots []string) bool {
	for _, root := range roots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

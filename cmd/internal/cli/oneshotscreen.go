package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// oneshotResult is what oneshot shows.
type oneshotResult struct {
	*tenant.OneshotResult
	// columns is the width of the terminal, 0 if there is none.
	columns int
}

// Names are the names of the checks that refused here, and the events of the
// verifier.
func (r *oneshotResult) Names() []string {
	names := r.explained().Names()
	if r.Verifier != nil {
		for _, f := range r.Verifier.Failures {
			names = append(names, f.EventID)
		}
	}
	return names
}

// explained is what was judged here, in the form of explain, which knows how to
// show it.
func (r *oneshotResult) explained() *explanation {
	return &explanation{Explanation: &tenant.Explanation{Findings: r.Findings, Checks: r.Checks, Notes: r.Notes, Evidence: r.Evidence}, columns: r.columns}
}

// Screen shows the verdicts, then the reasons, and what they rest on.
func (r *oneshotResult) Screen() render.Screen {
	x := r.explained()
	verdict := func(name string, refused bool, detail string) render.Field {
		f := render.Field{Name: name, Value: "accepts" + detail, Tone: render.Good}
		if refused {
			f.Value, f.Tone = "refuses"+detail, render.Bad
		}
		return f
	}
	var fields []render.Field
	if v := r.Verifier; v != nil {
		fields = append(fields, verdict("VERIFIER", !v.Valid, " this machine ("+render.Safe(v.Address)+")"))
	} else {
		fields = append(fields, render.Field{Name: "VERIFIER", Value: "not asked", Tone: render.Doubtful})
	}
	local := ""
	if n := len(r.Findings); n > 0 {
		local = ": " + count(n, "finding")
	}
	fields = append(fields, verdict("JUDGED HERE", len(r.Findings) > 0, local),
		render.Field{Name: "TPM", Value: x.wrapped(fmt.Sprintf("%s, AK %s signing with %s", render.Safe(r.TPM.Address), r.TPM.EncAlg, r.TPM.SignAlg))},
		render.Field{Name: "EVIDENCE", Value: x.wrapped(x.evidenceText())})
	screen := render.Screen{{Fields: fields}}
	if v := r.Verifier; v != nil && len(v.Failures) > 0 {
		var b strings.Builder
		shown := v.Failures[:min(len(v.Failures), manyFiles)]
		for i, f := range shown {
			b.WriteString(x.hanging(fmt.Sprintf("%d. ", i+1), clean(f.EventID)+": "+clean(f.Words)))
			if text := contextText(f.Context); text != "" {
				b.WriteString(x.hanging("   ", text))
			}
		}
		if more := len(v.Failures) - len(shown); more > 0 {
			fmt.Fprintf(&b, "and %d more (-o json shows all)\n", more)
		}
		screen = append(screen, render.Section{Title: "What the verifier says", Text: strings.TrimRight(b.String(), "\n")})
	}
	found := x.found()
	if len(found) > 0 && r.Verifier != nil {
		screen = append(screen, render.Section{Text: "The same, judged here:"})
	}
	screen = append(screen, found...)
	return append(screen, x.restsOn()...)
}

// contextWidth bounds what is shown of a verifier's context, in characters.
const contextWidth = 300

// contextText is the context of a failure in one line.
func contextText(raw []byte) string {
	text := clean(string(raw))
	if text == "{}" || text == "null" {
		return ""
	}
	if runes := []rune(text); len(runes) > contextWidth {
		return string(runes[:contextWidth]) + "..."
	}
	return text
}

// hexOctets reads a hexadecimal number, with or without 0x.
func hexOctets(text string) ([]byte, error) {
	return hex.DecodeString(strings.TrimPrefix(strings.ToLower(text), "0x"))
}

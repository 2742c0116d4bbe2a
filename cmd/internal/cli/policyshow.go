package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

func newPolicyShowCmd(a *app) *cobra.Command {
	return a.command("show FILE", "say in words what a policy, a boot log or an IMA list holds",
		`Say in words what FILE holds: a measured-boot policy, a runtime policy, plain or signed,
an old allowlist, a boot log or an IMA list. What it is is seen from its content.

For a policy: what it demands, what it leaves open, what is odd about it. For a boot log:
every event. With -o json a boot log comes out in the form that Keylime's verifier works
with, which is that of tpm2_eventlog.`,
		`keylime_tenant policy show refstate.json
keylime_tenant policy show boot.log -o json | jq '.events[] | select(.PCRIndex == 4)'`,
		oneArg("FILE"), func(ctx context.Context, args []string) error {
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			result, err := a.describe(ctx, d)
			if err != nil {
				return err
			}
			return a.show(result)
		})
}

// describe puts a file in words.
func (a *app) describe(ctx context.Context, d *document) (any, error) {
	switch d.content {
	case contentBootLog:
		log, err := d.bootLog()
		if err != nil {
			return nil, err
		}
		return logResult{path: d.path, log: log}, nil
	case contentIMAList, contentIMABinary:
		return describeList(ctx, d)
	case contentMBPolicy:
		p, err := d.mbPolicy()
		if err != nil {
			return nil, err
		}
		return newMBResult(d, p), nil
	case contentRuntimePolicy:
		p, _, err := d.runtimePolicy()
		if err != nil {
			return nil, err
		}
		return runtimeResult{Kind: d.content.name(), File: d.path, what: d.content.String(), Summary: p.Summarize(), words: p.Words()}, nil
	case contentSigned:
		return describeSigned(d)
	case contentAllowlist:
		return a.describeAllowlist(d)
	case contentJSON:
		return describeEmpty(d)
	}
	return nil, d.unfit("a policy, a boot log or an IMA list")
}

// describeEmpty is for JSON that is no policy: {} and the like are one that
// checks nothing.
func describeEmpty(d *document) (mbResult, error) {
	data, err := d.bytes()
	if err != nil {
		return mbResult{}, err
	}
	if !measuredboot.IsEmpty(data) {
		// Perhaps it was meant to be a runtime policy: that parser says where it
		// is broken, if it is.
		var broken *runtime.SyntaxError
		if _, err := runtime.ParsePolicy(data); errors.As(err, &broken) {
			return mbResult{}, &fileError{Path: d.path, Err: err}
		}
		return mbResult{}, &fileError{Path: d.path, Cause: "this is " + d.content.String(),
			Advice: "a runtime policy has the members meta, release, digests, excludes ...; a measured-boot policy has scrtm_and_bios, pk, kek, db, dbx, kernels"}
	}
	p, err := measuredboot.Parse(data)
	if err != nil {
		return mbResult{}, &fileError{Path: d.path, Err: err}
	}
	return newMBResult(d, p), nil
}

// describeSigned shows what was signed. Nothing is verified.
func describeSigned(d *document) (any, error) {
	data, err := d.bytes()
	if err != nil {
		return nil, err
	}
	ids, err := dsse.KeyIDs(data)
	if err != nil {
		return nil, &fileError{Path: d.path, Err: err}
	}
	payload, err := dsse.Payload(data)
	if err != nil {
		return nil, &fileError{Path: d.path, Err: err}
	}
	p, err := runtime.ParsePolicy(payload)
	if err != nil {
		return nil, &fileError{Path: d.path, Cause: "what is signed is no valid runtime policy", Err: err}
	}
	return runtimeResult{Kind: d.content.name(), File: d.path, KeyIDs: ids, what: d.content.String(), Summary: p.Summarize(), words: p.Words()}, nil
}

func (a *app) describeAllowlist(d *document) (any, error) {
	data, err := d.bytes()
	if err != nil {
		return nil, err
	}
	p, warnings, err := runtime.ConvertLegacy(data, nil, a.now())
	if err != nil {
		return nil, &fileError{Path: d.path, Err: err}
	}
	for _, w := range warnings {
		a.warn(d.path, w, "")
	}
	return runtimeResult{Kind: d.content.name(), File: d.path, what: d.content.String(), Summary: p.Summarize(), words: p.Words()}, nil
}

// mbResult is a measured-boot policy in words.
type mbResult struct {
	Kind    string `json:"kind"`
	File    string `json:"file"`
	Summary string `json:"summary"`
	measuredboot.Explanation
	what string
}

func newMBResult(d *document, p *measuredboot.Policy) mbResult {
	return mbResult{Kind: contentMBPolicy.name(), File: d.path, what: contentMBPolicy.String(), Summary: mbSummary(p), Explanation: measuredboot.Explain(p)}
}

// Screen lists what it demands, what it leaves open, and what is odd.
func (r mbResult) Screen() render.Screen {
	screen := render.Screen{{Title: r.File + ": " + r.what, Text: r.Summary}}
	for _, part := range []struct {
		title string
		lines []string
	}{{"A boot must have", r.Demands}, {"A verifier does not look at", r.Open}, {"Warnings", r.Warnings}} {
		if len(part.lines) > 0 {
			screen = append(screen, render.Section{Title: part.title, Text: bullets(part.lines)})
		}
	}
	return screen
}

// bullets writes sentences one a line.
func bullets(lines []string) string {
	safe := make([]string, len(lines))
	for i, line := range lines {
		safe[i] = "- " + clean(line)
	}
	return strings.Join(safe, "\n")
}

// clean makes text of a file fit for a terminal without cutting it.
func clean(text string) string {
	if safe := render.Safe(text); len(safe) >= len(text) {
		return safe
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, text)
}

// runtimeResult is a runtime policy in words and numbers.
type runtimeResult struct {
	Kind string `json:"kind"`
	File string `json:"file"`
	// KeyIDs are those in the envelope of a signed policy. Nobody has verified
	// anything.
	KeyIDs []string `json:"unverified_key_ids,omitempty"`
	runtime.Summary
	what  string
	words []string
}

// Screen shows the sentences.
func (r runtimeResult) Screen() render.Screen {
	screen := render.Screen{{Title: r.File + ": " + r.what, Text: bullets(r.words)}}
	if r.KeyIDs == nil {
		return screen
	}
	ids := make([]string, len(r.KeyIDs))
	for i, id := range r.KeyIDs {
		if len(id) > 64 {
			id = id[:40] + "... (" + count(len(id), "octet") + ": a certificate)"
		}
		ids[i] = render.Safe(id)
	}
	return append(screen, render.Section{Fields: []render.Field{
		{Name: "key ids", Value: strings.Join(ids, "\n")},
		{Name: "signature", Value: "not verified: keylime_tenant policy verify " + r.File + " --key PUBLIC_KEY", Tone: render.Doubtful},
	}})
}

// logResult is a boot log.
type logResult struct {
	path string
	log  *eventlog.Log
}

// MarshalJSON is the form of PROTOCOL.md 12.2.
func (r logResult) MarshalJSON() ([]byte, error) { return json.RawMessage(r.log.JSON()), nil }

// Screen shows the log as a table of events, and what PCR values it leads to.
func (r logResult) Screen() render.Screen {
	fields := []render.Field{
		{Name: "size", Value: fmt.Sprintf("%d octets, %s", r.log.Size, count(len(r.log.Events), "event"))},
		{Name: "banks", Value: strings.Join(r.log.Banks, ", ")},
	}
	if r.log.Header == nil {
		fields = append(fields, render.Field{Name: "form", Value: "the old one with SHA-1 digests, which verifiers do not read", Tone: render.Bad})
	}
	if r.log.Padding > 0 {
		fields = append(fields, render.Field{Name: "padding", Value: fmt.Sprintf("%d octets after the last event", r.log.Padding), Tone: render.Doubtful})
	}
	bank := r.log.Banks[len(r.log.Banks)-1]
	if r.log.HasBank("sha256") {
		bank = "sha256"
	}
	events := render.Table{Header: []string{"EVENT", "PCR", "TYPE", strings.ToUpper(bank), "WHAT"}}
	for i := range r.log.Events {
		e := &r.log.Events[i]
		digest := "-"
		if d := e.Digest(bank); len(d) > 6 {
			digest = hex.EncodeToString(d[:6])
		}
		pcr := fmt.Sprint(e.PCR)
		if e.Type == eventlog.NoAction {
			pcr = "-"
		}
		events.Rows = append(events.Rows, []string{fmt.Sprint(e.Num), pcr, strings.TrimPrefix(e.Type.String(), "EV_"), digest, clean(e.Describe())})
	}
	screen := render.Screen{{Title: r.path + ": " + contentBootLog.String(), Fields: fields}, {Table: &events}}
	pcrs, err := r.log.Replay(bank)
	if err != nil {
		return screen
	}
	values := render.Table{Header: []string{"PCR", "VALUE (" + bank + ") THAT THE LOG LEADS TO"}}
	for n := range 24 {
		if value, found := pcrs[n]; found {
			values.Rows = append(values.Rows, []string{fmt.Sprint(n), hex.EncodeToString(value)})
		}
	}
	return append(screen, render.Section{Table: &values})
}

package cli

import (
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

// listResult tells of an IMA list.
type listResult struct {
	Kind      string         `json:"kind"`
	File      string         `json:"file"`
	Entries   int            `json:"entries"`
	Templates map[string]int `json:"templates"`
	// BootAggregate is the first digest of that name.
	BootAggregate string `json:"boot_aggregate,omitempty"`
	// Violations are files that were open for writing while they were measured,
	// the first of ViolationCount.
	Violations     []string `json:"violations"`
	ViolationCount int      `json:"violation_count"`
	// Unreadable are lines that a verifier cannot judge, the first of
	// UnreadableCount.
	Unreadable      []string `json:"unreadable"`
	UnreadableCount int      `json:"unreadable_count"`
	// PCR10 are the values that the list leads to, by bank.
	PCR10 map[string]string `json:"pcr_10"`

	what string
}

// mostLines bounds the lists in a listResult.
const mostLines = 100

// describeList reads a list once, however long it is.
func describeList(ctx context.Context, d *document) (*listResult, error) {
	defer d.close()
	r := &listResult{Kind: d.content.name(), File: d.path, what: d.content.String(), Templates: map[string]int{}, Violations: []string{}, Unreadable: []string{}, PCR10: map[string]string{}}
	replays := map[string]*ima.Replay{}
	for name, hash := range map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256} {
		replay, err := ima.NewReplay(hash, nil)
		if err != nil {
			return nil, err
		}
		replays[name] = replay
	}
	err := d.entries(ctx, func(e *ima.Entry) {
		r.Entries++
		r.Templates[string(e.Template)]++
		for _, replay := range replays {
			replay.Extend(e, len(e.TemplateHash))
		}
		switch {
		case e.Problem != nil:
			r.UnreadableCount++
			if len(r.Unreadable) < mostLines {
				r.Unreadable = append(r.Unreadable, e.Problem.Error())
			}
		case e.Violation(len(e.TemplateHash)) != ima.NoViolation:
			r.ViolationCount++
			if len(r.Violations) < mostLines {
				r.Violations = append(r.Violations, string(e.Path))
			}
		case string(e.Path) == "boot_aggregate" && r.BootAggregate == "":
			r.BootAggregate = string(e.Alg) + ":" + hex.EncodeToString(e.Digest)
		}
	})
	for name, replay := range replays {
		r.PCR10[name] = hex.EncodeToString(replay.Value())
	}
	return r, err
}

// entries calls f for every entry of a list.
func (d *document) entries(ctx context.Context, f func(*ima.Entry)) error {
	var list ima.Reader
	if d.content == contentIMABinary {
		list = ima.NewBinaryScanner(d.in)
	} else {
		list = ima.NewScanner(d.in)
	}
	for n := 0; list.Scan(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f(list.Entry())
	}
	if err := list.Err(); err != nil {
		return &fileError{Path: d.path, Err: err}
	}
	return nil
}

// Screen shows the numbers.
func (r *listResult) Screen() render.Screen {
	fields := []render.Field{{Name: "entries", Value: fmt.Sprint(r.Entries)}}
	for _, name := range slices.Sorted(maps.Keys(r.Templates)) {
		shown := render.Safe(name)
		if name == "" {
			shown = "none"
		}
		fields = append(fields, render.Field{Name: "template", Value: fmt.Sprintf("%s (%d)", shown, r.Templates[name])})
	}
	if r.BootAggregate != "" {
		fields = append(fields, render.Field{Name: "boot_aggregate", Value: r.BootAggregate})
	}
	for _, name := range slices.Sorted(maps.Keys(r.PCR10)) {
		fields = append(fields, render.Field{Name: "PCR 10 (" + name + ")", Value: r.PCR10[name]})
	}
	if len(r.Violations) > 0 {
		fields = append(fields, render.Field{Name: "violations", Value: fmt.Sprintf("%d\n%s", r.ViolationCount, several(r.Violations)), Tone: render.Doubtful})
	}
	if len(r.Unreadable) > 0 {
		fields = append(fields, render.Field{Name: "unreadable", Value: fmt.Sprintf("%d\n%s", r.UnreadableCount, several(r.Unreadable)), Tone: render.Bad})
	}
	return render.Screen{{Title: r.File + ": " + r.what, Fields: fields}}
}

// policyOfList makes a runtime policy that accepts what a list names: files,
// keys and other buffers.
func (a *app) policyOfList(ctx context.Context, d *document) (*runtime.Policy, error) {
	defer d.close()
	path, remove, err := d.spool() // it may be a pipe, and is read more than once
	if err != nil {
		return nil, err
	}
	defer remove()
	named := func(text string) string { return strings.ReplaceAll(text, path, d.path) }
	p, err := source.Create(ctx, source.Request{ListPath: path, Keyrings: true, Buffers: true, Now: a.now(),
		Warn: func(text string) { a.warn(d.path, named(text), "") }})
	if err != nil {
		return nil, &fileError{Path: d.path, Cause: named(err.Error())}
	}
	return p, nil
}

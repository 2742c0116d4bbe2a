package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

func newPolicyDiffCmd(a *app) *cobra.Command {
	var fail bool
	cmd := a.command("diff A B", "say in words what differs between two policies or logs",
		`Say in words what differs from A to B. Both may be measured-boot policies or boot logs,
or both runtime policies, old allowlists or IMA lists. Order, and who made a policy when,
count for nothing.`,
		`keylime_tenant policy diff refstate.json after-update.log
keylime_tenant policy diff old.json new.json -o json --exit-code`,
		twoArgs("A", "B"), func(ctx context.Context, args []string) error {
			from, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			to, err := a.openDocument(args[1])
			if err != nil {
				return err
			}
			var result *diffResult
			switch {
			case from.isBoot() && to.isBoot():
				result, err = a.diffBoot(from, to)
			case from.isFiles() && to.isFiles():
				result, err = a.diffFiles(ctx, from, to)
			case from.isBoot() || from.isFiles():
				err = to.unfit("what can be compared with " + from.content.String())
			default:
				err = from.unfit("a policy, a boot log or an IMA list")
			}
			if err != nil {
				return err
			}
			if err := a.show(result); err != nil {
				return err
			}
			if fail && len(result.Changes) > 0 {
				return &statusError{Code: exitFailure}
			}
			return nil
		})
	o := options{flags: cmd.Flags()}
	o.on(&fail, "exit-code", "", "end with 1 if there is a difference")
	return cmd
}

// twoArgs wants two arguments.
func twoArgs(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < 2:
			return usagef("%s needs two arguments: %s and %s", cmd.Name(), first, second).hint("%s", helpOf(cmd))
		case len(args) > 2:
			return usagef("%s takes two arguments, so what is %q?", cmd.Name(), args[2]).hint("%s", helpOf(cmd))
		}
		return nil
	}
}

func (d *document) isBoot() bool { return d.content == contentMBPolicy || d.content == contentBootLog }

func (d *document) isFiles() bool {
	return d.content.isList() || d.content == contentRuntimePolicy || d.content == contentSigned || d.content == contentAllowlist
}

// diffBoot compares measured-boot policies, or those that logs give.
func (a *app) diffBoot(from, to *document) (*diffResult, error) {
	before, err := a.mbOf(from)
	if err != nil {
		return nil, err
	}
	after, err := a.mbOf(to)
	if err != nil {
		return nil, err
	}
	result := newDiff(from, to)
	for _, c := range measuredboot.Diff(before, after) {
		result.Changes = append(result.Changes, change{Where: c.Where, Message: c.Message, Removed: c.Removed, Added: c.Added, Weaker: c.Weaker})
	}
	return result, nil
}

// mbOf is a measured-boot policy: the one in a file, or what a log gives, even
// if it is not complete.
func (a *app) mbOf(d *document) (*measuredboot.Policy, error) {
	if d.content == contentMBPolicy {
		return d.mbPolicy()
	}
	log, err := d.bootLog()
	if err != nil {
		return nil, err
	}
	p, err := measuredboot.Create(log, measuredboot.CreateOptions{WithoutSecureBoot: true, AllowPartial: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	for _, lack := range p.Lacks() {
		a.warn(d.path, "the log does not give "+lack, "")
	}
	return p, nil
}

// diffFiles compares runtime policies, or those that lists give.
func (a *app) diffFiles(ctx context.Context, from, to *document) (*diffResult, error) {
	before, err := a.filesOf(ctx, from)
	if err != nil {
		return nil, err
	}
	after, err := a.filesOf(ctx, to)
	if err != nil {
		return nil, err
	}
	result := newDiff(from, to)
	for _, c := range runtime.Diff(before, after) {
		result.Changes = append(result.Changes, change{Section: c.Section, Where: whereOf(c), Message: messageOf(c), Removed: c.Removed, Added: c.Added})
	}
	return result, nil
}

// filesOf is a runtime policy: the one in a file, or what a list names.
func (a *app) filesOf(ctx context.Context, d *document) (*runtime.Policy, error) {
	switch {
	case d.content.isList():
		return a.policyOfList(ctx, d)
	case d.content == contentAllowlist:
		data, err := d.bytes()
		if err != nil {
			return nil, err
		}
		p, _, err := runtime.ConvertLegacy(data, nil, a.now())
		if legacy := new(runtime.LegacyError); errors.As(err, &legacy) {
			return nil, &fileError{Path: d.path, Err: err}
		}
		return p, err
	}
	p, _, err := d.runtimePolicy()
	return p, err
}

// whereOf names what a change of a runtime policy is about.
func whereOf(c runtime.Change) string {
	if c.Name == "" {
		return c.Section
	}
	return c.Name
}

// messageOf is a change of a runtime policy in one sentence.
func messageOf(c runtime.Change) string {
	things := map[string]string{"digests": "file", "keyrings": "keyring", "ima-buf": "buffer"}
	thing, named := things[c.Section]
	if !named || c.Name == "" {
		return c.Section + ": " + gained(len(c.Removed), len(c.Added))
	}
	switch {
	case len(c.Removed) == 0:
		return fmt.Sprintf("%s %s: %s in addition", thing, c.Name, count(len(c.Added), "digest"))
	case len(c.Added) == 0:
		return fmt.Sprintf("%s %s: %s allowed no longer", thing, c.Name, count(len(c.Removed), "digest"))
	}
	return fmt.Sprintf("%s %s: another digest", thing, c.Name)
}

func gained(removed, added int) string {
	switch {
	case removed == 0:
		return fmt.Sprintf("%d more", added)
	case added == 0:
		return fmt.Sprintf("%d gone", removed)
	}
	return fmt.Sprintf("%d more, %d gone", added, removed)
}

// diffResult is what policy diff found.
type diffResult struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Changes []change `json:"changes"`
}

// change is one difference.
type change struct {
	Section string   `json:"section,omitempty"`
	Where   string   `json:"where"`
	Message string   `json:"message"`
	Removed []string `json:"removed,omitempty"`
	Added   []string `json:"added,omitempty"`
	// Weaker says that B demands less than A.
	Weaker bool `json:"weaker,omitempty"`
}

// said says that the message holds the values already.
func (c *change) said() bool {
	for _, v := range append(slices.Clip(c.Removed), c.Added...) {
		if !strings.Contains(c.Message, v) {
			return false
		}
	}
	return true
}

func newDiff(from, to *document) *diffResult {
	return &diffResult{From: from.path, To: to.path, Changes: []change{}}
}

// Names are the objects that differ.
func (r *diffResult) Names() []string {
	names := make([]string, 0, len(r.Changes))
	for _, c := range r.Changes {
		names = append(names, c.Where)
	}
	return names
}

// shownChanges bounds the changes on a screen; JSON has all.
const shownChanges = 200

// Screen shows the changes: what is gone with a minus, what is new with a plus.
func (r *diffResult) Screen() render.Screen {
	if len(r.Changes) == 0 {
		return render.Screen{{Text: "no difference: " + r.From + " and " + r.To + " accept the same"}}
	}
	screen := render.Screen{{Title: r.From + " -> " + r.To, Text: count(len(r.Changes), "difference")}}
	for i, c := range r.Changes {
		if i == shownChanges {
			screen = append(screen, render.Section{Text: fmt.Sprintf("and %d more (-o json shows all)", len(r.Changes)-i)})
			break
		}
		text := clean(c.Message)
		if c.Weaker {
			text += " (weaker)"
		}
		if !c.said() {
			text += signed("  - ", c.Removed) + signed("  + ", c.Added)
		}
		screen = append(screen, render.Section{Text: text})
	}
	return screen
}

// signed writes values below one another with a sign in front.
func signed(sign string, values []string) string {
	text := ""
	for i, v := range values {
		if i == listed {
			return text + fmt.Sprintf("\n%sand %d more", sign, len(values)-i)
		}
		text += "\n" + sign + clean(v)
	}
	return text
}

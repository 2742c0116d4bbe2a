package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/tenant"
)

// healthFlags are the options of verbs that judge the health of agents.
type healthFlags struct {
	maxAge       seconds
	only, failOn string
}

func (h *healthFlags) add(cmd *cobra.Command) {
	o := &options{flags: cmd.Flags(), section: "Health"}
	o.limit(&h.maxAge, "max-age", "how old the last good quote may be (default: twice the verifier's maximum_attestation_interval)")
	o.text(&h.only, "health", "", "WORD,...", "only agents of this health")
	o.text(&h.failOn, "fail-on", "", "WORD,...", "exit code 3 if an agent shown is of this health")
}

// words reads a list of words for health.
func healthWords(option, text string) ([]tenant.Health, error) {
	if text == "" {
		return nil, nil
	}
	var known []string
	for _, h := range tenant.Healths() {
		known = append(known, string(h.Health))
	}
	var words []tenant.Health
	for _, word := range strings.Split(text, ",") {
		word = strings.TrimSpace(word)
		if !slices.Contains(known, word) {
			u := usagef("%s: there is no health %q", option, word)
			if near := nearest(word, known); near != "" {
				return nil, u.hint("did you mean %s?", near)
			}
			return nil, u.hint("%s", strings.Join(known, ", "))
		}
		words = append(words, tenant.Health(word))
	}
	return words, nil
}

// healthText explains the words, for help.
func healthText() string {
	var b strings.Builder
	for _, h := range tenant.Healths() {
		fmt.Fprintf(&b, "\n  %-12s %s", h.Health, h.Meaning)
	}
	return b.String()
}

func newStatusCmd(a *app) *cobra.Command {
	var flags healthFlags
	cmd := a.command("status [ID | PATTERN]...", "how all agents are, or everything about one", `Show how the agents of registrar and verifier are, the worst first: one word for each,
with the age of its last good quote. It takes one request to each server. With the id of
one agent, show everything that both servers say about it; with several, or patterns such
as 'web-*', their lines of the table.

HEALTH is this program's own word, where the verifier says PASS even to an agent it has
never attested:
`+healthText()+`

Exit code: of the table 0, or 3 if --fail-on says so; of one agent 0 if it is healthy or
pending, 3 if its attestation has failed or was stopped, 5 if a server does not know it, 6
if no good quote has come for too long, unless --fail-on says what is bad. Always 6 if one
of the servers cannot be reached.`,
		`keylime_tenant status
keylime_tenant status --health failed,stale -o wide
keylime_tenant status --fail-on failed,stale,late --max-age 1m --quiet
keylime_tenant status d432fbb3-d2f1-4a97-9ef7-75bd81c00000`,
		cobra.ArbitraryArgs, func(ctx context.Context, args []string) error { return a.runStatus(ctx, args, &flags) })
	flags.add(cmd)
	cmd.SuggestFor = []string{"show", "state", "get", "health", "fleet"}
	cmd.ValidArgsFunction = a.completerOfMany(a.anyIDs)
	return cmd
}

func (a *app) runStatus(ctx context.Context, args []string, flags *healthFlags) error {
	only, err := healthWords("--health", flags.only)
	if err != nil {
		return err
	}
	failOn, err := healthWords("--fail-on", flags.failOn)
	if err != nil {
		return err
	}
	t, err := a.tenant(ctx)
	if err != nil {
		return err
	}
	switch {
	case a.compat():
		return a.classicStatus(ctx, t, args)
	case len(args) == 1 && only == nil && !strings.ContainsAny(args[0], `*?[\`):
		return a.oneStatus(ctx, t, args[0], time.Duration(flags.maxAge), failOn)
	}
	result, err := t.Fleet(ctx, tenant.FleetRequest{VerifierID: a.global.verifierID, Patterns: args, Only: only, MaxAge: time.Duration(flags.maxAge)})
	if err != nil {
		return err
	}
	if err := a.show(result); err != nil {
		return err
	}
	return a.fleetFailure(result, failOn)
}

// classicStatus is the status of the Python tenant: first the registrar, then
// the verifier if the registrar knows the agent.
func (a *app) classicStatus(ctx context.Context, t *tenant.Tenant, args []string) error {
	result, err := t.Status(ctx, args[0])
	if result != nil {
		if showErr := a.show(result); showErr != nil {
			return showErr
		}
	}
	return err
}

// oneStatus shows one agent and decides what it means.
func (a *app) oneStatus(ctx context.Context, t *tenant.Tenant, id string, maxAge time.Duration, failOn []tenant.Health) error {
	status, err := t.AgentStatus(ctx, id, maxAge)
	if status == nil {
		return err
	}
	status.Attestation = t.LastAttestation(ctx, status)
	if showErr := a.show(status); showErr != nil {
		return showErr
	}
	switch {
	case err != nil:
		return err
	case failOn != nil && slices.Contains(failOn, status.Health):
		return badHealth(fmt.Sprintf("agent %s is %s: %s", id, status.Health, status.Reason))
	case failOn != nil:
		return nil
	case status.Verifier == nil:
		return &tenant.NotFoundError{What: "agent", Name: id, Server: tenant.ServerVerifier, Hint: programName + " add " + id + " enrols it"}
	}
	if err := a.healthError(status.Verifier); err != nil || status.Registrar != nil {
		return err
	}
	return &tenant.NotFoundError{What: "agent", Name: id, Server: tenant.ServerRegistrar,
		Hint: "start the agent so that it registers, or end its attestation: " + programName + " delete " + id}
}

// badHealth is what --fail-on makes of a health.
func badHealth(text string) error {
	return &statusError{Code: exitRefused, Err: errors.New(text)}
}

// fleetFailure is the failure that a joined view means after it was shown: what
// --fail-on names, a server that did not answer, or ids that nobody knows.
func (a *app) fleetFailure(f *tenant.FleetResult, failOn []tenant.Health) error {
	var parts []string
	bad := 0
	for _, h := range failOn {
		if n := f.Summary[h]; n > 0 {
			bad += n
			parts = append(parts, fmt.Sprintf("%d %s", n, h))
		}
	}
	for _, s := range []tenant.ServerState{f.Verifier, f.Registrar} {
		switch {
		case s.Err == nil:
		case bad == 0:
			return &advisedError{Err: s.Err, Advice: "the table holds what the other server says"}
		default:
			a.present().Event(tenant.Warning{Kind: warnHalf, Text: s.Error})
		}
	}
	switch {
	case bad > 0:
		return badHealth(fmt.Sprintf("%d of %d agents: %s", bad, len(f.Agents), strings.Join(parts, ", ")))
	case len(f.Missing) > 0:
		return &tenant.NotFoundError{What: "agent", Name: f.Missing[0], Server: tenant.ServerRegistrar, Hint: programName + " status lists the agents of both servers"}
	}
	return nil
}

// warnHalf is the warning that one of the servers did not answer.
const warnHalf tenant.WarningKind = "server-missing"

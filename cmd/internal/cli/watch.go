package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
)

// watchFlags are the options of watch.
type watchFlags struct {
	interval, maxAge seconds
	only, exec       string
	times            int
}

func newWatchCmd(a *app) *cobra.Command {
	var flags watchFlags
	cmd := a.command("watch [ID | PATTERN]...", "follow how agents are", `Follow how the agents of registrar and verifier are. On a terminal this is a table that
keeps itself current, with what has changed below it; elsewhere, or with --verbose or
--debug, a line for each change. -o jsonl writes the changes as JSON, a line each.

An interval costs the verifier one request: the record of the one agent that is followed,
or all records in bulk. The registrar is asked every fifth time.

--exec runs CMD by the shell for each change of an agent or of a server, one after the
other, with these variables:

  KEYLIME_WATCH_AGENT     id of the agent, or
  KEYLIME_WATCH_SERVER    verifier or registrar
  KEYLIME_WATCH_FROM      health before: a word of "status --help", or absent;
  KEYLIME_WATCH_TO        and now. Of servers: reachable, unreachable
  KEYLIME_WATCH_REASON    why, in words
  KEYLIME_WATCH_TIME      when, as in 2026-11-25T19:00:00Z
  KEYLIME_WATCH_COUNT     quotes of the agent accepted so far
  KEYLIME_WATCH_EVENT_ID  the verifier's id of the last failure

CMD is given a minute. What it prints is shown on stderr, in the table below it.`,
		`keylime_tenant watch
keylime_tenant watch 'web-*' --interval 10s --max-age 1m
keylime_tenant watch --exec 'logger "$KEYLIME_WATCH_AGENT is $KEYLIME_WATCH_TO: $KEYLIME_WATCH_REASON"'
keylime_tenant watch -o jsonl | jq -r 'select(.to == "failed") | .agent_id'`,
		cobra.ArbitraryArgs, func(ctx context.Context, args []string) error { return a.runWatch(ctx, args, &flags) })
	o := &options{flags: cmd.Flags()}
	o.limit(&flags.interval, "interval", "time between two looks (default 2s)")
	o.limit(&flags.maxAge, "max-age", "how old the last good quote may be (default: twice the verifier's maximum_attestation_interval)")
	o.text(&flags.only, "health", "", "WORD,...", "show only agents of this health, and changes to and from it")
	o.text(&flags.exec, "exec", "", "CMD", "run CMD on each change")
	o.flags.IntVar(&flags.times, "times", 0, "end after so many looks (default: never)")
	o.note("times", "NUMBER")
	cmd.ValidArgsFunction = a.completerOfMany(a.anyIDs)
	return cmd
}

// watch is one call of watch.
type watch struct {
	a    *app
	only []tenant.Health
	// hook runs commands on changes, nil if there is none.
	hook    *changeHook
	request tenant.WatchRequest
	// screen is the table while it has the terminal: nothing else may write to
	// it then.
	screen atomic.Pointer[tea.Program]
}

func (a *app) runWatch(ctx context.Context, args []string, flags *watchFlags) error {
	only, err := healthWords("--health", flags.only)
	if err != nil {
		return err
	}
	if flags.times < 0 {
		return usagef("--times %d: there cannot be fewer than none", flags.times)
	}
	format, err := a.global.format()
	if err != nil {
		return err
	}
	if format != render.FormatTable && format != render.FormatLines {
		return usagef("watch has no end, so it cannot be written as %s", format).hint("-o jsonl writes a line of JSON for each change")
	}
	t, err := a.tenant(ctx)
	if err != nil {
		return err
	}
	w := &watch{a: a, only: only, request: tenant.WatchRequest{
		FleetRequest: tenant.FleetRequest{VerifierID: a.global.verifierID, Patterns: args, MaxAge: time.Duration(flags.maxAge)},
		Interval:     time.Duration(flags.interval), Looks: flags.times, Probe: a.probeVerifier,
	}}
	if w.request.Interval == 0 {
		w.request.Interval = tenant.DefaultWatchInterval
	}
	tell := t.Emit
	t.Emit = func(e tenant.Event) {
		if w.screen.Load() == nil {
			tell(e)
		}
	}
	return w.run(ctx, t, flags.exec, a.canDraw(format))
}

// canDraw says that the terminal can hold a table that keeps itself current.
func (a *app) canDraw(format render.Format) bool {
	term, _ := a.getenv("TERM")
	return a.streams.InTTY && a.streams.OutTTY && term != "dumb" && format == render.FormatTable && !a.global.verbose && !a.global.debug
}

// run follows until the end. An interrupt is the usual one, and no failure to
// tell of.
func (w *watch) run(ctx context.Context, t *tenant.Tenant, command string, draw bool) error {
	follow := w.lines
	if draw {
		follow = w.table
	}
	if command != "" {
		w.hook = newChangeHook(w.a.env, command, w.say)
	}
	err := follow(ctx, t)
	if w.hook != nil {
		w.hook.end(err != nil || draw)
	}
	if errors.Is(err, errInterrupted) || err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return &statusError{Code: exitInterrupted}
	}
	return err
}

// say tells what a command on a change has printed, or that it has failed.
func (w *watch) say(text string) {
	if p := w.screen.Load(); p != nil {
		p.Send(watchSaid(text))
		return
	}
	fmt.Fprintln(w.a.errOut(), "exec: "+text)
}

// shows says whether a change concerns what is shown.
func (w *watch) shows(c tenant.Change) bool {
	return len(w.only) == 0 || c.Server != "" || slices.Contains(w.only, tenant.Health(c.From)) || slices.Contains(w.only, tenant.Health(c.To))
}

// changes are those of a snapshot that concern what is shown; the hook has been
// told of them.
func (w *watch) changes(s *tenant.Snapshot) []tenant.Change {
	var list []tenant.Change
	for _, c := range s.Changes {
		if !w.shows(c) {
			continue
		}
		list = append(list, c)
		if w.hook != nil {
			w.hook.changed(c)
		}
	}
	return list
}

// probeVerifier settles the protocol with the verifier on a connection of its
// own.
func (a *app) probeVerifier(ctx context.Context) (client.Negotiation, error) {
	c, err := client.New(client.Config{Name: client.VerifierName, Host: a.configured.VerifierHost, Port: a.configured.VerifierPort,
		TLS: a.tls, Timeout: a.configured.RequestTimeout})
	if err != nil {
		return client.Negotiation{}, err
	}
	defer c.Close()
	return c.Negotiate(ctx)
}

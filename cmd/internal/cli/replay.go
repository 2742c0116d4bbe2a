package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

// replayFlags are the options of replay.
type replayFlags struct {
	store, start, end, rules string
	last                     bool
}

func newReplayCmd(a *app) *cobra.Command {
	var f replayFlags
	cmd := a.command("replay [ID...]", "whether machines were what they should be, by the records of durable attestation",
		`Judge recorded attestations once more, and say of each agent whether it was attested all
the time, and if not, since when not, by which record, and what was wrong.

With durable attestation registrar and verifier keep what they have seen in a store of its
own. replay verifies of each record the quote, with an AK that was registered, its nonce and
the TPM's clock, and holds PCRs, boot log and IMA list against the policies that the verifier
had at that time. No server is asked but a Redis server that is the store. All records of the
window are judged, also those after a failure.

The store is the one in registrar.conf, or else in verifier.conf (durable_attestation_import,
persistent_store_url). How boots are judged, verifier.conf says (measured_boot_policy_name);
each record's boot is judged, also with measured_boot_evaluate = once. A time without an
offset is local time, a date alone its midnight; both ends belong to the window. Records
before it are read where the first one builds upon their IMA list.

The old spelling goes on working: keylime_attest -u ID -s START -e END.

Exit code: 0 if all records are good, 3 if one is not, 5 if an agent that is named, or every
agent, has no record in the window, 6 if the store is not reached.`,
		`keylime_tenant replay
keylime_tenant replay d432fbb3-d2f1-4a97-9ef7-75bd81c00000 --start 2026-03-01 --end 2026-03-02T12:00:00Z
keylime_tenant replay --last
keylime_tenant replay --store 'file:///var/lib/keylime/da?prefix=da' -o json | jq -r '.agents[].first_bad.time'`,
		cobra.ArbitraryArgs, func(ctx context.Context, args []string) error { return a.replay(ctx, &f, args) })
	o := options{flags: cmd.Flags(), section: "Records"}
	o.text(&f.store, "store", "", "URL", "where the records are, instead of what is configured: file:///DIR?prefix=NAME, a directory, or redis://HOST:PORT?db=N&password=FILE&prefix=NAME")
	o.text(&f.start, "start", "", "TIME", "no record before TIME: 2026-03-01, 2026-03-01T08:00:00, with Z or an offset if it is not local time (default: the first record)")
	o.text(&f.end, "end", "", "TIME", "no record after TIME (default: the last record)")
	o.on(&f.last, "last", "", "only the last record of each agent")
	o.section = "Judgement"
	o.text(&f.rules, "boot-rules", "", "example|accept-all", "how boots are judged, instead of measured_boot_policy_name of verifier.conf")
	cmd.SuggestFor = []string{"attest", "history", "audit"}
	cmd.ValidArgsFunction = a.completerOfMany(func(ctx context.Context) ([]string, error) { return a.storedIDs(ctx, f.store) })
	return cmd
}

func (a *app) replay(ctx context.Context, f *replayFlags, ids []string) error {
	request := tenant.ReplayRequest{IDs: slices.Compact(slices.Sorted(slices.Values(ids)))}
	for _, id := range ids {
		if err := tenant.CheckAgentID(id); err != nil {
			return err
		}
	}
	var err error
	if request.Window, err = f.window(time.Local); err != nil {
		return err
	}
	if request.Rules, err = a.replayRules(f.rules); err != nil {
		return err
	}
	store, err := a.openStore(ctx, f.store)
	if err != nil {
		return err
	}
	defer store.Close()
	progress := a.newReplayProgress()
	request.Progress = progress.report
	found, err := tenant.Replay(ctx, store, request)
	progress.done()
	if err != nil {
		return storeFailure(unknownAgent(ctx, store, err))
	}
	result := &replayResult{ReplayResult: found, columns: a.streams.Width}
	if err := a.show(result); err != nil {
		return err
	}
	return result.failure(len(ids) > 0)
}

// window reads the options about time.
func (f *replayFlags) window(zone *time.Location) (w durable.Window, err error) {
	if f.last && (f.start != "" || f.end != "") {
		return w, usagef("--last contradicts --start and --end").hint("the last record of a window is not known before it is read: name a shorter window")
	}
	read := func(option, text, open string) (time.Time, error) {
		if text == "" || text == open {
			return time.Time{}, nil
		}
		t, err := parseISO(text, zone)
		if err != nil {
			return t, usagef("%s %q: %w", option, text, err).hint("2026-03-01, 2026-03-01T08:00:00 in local time, 2026-03-01T08:00:00Z, or %s", open)
		}
		return t, nil
	}
	if f.start == "none" { // as keylime_attest -s none
		if f.end != "" && f.end != "last" {
			return w, usagef("--start none means the last record, so --end does not go with it").hint("--last says the same")
		}
		f.last, f.start, f.end = true, "", ""
	}
	w.Last = f.last
	if w.From, err = read("--start", f.start, "first"); err != nil {
		return w, err
	}
	if w.To, err = read("--end", f.end, "last"); err != nil {
		return w, err
	}
	if !w.From.IsZero() && !w.To.IsZero() && w.To.Before(w.From) {
		return w, usagef("--end %s is before --start %s", f.end, f.start).hint("times without an offset are local time")
	}
	return w, nil
}

// replayRules are those of verifier.conf, unless named.
func (a *app) replayRules(named string) (tenant.ReplayRules, error) {
	judging, err := config.LoadJudging(config.Options{Env: a.env})
	if err != nil {
		return tenant.ReplayRules{}, configFailure(err)
	}
	rules := tenant.ReplayRules{BootPolicy: judging.BootPolicy, Violations: judging.Violations}
	if named != "" {
		if !slices.Contains([]string{"example", "accept-all"}, named) {
			return rules, usagef("--boot-rules: no rules %q are known here", named).hint("example or accept-all")
		}
		rules.BootPolicy = named
	}
	return rules, nil
}

// openStore opens the store that is named, or that is configured.
func (a *app) openStore(ctx context.Context, url string) (durable.Store, error) {
	o := config.Options{Env: a.env}
	var chosen *config.Durable
	for _, component := range []string{"registrar", "verifier"} {
		d, err := config.LoadDurable(o, component)
		if err != nil {
			return nil, configFailure(err)
		}
		if chosen == nil || chosen.Import == "" && d.Import != "" {
			chosen = d
		}
	}
	if url == "" && chosen.Import == "" {
		return nil, usagef("no store of records is configured: durable_attestation_import is set neither in registrar.conf nor in verifier.conf").
			hint("name the store: --store 'file:///DIR?prefix=NAME'")
	}
	options := durable.Options{Import: chosen.Import, URL: chosen.URL, Format: chosen.Format, Encoding: chosen.Encoding, Getenv: a.getenv}
	if url != "" {
		options.URL, options.Import = url, ""
	}
	store, err := durable.Open(ctx, options)
	if err != nil {
		return nil, storeFailure(err)
	}
	return store, nil
}

// storeFailure gives the failure of a store its exit code.
func storeFailure(err error) error {
	var (
		unsupported *durable.UnsupportedError
		closed      *durable.OpenError
		network     *net.OpError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &unsupported):
		return &statusError{Code: exitUsage, Err: err}
	case errors.As(err, &closed) && closed.Unauthorized:
		return &statusError{Code: exitAuth, Err: err}
	case errors.As(err, &closed) && errors.As(err, &network):
		return &statusError{Code: exitUnreachable, Err: err}
	case errors.As(err, &closed) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		return &statusError{Code: exitUsage, Err: err}
	}
	return err
}

// unknownAgent says what there is in a store that does not have what was asked
// for.
func unknownAgent(ctx context.Context, store durable.Store, err error) error {
	var none *tenant.NoRecordsError
	if !errors.As(err, &none) {
		return err
	}
	ids, listErr := tenant.StoredAgents(ctx, store)
	near := nearest(none.ID, ids)
	switch {
	case listErr != nil:
	case len(ids) == 0 && len(durable.Prefixes(store)) > 0:
		none.Hint = "the directory has records of the prefix " + strings.Join(quotedAll(durable.Prefixes(store)), ", ") + ": name it with ?prefix=NAME"
	case len(ids) == 0:
		none.Hint = "is it the right store, and its prefix? It is persistent_store_url in registrar.conf"
	case near != "":
		none.Hint = "did you mean " + near + "?"
	default:
		none.Hint = fmt.Sprintf("the store has records of %s: %s replay without an id judges all", count(len(ids), "agent"), programName)
	}
	return err
}

func quotedAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = fmt.Sprintf("%.40q", word)
	}
	return quoted
}

// storedIDs are the agents of the store, for completion.
func (a *app) storedIDs(ctx context.Context, url string) ([]string, error) {
	store, err := a.openStore(ctx, url)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return tenant.StoredAgents(ctx, store)
}

// failure is the exit code of a replay: 3 if a record is bad, 5 if there are
// none.
func (r *replayResult) failure(named bool) error {
	var failed, empty []string
	what := ""
	for _, agent := range r.Agents {
		switch agent.Verdict {
		case tenant.ReplayFailed:
			failed = append(failed, agent.ID)
			what = fmt.Sprintf("record %d of %s: %s", agent.FirstBad.Number, stamp(agent.FirstBad.Time), clean(agent.Findings[0].Message))
		case tenant.ReplayNoRecords:
			empty = append(empty, agent.ID)
		}
	}
	switch {
	case len(failed) == 1:
		return &statusError{Code: exitRefused, Err: fmt.Errorf("agent %s was not attested all the time: %s", failed[0], what)}
	case len(failed) > 1:
		return &statusError{Code: exitRefused, Err: fmt.Errorf("%d of %s were not attested all the time", len(failed), count(len(r.Agents), "agent"))}
	case len(empty) > 0 && (named || len(empty) == len(r.Agents)):
		return &statusError{Code: exitNotFound, Err: &advisedError{Err: fmt.Errorf("there are no records of attestations in the window: %s", strings.Join(shortList(empty), ", ")),
			Advice: "a window without records proves nothing; without --start and --end all records count"}}
	}
	return nil
}

// shortList cuts a list that is too long for a sentence.
func shortList(words []string) []string {
	if len(words) <= listed {
		return words
	}
	return append(slices.Clone(words[:listed]), fmt.Sprintf("and %d more", len(words)-listed))
}

var _ render.Shown = (*replayResult)(nil)

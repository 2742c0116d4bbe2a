package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

// The loggers of keylime_attest.
const (
	loggerReplay  = "keylime.durable_attestation_fetch_and_replay"
	loggerDurable = "keylime.durable_attestation"
)

// attestTool is keylime_attest (TENANT-CLI.md C.2, C.3). Unlike upstream's it
// goes on when one agent has no AK, and says what is missing where upstream ends
// with a traceback.
func attestTool(ctx context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "keylime_attest", Options: []argparse.Option{
		{Names: []string{"-u", "--uuid"}, Dest: "agent_uuid", Metavar: "AGENT_UUID", Help: `UUID for the agent to attest (default "all")`},
		{Names: []string{"-s", "--start"}, Dest: "start_date", Metavar: "START_DATE",
			Help: `start date for attestation window in either IS0 8601 format (e.g., "2008-09-03T20:56:35"), or keyworkd "first"/"none"`},
		{Names: []string{"-e", "--end"}, Dest: "end_date", Metavar: "END_DATE",
			Help: `end date for attestation window in IS0 8601 format (e.g., "2008-09-03T21:56:35"), or keyworkd "last"`},
	}}
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	t := &attestCall{app: a, id: "all", start: "first", end: "last"}
	for dest, into := range map[string]*string{"agent_uuid": &t.id, "start_date": &t.start, "end_date": &t.end} {
		if value, given := values.Get(dest); given {
			*into = value
		}
	}
	err := t.run(ctx)
	switch {
	case err == nil && t.failed == nil && !t.unproven:
		return exitOK
	case err == nil:
		return exitFailure
	}
	if hint := (interface{ HintText() string })(nil); errors.As(err, &hint) && hint.HintText() != "" {
		err = fmt.Errorf("%w (%s)", err, hint.HintText())
	}
	t.record(loggerReplay, pylog.Error, err.Error())
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return exitInterrupted
	}
	return exitFailure
}

// attestCall is one call of keylime_attest.
type attestCall struct {
	*app
	id, start, end string

	store   durable.Store
	request tenant.ReplayRequest
	// failed are the agents with a bad record. unproven says that there is
	// nothing by which one could be judged; keyless that one has no AK.
	failed            []string
	unproven, keyless bool
}

func (t *attestCall) infof(format string, args ...any) {
	t.record(loggerReplay, pylog.Info, fmt.Sprintf(format, args...))
}

func (t *attestCall) errorf(format string, args ...any) {
	t.record(loggerReplay, pylog.Error, fmt.Sprintf(format, args...))
}

func (t *attestCall) run(ctx context.Context) error {
	t.loggers() // tells which logging.conf was read, first of all
	o := config.Options{Env: t.env}
	judging, err := config.LoadJudging(o)
	if err != nil {
		return configFailure(err)
	}
	t.tellConfig(judging.Sources, judging.SnippetDirs, judging.EnvOverrides, "verifier.conf")
	stored, err := config.LoadDurable(o, "registrar")
	if err != nil {
		return configFailure(err)
	}
	t.tellConfig(stored.Sources, stored.SnippetDirs, stored.EnvOverrides, "registrar.conf")
	if stored.Import == "" {
		return nil // as upstream: nothing is kept, nothing can have failed
	}
	t.record(loggerDurable, pylog.Info, `The "Durable Attestion" feature is stil experimental and might change in the future`)
	window, err := parseAttestWindow(t.start, t.end, time.Local)
	if err != nil {
		return err
	}
	t.store, err = durable.Open(ctx, durable.Options{Import: stored.Import, URL: stored.URL, Format: stored.Format, Encoding: stored.Encoding, Getenv: t.getenv})
	if err != nil {
		return err
	}
	defer t.store.Close()
	t.request = tenant.ReplayRequest{Window: window.window(),
		Rules: tenant.ReplayRules{BootPolicy: judging.BootPolicy, BootOnce: !judging.BootAlways, Violations: judging.Violations}}
	if window.last() {
		t.infof("=> Will only extract the very last attestation record found on the persistent store")
	} else {
		t.infof("=> Selected date range for attestation records is: start %d (%s) and end %d (%s)", window.start, pythonTime(window.start), window.end, pythonTime(window.end))
	}
	ids := []string{t.id}
	if strings.EqualFold(t.id, "all") {
		t.infof("=> Getting a list of agents registered on the persistent store")
		if ids, err = tenant.StoredAgents(ctx, t.store); err != nil {
			return err
		}
	} else {
		t.infof("=> Focusing on the agent %s on the persistent store.", t.id)
	}
	for _, id := range ids {
		if err := t.agent(ctx, id); err != nil {
			return err
		}
	}
	switch {
	case t.failed != nil:
		t.infof("=> The following agents failed attestation at some point in recorded history: %s", strings.Join(t.failed, ","))
	case len(ids) == 0:
		t.unproven = true
		t.errorf("There are no records in the persistent store")
	case !t.keyless && !t.unproven:
		t.infof("=> All agents were in attested state for the whole duration of recorded history")
	}
	return nil
}

// pythonTime is a time as upstream shows it: local, without its zone.
func pythonTime(seconds int64) string {
	return time.Unix(seconds, 0).In(time.Local).Format("2006-01-02T15:04:05.000000")
}

// agent replays the records of one agent, up to its first bad one.
func (t *attestCall) agent(ctx context.Context, id string) error {
	t.infof("===> Getting all existing registration records for agent %s...", id)
	keys, err := tenant.ReadRegistered(ctx, t.store, id)
	if err != nil {
		return err
	}
	if keys.None() {
		t.errorf("Unable to assemble a list of AKs for the agent agent %s", id)
		t.keyless = true
		// An agent that nobody knows is a mistake in the call.
		t.unproven = t.unproven || !keys.Known() && !t.attested(ctx, id)
		return nil
	}
	t.infof("===> Getting all existing attestation records for agent %s ...", id)
	t.infof("=====> Verifing the state of agent %s over time...", id)
	var clock attestClock
	found, err := tenant.ReplayAgent(ctx, t.store, id, keys, t.request, func(r tenant.ReplayedRecord) bool { return t.see(id, r, &clock) })
	if err != nil {
		return err
	}
	switch found.Verdict {
	case tenant.ReplayFailed:
		t.failed = append(t.failed, id)
	case tenant.ReplayNoRecords:
		t.unproven = true
		t.errorf("There are no attestation records of agent %s in the selected date range", id)
	}
	return nil
}

// attested says whether there are records of attestations.
func (t *attestCall) attested(ctx context.Context, id string) bool {
	log, err := t.store.Log(ctx, durable.Attestations, id)
	if err == nil {
		_ = log.Close()
	}
	return err == nil
}

// attestClock is what upstream keeps of the TPM's clock from record to record.
type attestClock struct{ before, now, delta int64 }

// see tells of one record, and goes on if it is good.
func (t *attestCall) see(id string, r tenant.ReplayedRecord, c *attestClock) bool {
	t.infof("----------- Attesting data (quote and logs from %s, captured by verifier %s (%s:%d)", id, r.VerifierID, r.VerifierIP, r.VerifierPort)
	if r.Before != 0 {
		c.before = int64(r.Before)
	}
	if r.Clock != 0 {
		c.now = int64(r.Clock)
	}
	if c.before != 0 && c.now != 0 {
		c.delta = c.now - c.before
	}
	if len(r.Findings) == 0 {
		t.infof(`---------- Agent %s was in "attested" state at %s (TPM delta: %d)`, id, r.Stamp, c.delta)
		return true
	}
	for _, reason := range attestReasons(r.Findings) {
		t.record(reason.logger, reason.level, reason.text)
	}
	first := r.Findings[0]
	event := first.EventID
	if event == "" {
		event = "NA"
	}
	t.infof(`---------- Agent %s was NOT in "attested" state at %s (TPM delta: %d): %s %s`, id, r.Stamp, c.delta, event, messageJSON(first.Message))
	return false
}

// messageJSON is the context of an event as upstream writes it.
func messageJSON(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(text) != nil {
		return "{}"
	}
	return `{"message": ` + strings.TrimSpace(b.String()) + "}"
}

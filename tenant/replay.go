package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

// SchemaReplay is the schema of a [ReplayResult].
const SchemaReplay = "keylime_tenant/replay/v1"

// StepReplay is the step of [Replay].
const StepReplay Step = "replaying records"

// ReplayRules say what held for the verifier beside what its records tell.
type ReplayRules struct {
	// BootPolicy is measured_boot_policy_name of the verifier, which holds where
	// a record names none: "example", "accept-all", or rules that are not known
	// here, by which no boot is accepted. "" is Keylime's default, accept-all.
	BootPolicy string
	// BootOnce judges boots as measured_boot_evaluate = once does: with the first
	// quote of an enrolment only. Otherwise every record's boot is judged.
	BootOnce bool
	// Violations refuses entries of the IMA list that are violations, as a
	// verifier with ignore_tomtou_errors = True does.
	Violations bool
}

// ReplayRequest says what to replay.
type ReplayRequest struct {
	// IDs are the agents; nil means all that the store knows.
	IDs    []string
	Window durable.Window
	Rules  ReplayRules
	// Progress is told how many records of an agent are done, of how many; nil
	// if nobody wants to know.
	Progress func(id string, done, of int)
}

// ReplayResult is what the records of a store prove.
type ReplayResult struct {
	Schema string `json:"schema"`
	Store  string `json:"store"`
	// From and To are the window, nil where it is open.
	From   *time.Time    `json:"from"`
	To     *time.Time    `json:"to"`
	Last   bool          `json:"last"`
	Agents []AgentReplay `json:"agents"`
	// Notes say what was not checked.
	Notes []string `json:"notes"`
}

// ReplayVerdict is what the records of an agent come to.
type ReplayVerdict string

// The verdicts.
const (
	// ReplayAttested: every record of the window is good.
	ReplayAttested ReplayVerdict = "attested"
	// ReplayFailed: at least one is not.
	ReplayFailed ReplayVerdict = "failed"
	// ReplayNoRecords: the window has none, which proves nothing.
	ReplayNoRecords ReplayVerdict = "no records"
)

// AgentReplay is what the records of one agent prove.
type AgentReplay struct {
	ID      string        `json:"agent_id"`
	Verdict ReplayVerdict `json:"verdict"`
	// Records counts those of the window; Failed those of them that are refused.
	// Missing are attestations that a later record counts and that are not there.
	Records int `json:"records"`
	Failed  int `json:"failed"`
	Missing int `json:"missing"`
	// First and Last are the times of the first and the last record.
	First *time.Time `json:"first"`
	Last  *time.Time `json:"last"`
	// FirstBad is the first record that is refused, LastGood the last that is
	// not.
	FirstBad *ReplayPoint `json:"first_bad"`
	LastGood *ReplayPoint `json:"last_good"`
	// FailingSince is the first of the refused records that go on to the end of
	// the window; nil if the last record is good.
	FailingSince *ReplayPoint    `json:"failing_since"`
	Findings     []ReplayFinding `json:"findings"`
	Notes        []string        `json:"notes"`
}

// ReplayPoint is a record.
type ReplayPoint struct {
	// Number counts the agent's records of attestations in the store from 1, as
	// Time is when the store got it.
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
}

// ReplayFinding is what is wrong with a record.
type ReplayFinding struct {
	// Time and Record are of the first record that shows it.
	Time   time.Time `json:"time"`
	Record int       `json:"record"`
	// Component is the part of the evidence: see [ReplayComponent].
	Component string `json:"component"`
	policy.Finding
	// Times counts the records that show it, the last of them at Until.
	Times int       `json:"times"`
	Until time.Time `json:"until"`
}

// NoRecordsError: the store has nothing about an agent, or nothing at all.
type NoRecordsError struct {
	// ID is "" where the store has nothing at all.
	ID, Store string
	// Hint says what to do; may be empty.
	Hint string
}

func (e *NoRecordsError) Error() string {
	if e.ID == "" {
		return "there are no records in the store " + e.Store
	}
	return fmt.Sprintf("there are no records of agent %s in the store %s", e.ID, e.Store)
}

func (e *NoRecordsError) Unwrap() error { return ErrNotFound }

// HintText is what to do.
func (e *NoRecordsError) HintText() string { return e.Hint }

// noteStore says what no replay can tell.
const noteStore = "what is in the store was written by the servers: who can write there can leave out the last records, and nothing here would show it"

// Replay judges the records of a store once more: every quote, with the AK that
// was registered, and everything that its verifier judged by, as far as records
// hold it. It asks no server but the store's.
//
// It judges all records of the window, also those after a failure, and takes
// what it needs of earlier ones: a record often holds but the part of the IMA
// list that was new.
//
// Errors: *[NoRecordsError] if the store does not know an agent that is named,
// or has no agent at all; those of package durable; the context's.
func Replay(ctx context.Context, store durable.Store, r ReplayRequest) (*ReplayResult, error) {
	result := &ReplayResult{Schema: SchemaReplay, Store: store.Name(), Last: r.Window.Last, Agents: []AgentReplay{}, Notes: []string{noteStore}}
	if !r.Window.From.IsZero() {
		result.From = &r.Window.From
	}
	if !r.Window.To.IsZero() {
		result.To = &r.Window.To
	}
	ids := r.IDs
	if ids == nil {
		var err error
		if ids, err = StoredAgents(ctx, store); err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return nil, &NoRecordsError{Store: store.Name()}
		}
	}
	for _, id := range ids {
		keys, err := ReadRegistered(ctx, store, id)
		if err != nil {
			return nil, err
		}
		one, err := ReplayAgent(ctx, store, id, keys, r, nil)
		if err != nil {
			return nil, err
		}
		result.Agents = append(result.Agents, *one)
	}
	return result, nil
}

// StoredAgents are the ids of all agents with records of either kind, sorted.
func StoredAgents(ctx context.Context, store durable.Store) ([]string, error) {
	registered, err := store.Agents(ctx, durable.Registrations)
	if err != nil {
		return nil, err
	}
	attested, err := store.Agents(ctx, durable.Attestations)
	if err != nil {
		return nil, err
	}
	ids := slices.Concat(registered, attested)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// ReplayAgent judges the records of one agent. see is told of each record of
// the window in turn, and ends the replay if it returns false; nil sees
// nothing. Errors: as [Replay].
func ReplayAgent(ctx context.Context, store durable.Store, id string, keys *RegisteredKeys, r ReplayRequest, see func(ReplayedRecord) bool) (*AgentReplay, error) {
	x := &AgentReplay{ID: id, Verdict: ReplayNoRecords, Findings: []ReplayFinding{}, Notes: append([]string{}, keys.notes...)}
	log, err := store.Log(ctx, durable.Attestations, id)
	var none *durable.NoLogError
	switch {
	case errors.As(err, &none) && keys.known:
		x.note("it was registered, and there is no record of an attestation")
		return x, nil
	case errors.As(err, &none):
		return nil, &NoRecordsError{ID: id, Store: store.Name()}
	case err != nil:
		return nil, err
	}
	defer log.Close()
	chosen, err := log.Select(ctx, r.Window)
	if err != nil {
		return nil, err
	}
	if log.Incomplete() {
		x.note("the last record is not complete, and was left out: it is being written, or its writer was stopped")
	}
	judge := &replayer{id: id, rules: r.Rules, keys: keys}
	if err := judge.prepare(ctx, log, chosen); err != nil {
		return nil, err
	}
	for n, i := range chosen {
		if r.Progress != nil {
			r.Progress(id, n, len(chosen))
		}
		record, err := judge.read(ctx, log, i)
		if err != nil {
			return nil, err
		}
		x.take(record)
		if see != nil && !see(record) {
			break
		}
	}
	return x, nil
}

func (x *AgentReplay) note(text string) {
	if len(x.Notes) < maxNotes && !slices.Contains(x.Notes, text) {
		x.Notes = append(x.Notes, text)
	}
}

// maxReplayFindings bounds the findings of an agent.
const maxReplayFindings = 10000

// take adds a record to what is known of an agent.
func (x *AgentReplay) take(r ReplayedRecord) {
	at := ReplayPoint{Number: r.Number, Time: r.Time}
	x.Records++
	if x.First == nil {
		x.First, x.Verdict = &at.Time, ReplayAttested
	}
	x.Last = &at.Time
	for _, note := range r.Notes {
		x.note(note)
	}
	if r.Missing > 0 {
		x.Missing += r.Missing
		x.note(fmt.Sprintf("records are missing before record %d: it counts more attestations than there are", r.Number))
	}
	if len(r.Findings) == 0 {
		x.LastGood, x.FailingSince = &at, nil
		return
	}
	x.Verdict = ReplayFailed
	x.Failed++
	if x.FirstBad == nil {
		x.FirstBad = &at
	}
	if x.FailingSince == nil {
		x.FailingSince = &at
	}
	for _, f := range r.Findings {
		x.find(at, f)
	}
}

// find adds a finding, or counts it if it is known already.
func (x *AgentReplay) find(at ReplayPoint, f policy.Finding) {
	for i := range x.Findings {
		if known := &x.Findings[i]; known.Check == f.Check && known.Where == f.Where && known.Message == f.Message && slices.Equal(known.Found, f.Found) {
			if known.Until != at.Time || known.Record != at.Number {
				known.Times++
			}
			known.Until = at.Time
			return
		}
	}
	if len(x.Findings) >= maxReplayFindings {
		x.note("there are more findings than are listed")
		return
	}
	x.Findings = append(x.Findings, ReplayFinding{Time: at.Time, Record: at.Number, Component: ReplayComponent(f.Check), Finding: f, Times: 1, Until: at.Time})
}

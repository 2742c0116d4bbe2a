package runtime

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// Evidence is what a machine claims, with what a verified quote says of it.
type Evidence struct {
	// List is the measurement list, or its continuation from State.NextEntry.
	List io.Reader
	// Binary says that List has the binary form; false: ASCII.
	Binary bool
	// PCR10 is the quoted value; nil if there is no quote, so that nothing says
	// whether the list is the machine's.
	PCR10 []byte
	// Bank is the hash algorithm of PCR10: sha1, sha256, sha384 or sha512.
	Bank string
	// BootAggregates are digests in hex that a boot log allows for
	// boot_aggregate beside those of the policy (PROTOCOL.md 11.5).
	BootAggregates []string
}

// Evaluate judges one list as PROTOCOL.md 11.2 to 11.4 say: for each entry the
// PCR column, the template hash, the file's digest or signature, and for the
// list as a whole that PCR 10 had the quoted value after some entry, or before
// the first. Memory does not grow with the list.
//
// st is updated by an accepted list and reset by a refused one; it may be nil
// for a list that stands alone. If Evaluate returns an error, nothing is known
// about the list and st is as before.
//
// Errors: a bank that is none, a PCR10 of another length than the bank's,
// *ima.FormatError if the list cannot be read to its end, *pyre.TimeoutError if
// an exclude pattern gives no answer, the context's.
func (e *Evaluator) Evaluate(ctx context.Context, st *State, ev Evidence) (policy.Verdict, error) {
	r := &run{Evaluator: e, verdict: policy.Verdict{Accepted: true, Findings: []policy.Finding{}, Warnings: slices.Clone(e.warnings)}}
	if err := r.start(st, ev); err != nil {
		return policy.Verdict{}, err
	}
	if err := r.entries(ctx, ev); err != nil {
		return policy.Verdict{}, err
	}
	r.finish(st, ev)
	return r.verdict, nil
}

// run is one evaluation.
type run struct {
	*Evaluator
	verdict policy.Verdict
	dropped int // findings beyond the limit

	boot    map[string]bool // additional digests of boot_aggregate, as bytes
	hasher  *ima.Hasher     // of the template hash column
	replay  *ima.Replay     // of PCR 10; nil without a quote
	padded  *ima.Replay     // of banks whose hash kernels often lack; else nil
	same    bool            // column and bank use the same hash
	data    []byte          // template data of the current entry
	first   int             // line before the first of this list
	now     progress
	matched []byte // value of PCR 10 at now.match; nil until found
	filled  bool   // the padded replay came to the quoted value
	atStart bool   // PCR 10 has not changed since the last list
	keys    []*Keyring
	learned keyrings
	unknown string // a template that cannot be evaluated and was met
}

// start sets the run up.
func (r *run) start(st *State, ev Evidence) error {
	var running []byte
	if st != nil {
		r.first, r.learned = st.NextEntry, st.learned
		if st.bank == ev.Bank {
			running = st.running
		}
	}
	r.keys = append([]*Keyring{r.Evaluator.keys}, r.learned.list()...)
	r.boot = map[string]bool{}
	for _, text := range ev.BootAggregates {
		if raw, err := hex.DecodeString(text); err == nil {
			r.boot[string(raw)] = true
		}
	}
	var err error
	if r.hasher, err = ima.NewHasher(r.logHash); err != nil {
		return err
	}
	if ev.PCR10 == nil {
		return nil
	}
	bank := hashes[ev.Bank]
	if bank == 0 {
		return fmt.Errorf("%.40q is no PCR bank that Keylime knows", ev.Bank)
	}
	if len(ev.PCR10) != bank.Size() {
		return fmt.Errorf("PCR 10 of the %s bank has %d bytes, not %d", ev.Bank, bank.Size(), len(ev.PCR10))
	}
	r.same = bank == r.logHash
	if r.replay, err = ima.NewReplay(bank, running); err != nil {
		return err
	}
	if bank == crypto.SHA384 || bank == crypto.SHA512 {
		if r.padded, err = ima.NewPaddedReplay(bank, nil); err != nil {
			return err
		}
	}
	// A running value of another bank cannot lead to the quoted one: the state
	// stays, the list does not match, and the state is reset.
	if st != nil && st.running != nil && running == nil {
		r.replay = nil
	} else if bytes.Equal(r.replay.Value(), ev.PCR10) {
		r.atStart = true
		r.matched = ev.PCR10
	}
	return nil
}

// contextInterval is the number of entries between two looks at the context.
const contextInterval = 4096

// entries judges all entries.
func (r *run) entries(ctx context.Context, ev Evidence) error {
	var list ima.Reader
	if ev.Binary {
		list = ima.NewBinaryScanner(ev.List)
	} else {
		list = ima.NewScanner(ev.List)
	}
	for list.Scan() {
		if r.now.lines%contextInterval == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		r.now.lines++
		entry := list.Entry()
		if err := r.entry(entry); err != nil {
			return err
		}
		if r.matched == nil && r.replay != nil && bytes.Equal(r.replay.Value(), ev.PCR10) {
			r.matched, r.now.match = ev.PCR10, entry.Line
		}
		r.filled = r.filled || r.padded != nil && bytes.Equal(r.padded.Value(), ev.PCR10)
	}
	return list.Err()
}

// finish judges the list as a whole and updates the state.
func (r *run) finish(st *State, ev Evidence) {
	if ev.PCR10 != nil && r.matched == nil {
		r.pcrMismatch(ev)
	} else if ev.PCR10 != nil && st != nil && !r.now.advances(st.progress) {
		r.quoteProgress(st)
	}
	if r.dropped > 0 {
		r.verdict.Warnings = append(r.verdict.Warnings, fmt.Sprintf("%d more findings are not listed", r.dropped))
	}
	switch {
	case st == nil || ev.PCR10 == nil:
	case !r.verdict.Accepted:
		st.Reset()
	default:
		now := r.now
		st.progress, st.learned = &now, r.learned
		if !r.atStart {
			st.bank, st.running, st.NextEntry = ev.Bank, bytes.Clone(r.matched), st.NextEntry+r.now.match
		}
	}
}

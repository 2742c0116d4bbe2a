package runtime

import (
	"context"
	"errors"
	"io"

	"github.com/keylime/keylime-tenant/policy"
)

// Options of an [Evaluator].
type Options struct {
	// Keyring replaces the policy's own verification keys if not nil.
	Keyring *Keyring
	// IgnoreToMToU accepts violation entries (a file open for writing while
	// measured), whose files nobody can judge. Upstream's option of that name
	// works the other way round (PROTOCOL.md 11.2).
	IgnoreToMToU bool
	// MaxFindings bounds the findings of a verdict; 0 is 100. What is left out is
	// counted in a warning.
	MaxFindings int
}

// Evaluator judges measurement lists by one policy. It is safe for concurrent
// use, each call with a State of its own.
type Evaluator struct{}

// NewEvaluator prepares a policy for evaluation.
func NewEvaluator(p *Policy, o Options) (*Evaluator, error) {
	return nil, errors.New("runtime: not there yet")
}

// Evidence is what a machine claims, with what a verified quote says of it.
type Evidence struct {
	// List is the measurement list, or its continuation from State.NextEntry.
	List io.Reader
	// Binary says that List has the binary form; false: ASCII.
	Binary bool
	// PCR10 is the quoted value; nil if there is no quote to compare with.
	PCR10 []byte
	// Bank is the quote's hash algorithm: sha1, sha256, sha384 or sha512.
	Bank string
	// BootAggregates are digests in hex that a boot log allows for
	// boot_aggregate beside those of the policy (PROTOCOL.md 11.5).
	BootAggregates []string
}

// Evaluate judges one list. st may be nil for a list that stands alone.
func (e *Evaluator) Evaluate(ctx context.Context, st *State, ev Evidence) (policy.Verdict, error) {
	return policy.Verdict{}, errors.New("runtime: not there yet")
}

// State is what a verifier keeps of one agent between quotes (PROTOCOL.md
// 11.4). The zero value is the start.
type State struct {
	// NextEntry is the ima_ml_entry to ask the agent for next.
	NextEntry int
}

// Reset forgets everything: the next list must begin with the first entry.
func (st *State) Reset() { *st = State{} }

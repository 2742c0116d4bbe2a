package runtime

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// Options of an [Evaluator]. The zero value is strict.
type Options struct {
	// Keyring replaces the policy's own verification keys if not nil.
	Keyring *Keyring
	// IgnoreToMToU accepts violation entries: a file was open for writing while
	// it was measured, so that nobody can judge what ran. Upstream's option
	// ignore_tomtou_errors has the opposite effect of its name (PROTOCOL.md
	// 11.2): its default False accepts them.
	IgnoreToMToU bool
	// Compat judges as a Keylime verifier does where that is a defect: excludes
	// that do not compile are all dropped, with a warning, and a template hash of
	// 0xFF bytes passes for a violation.
	Compat bool
	// MaxFindings bounds the findings of a verdict; 0 is 100. What is left out is
	// counted in a warning.
	MaxFindings int
}

const defaultMaxFindings = 100

// Evaluator judges measurement lists by one policy. It is safe for concurrent
// use, each call with a State of its own, and independent of later changes to
// the policy.
type Evaluator struct {
	options  Options
	digests  *table
	keyrings *table
	buffers  *table
	ignored  map[string]bool
	excludes *pyre.Regexp
	keys     *Keyring
	logHash  crypto.Hash
	warnings []string
}

// NewEvaluator prepares a policy for evaluation. Excludes are compiled as a
// verifier compiles them, joined; if that changes the meaning of one, every
// verdict says so in a warning, and if it fails, so does NewEvaluator, because a
// verifier would then check what was meant to be excluded.
//
// Errors: *[ExcludeError], and *[SyntaxError] or *[SchemaError] for
// verification keys that are no keyring.
func NewEvaluator(p *Policy, o Options) (*Evaluator, error) {
	e := &Evaluator{options: o, keys: o.Keyring, logHash: hashes[p.IMA.LogHashAlg], ignored: map[string]bool{}}
	if e.options.MaxFindings <= 0 {
		e.options.MaxFindings = defaultMaxFindings
	}
	if e.logHash == 0 {
		return nil, &SchemaError{Message: pyre.Repr(p.IMA.LogHashAlg) + " is not one of ['sha1', 'sha256', 'sha384', 'sha512']", Path: "ima.log_hash_alg"}
	}
	if err := e.compileExcludes(p.Excludes); err != nil {
		return nil, err
	}
	if e.keys == nil {
		keys, problems, err := parseKeyring(p.VerificationKeys)
		if err != nil {
			return nil, err
		}
		for _, problem := range problems {
			e.warnings = append(e.warnings, "the policy's verification keys: "+problem.Error()+"; it is left out")
		}
		e.keys = keys
	}
	for _, name := range p.IMA.IgnoredKeyrings {
		e.ignored[name] = true
	}
	e.digests, e.keyrings, e.buffers = newTable(&p.Digests), newTable(&p.Keyrings), newTable(&p.IMABuf)
	return e, nil
}

func (e *Evaluator) compileExcludes(patterns []string) error {
	compiled, err := pyre.CompileJoined(patterns)
	switch {
	case err == nil:
		e.excludes = compiled
		var changed *pyre.JoinError
		if _, err := pyre.Join(patterns); errors.As(err, &changed) {
			e.warnings = append(e.warnings, "exclude "+changed.Error())
		}
		return nil
	case e.options.Compat:
		e.warnings = append(e.warnings, fmt.Sprintf("no path is excluded, because the excludes cannot be compiled: %v", err))
		return nil
	default:
		if err := checkExcludes(patterns, nil); err != nil {
			return err
		}
		return &ExcludeError{Pattern: pyre.Joined(patterns), Err: err}
	}
}

// excluded tells whether a path is not checked. Error: *pyre.TimeoutError.
func (e *Evaluator) excluded(path []byte) (bool, error) {
	if e.excludes == nil {
		return false, nil
	}
	found, err := e.excludes.Match(string(path))
	if err != nil {
		return false, fmt.Errorf("applying the excludes to path %.200q: %w", path, err)
	}
	return found, nil
}

// hashes are the hash algorithms of PCR banks and template hashes.
var hashes = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

package runtime

import (
	"bytes"
	"crypto"
	"errors"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

var (
	pcr10         = []byte("10")
	bootAggregate = []byte("boot_aggregate")
)

// entry judges one entry and extends the running value, in the order of
// PROTOCOL.md 11.2. The order of tests that all must fail for a refusal is
// ours: the cheap ones first.
func (r *run) entry(e *ima.Entry) error {
	if !e.Known() {
		r.unreadable(e)
		return nil
	}
	r.data = e.AppendTemplateData(r.data[:0])
	violation := e.Violation(r.hasher.Size())
	column := r.hasher.Sum(r.data)
	r.extend(column, violation == ima.ZeroHash)
	if !bytes.Equal(e.PCR, pcr10) {
		r.wrongPCR(e)
	}
	switch {
	case violation == ima.ZeroHash, violation == ima.OnesHash && r.options.Compat:
		if !r.options.IgnoreToMToU {
			r.violation(e)
		}
		return nil
	case !bytes.Equal(column, e.TemplateHash):
		r.templateHash(e, column)
		return nil
	case e.IsBuf():
		return r.buffer(e)
	default:
		return r.file(e)
	}
}

// extend adds the current entry to the running values; column is the hash of
// its template data that the list's column should show.
func (r *run) extend(column []byte, violation bool) {
	switch {
	case r.replay == nil:
	case violation:
		r.replay.ExtendViolation()
	case r.same:
		r.replay.ExtendHash(column)
	default:
		r.replay.ExtendData(r.data)
	}
	switch {
	case r.padded == nil:
	case violation:
		r.padded.ExtendViolation()
	default:
		r.padded.ExtendData(r.data)
	}
}

// file judges the entry of a file: it is in order if its digest is allowed, its
// path excluded, or its signature good.
func (r *run) file(e *ima.Entry) error {
	known, ok := r.digests.find(e.Path)
	if known.holds(e.Digest) {
		return nil
	}
	if len(r.boot) > 0 && bytes.Equal(e.Path, bootAggregate) {
		if ok = true; r.boot[string(e.Digest)] {
			return nil
		}
	}
	if excluded, err := r.excluded(e.Path); excluded || err != nil {
		return err
	}
	var signature error
	if e.IsSig() && e.Sig != nil {
		if signature = ima.VerifyEntry(e, r.keys...); signature == nil {
			return nil
		}
	}
	r.notAllowed(e, fileWords, known, ok, signature)
	return nil
}

// buffer judges an ima-buf entry: a key that was added to a keyring, or
// something else.
func (r *run) buffer(e *ima.Entry) error {
	key, id, err := ima.ParseKey(e.Buf)
	switch {
	case err != nil:
		r.badKey(e, err)
		return nil
	case key == nil:
		_, err := r.listed(e, r.buffers, bufferWords)
		return err
	case r.ignored["*"] || r.ignored[string(e.Path)]:
		return nil
	}
	good, err := r.listed(e, r.keyrings, keyWords)
	if err != nil || !good {
		return err
	}
	return r.learn(string(e.Path), key, id)
}

// listed judges an entry whose name must be in a map.
func (r *run) listed(e *ima.Entry, in *table, words words) (bool, error) {
	known, ok := in.find(e.Path)
	if known.holds(e.Digest) {
		return true, nil
	}
	if excluded, err := r.excluded(e.Path); excluded || err != nil {
		return excluded, err
	}
	r.notAllowed(e, words, known, ok, nil)
	return false, nil
}

// learn keeps a key that the policy allows, for signatures in later entries.
func (r *run) learn(name string, key crypto.PublicKey, id uint32) error {
	learned, err := r.learned.with(name, key, id)
	var refused *ima.KeyError
	if errors.As(err, &refused) {
		return nil // judged by its digest; it can sign nothing
	}
	if err != nil {
		return err
	}
	r.learned = learned
	r.keys = append([]*Keyring{r.Evaluator.keys}, learned.list()...)
	return nil
}

package source

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// list takes digests, keys and buffers from a measurement list. Its first line
// tells the algorithm. Entries that cannot be evaluated, and violations, whose
// digests belong to no file, are left out with a warning.
func (m *maker) list(ctx context.Context) error {
	if m.r.ListPath == "" {
		return nil
	}
	refuse := func(err error) error {
		return &InputError{Source: "IMA measurement list", Path: m.r.ListPath, Err: err}
	}
	f, err := os.Open(m.r.ListPath)
	if err != nil {
		return refuse(errors.Unwrap(err))
	}
	defer f.Close()
	entries, err := ima.NewReader(f)
	if err != nil {
		return refuse(err)
	}
	first := fit{source: "IMA measurement list"}
	var unreadable, violations, names int
	for n := 0; entries.Scan(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e := entries.Entry()
		if n == 0 {
			first = listFit(first.source, e)
		}
		switch {
		case !legible(e):
			unreadable++
		case e.Violation(len(e.TemplateHash)) == ima.ZeroHash:
			violations++
		case !utf8.Valid(e.Path):
			names++
		case e.IsBuf():
			m.buffer(e)
		default:
			m.policy.Digests.Add(listed(string(e.Path)), hex.EncodeToString(e.Digest))
		}
	}
	if err := entries.Err(); err != nil {
		return refuse(err)
	}
	m.fits = append(m.fits, first)
	for _, left := range []struct {
		n    int
		what string
	}{{unreadable, "entries that Keylime cannot evaluate"}, {violations, "violations (files open for writing while measured)"}, {names, "files whose names are not UTF-8"}} {
		if left.n > 0 {
			m.warn(fmt.Sprintf("IMA measurement list %s: %d %s are left out", m.r.ListPath, left.n, left.what))
		}
	}
	return nil
}

// legible tells whether a policy can be made from the entry. Lists that were
// copied about have often lost the blanks at the ends of their lines.
func legible(e *ima.Entry) bool { return e.Known() || e.Trimmed() }

// listFit is the algorithm of the first entry, usually that of boot_aggregate.
func listFit(source string, e *ima.Entry) fit {
	if name := string(e.Alg); legible(e) && slices.Contains(Algorithms(), name) {
		return fit{source: source, names: []string{name}}
	}
	return fit{source: source}
}

// aggregateName is how the kernel's list calls its first entry, the digest over
// the PCRs of the boot.
const aggregateName = "boot_aggregate"

// BootAggregate reads the first entry of a measurement list: its digest in hex,
// and the algorithms that it may be of. Error: *[InputError], also for a list
// that begins with something else.
func BootAggregate(path string) (digest string, algorithms []string, err error) {
	refuse := func(err error) (string, []string, error) {
		return "", nil, &InputError{Source: "boot aggregate in", Path: path, Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse(errors.Unwrap(err))
	}
	defer f.Close()
	entries, err := ima.NewReader(f)
	if err != nil {
		return refuse(err)
	}
	if !entries.Scan() {
		if err := entries.Err(); err != nil {
			return refuse(err)
		}
		return refuse(errors.New("the list is empty"))
	}
	e := entries.Entry()
	switch {
	case !legible(e):
		return refuse(errors.New("the first entry cannot be read: is this an IMA measurement list?"))
	case e.IsBuf() || string(e.Path) != aggregateName:
		return refuse(fmt.Errorf("the first entry is %.80q, not %s: the list is not whole", e.Path, aggregateName))
	}
	digest = hex.EncodeToString(e.Digest)
	algorithms = listFit("", e).names
	if algorithms == nil {
		algorithms, _ = byLength(digest)
	}
	return digest, algorithms, nil
}

// aggregate takes the boot aggregate of a list of which nothing else counts.
func (m *maker) aggregate() error {
	if m.r.AggregatePath == "" {
		return nil
	}
	digest, algorithms, err := BootAggregate(m.r.AggregatePath)
	if err != nil {
		return err
	}
	m.policy.Digests.Add(aggregateName, digest)
	m.fits = append(m.fits, fit{source: "boot aggregate", names: algorithms, invalid: algorithms == nil})
	return nil
}

// buffer takes a key or another buffer. What is a key is decided as evaluation
// decides it.
func (m *maker) buffer(e *ima.Entry) {
	name, digest := string(e.Path), hex.EncodeToString(e.Digest)
	key, _, err := ima.ParseKey(e.Buf)
	switch {
	case err != nil:
		m.warn(fmt.Sprintf("key in keyring %q is left out, because no verifier accepts it: it %v", name, err))
	case key == nil && m.r.Buffers:
		m.policy.IMABuf.Add(name, digest)
	case key == nil || !m.r.Keyrings:
	case slices.Contains(m.ignored(), name) || slices.Contains(m.ignored(), "*"):
	default:
		m.policy.Keyrings.Add(name, digest)
	}
}

// ignored are the keyrings whose keys no policy needs.
func (m *maker) ignored() []string {
	return append(slices.Clone(m.policy.IMA.IgnoredKeyrings), m.r.IgnoredKeyrings...)
}

// Package source makes runtime policies: from measurement lists, allowlists,
// file trees, initial RAM disks and RPM packages (TENANT-CLI.md C.1, what
// `keylime-policy create runtime` does).
//
// It reads what it is pointed at and judges nothing: whoever makes a policy from
// a machine declares the present state of that machine good. Archives and
// packages are read as hostile input, in bounded memory; no code of others runs
// and nothing is unpacked to disk.
package source

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keylime/keylime-tenant/policy/runtime"
)

// Request says what a policy is made from. Every source is optional; none at
// all gives an empty policy. Digests of all sources are merged, sorted and made
// unique.
type Request struct {
	// Base is a policy in JSON to add to, of any version; nil for none.
	Base []byte
	// Algorithm is the hash of trees and RAM disks, one of [Algorithms]; "" takes
	// that of the base, the allowlist or the list's first line, else sha256.
	Algorithm string
	// Allowlist is an old flat allowlist, lines of digest and path; nil for none.
	Allowlist []byte
	// Excludes is an exclude list; nil for none.
	Excludes []byte
	// ListPath names a measurement list, ASCII or binary; "" for none.
	ListPath string
	// AggregatePath names a measurement list of which the first entry alone is
	// taken, which must be boot_aggregate; "" for none.
	AggregatePath string
	// Keyrings takes the keys and Buffers the other buffers of the list.
	Keyrings, Buffers bool
	// Rootfs is the top of a file tree; "" for none.
	Rootfs string
	// SkipPaths are directories below Rootfs to leave out.
	SkipPaths []string
	// AnyOwner takes files of every owner; false: of root alone, as upstream.
	AnyOwner bool
	// Links takes symbolic links to regular files too, with the digest of the
	// file and under the name of the link.
	Links bool
	// AllFileSystems goes into file systems of other types than that of Rootfs.
	AllFileSystems bool
	// Top says by its name whether an entry of Rootfs itself is looked at; nil
	// takes all but the directories that no policy covers, such as /proc.
	Top func(name string) bool
	// Prefix is put in front of the paths of the tree; "" for none.
	Prefix string
	// RamdiskDir holds files named initr*; "" for none.
	RamdiskDir string
	// RPMs are packages.
	RPMs []string
	// RPMDir is a directory that is searched for packages to its depths; "" for
	// none. If it is a repository whose metadata are signed, the signature is
	// checked.
	RPMDir string
	// RPMURL is a repository to be fetched from; "" for none.
	RPMURL string
	// IgnoredKeyrings are added to ima.ignored_keyrings.
	IgnoredKeyrings []string
	// VerificationKeys are files of keys that sign files.
	VerificationKeys []string
	// Workers bounds parallel work; 0 is the number of cores, and 8 for RPMURL.
	Workers int
	// Now is the policy's timestamp, local time.
	Now time.Time
	// HTTP fetches from RPMURL; nil refuses RPMURL.
	HTTP *http.Client
	// Progress is told of work done, if not nil, one call at a time.
	Progress func(Progress)
	// Warn is told what was left out and why, if not nil, one call at a time.
	Warn func(text string)
}

// Progress tells how far the slow sources are.
type Progress struct {
	// Source is "tree", "ramdisk" or "rpm".
	Source string
	// Files and Bytes are done so far; Total is the number of files or packages
	// found so far.
	Files, Total int
	Bytes        int64
	// Searching says that Total may still grow.
	Searching bool
}

// Create makes a policy. It is complete or there is none: the first error ends
// all work. What of a source is left out is told to Warn.
//
// Errors: *[InputError], *[AlgorithmError], *runtime.SchemaError,
// *runtime.ExcludeError, *runtime.LegacyError, *ima.KeyError, the context's.
func Create(ctx context.Context, r Request) (*runtime.Policy, error) {
	m := &maker{r: r, workers: r.Workers, anyOwner: r.AnyOwner}
	if err := m.given(); err != nil {
		return nil, err
	}
	if err := m.list(ctx); err != nil {
		return nil, err
	}
	if err := m.aggregate(); err != nil {
		return nil, err
	}
	var err error
	if m.algorithm, err = chooseAlgorithm(m.fits); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		wanted bool
		do     func() ([]entry, error)
	}{
		{r.Rootfs != "", func() ([]entry, error) { return m.tree(ctx, r.Rootfs, r.SkipPaths) }},
		{r.RamdiskDir != "", func() ([]entry, error) { return m.ramdisks(ctx, r.RamdiskDir) }},
		{len(r.RPMs) > 0, func() ([]entry, error) { return m.packages(ctx, r.RPMs) }},
		{r.RPMDir != "", func() ([]entry, error) { return m.packageDir(ctx, r.RPMDir) }},
		{r.RPMURL != "", func() ([]entry, error) { return m.remoteRepo(ctx, r.RPMURL) }},
	} {
		if !step.wanted {
			continue
		}
		entries, err := step.do()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			m.policy.Digests.Add(e.path, e.digest)
		}
	}
	return m.finish()
}

// maker is one call of Create.
type maker struct {
	r         Request
	policy    *runtime.Policy
	fits      []fit
	algorithm string
	workers   int
	anyOwner  bool

	mu       sync.Mutex
	progress Progress
}

// given takes what comes as bytes: option, base policy and allowlist, in the
// order in which they decide on the algorithm.
func (m *maker) given() error {
	if a := m.r.Algorithm; a != "" {
		m.fits = append(m.fits, fit{source: "--algo option", names: []string{a}, invalid: !slices.Contains(Algorithms(), a)})
		if m.r.Rootfs == "" && m.r.RamdiskDir == "" {
			m.warn("the digest algorithm has no effect without a file tree or RAM disks to hash")
		}
	}
	m.policy = runtime.Empty()
	if m.r.Base != nil {
		base, warnings, err := runtime.ParseBase(m.r.Base)
		if err != nil {
			return &InputError{Source: "base policy", Err: err}
		}
		m.policy = base
		m.warn(warnings...)
		m.fits = append(m.fits, fitOf("base policy", &base.Digests))
	}
	if m.r.Allowlist != nil {
		list, warnings, err := runtime.FromAllowlist(m.r.Allowlist)
		if err != nil {
			return &InputError{Source: "allowlist", Err: err}
		}
		m.warn(warnings...)
		m.fits = append(m.fits, fitOf("allowlist", &list.Digests))
		for path, digests := range list.Digests.All() {
			for _, d := range digests {
				m.policy.Digests.Add(listed(path), d)
			}
		}
		m.policy.Keyrings.Merge(&list.Keyrings)
	}
	return nil
}

// fitOf is the algorithm of the first digest of a map.
func fitOf(source string, digests *runtime.DigestMap) fit {
	for _, list := range digests.All() {
		names, known := byLength(strings.TrimSuffix(list[0], "\n"))
		return fit{source: source, names: names, invalid: !known}
	}
	return fit{source: source}
}

// finish adds what is not digests of files.
func (m *maker) finish() (*runtime.Policy, error) {
	patterns, warnings, err := runtime.ParseExcludes(m.r.Excludes)
	if err != nil {
		return nil, err
	}
	m.warn(warnings...)
	m.policy.AddExcludes(patterns)
	m.policy.IMA.IgnoredKeyrings = append(m.policy.IMA.IgnoredKeyrings, m.r.IgnoredKeyrings...)
	keys, err := runtime.KeyringFromFiles(m.r.VerificationKeys...)
	if err == nil {
		err = m.policy.AddKeys(keys)
	}
	if err != nil {
		return nil, &InputError{Source: "verification keys", Err: err}
	}
	m.policy.Normalize()
	m.policy.Stamp(runtime.GeneratorLegacy, m.r.Now)
	// What was made must be what the schema allows, whatever the sources held.
	if _, err := runtime.ParsePolicy(m.policy.Marshal()); err != nil {
		return nil, fmt.Errorf("the policy made is none: %w", err)
	}
	return m.policy, nil
}

// warn tells what is left out; it may be called by any goroutine.
func (m *maker) warn(texts ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range texts {
		if m.r.Warn != nil {
			m.r.Warn(text)
		}
	}
}

// move changes the progress of a source; searching as in Progress.
func (m *maker) move(source string, files, total int, bytes int64, searching bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.progress.Source != source {
		m.progress = Progress{Source: source}
	}
	m.progress.Files += files
	m.progress.Total += total
	m.progress.Bytes += bytes
	m.progress.Searching = searching
	if m.r.Progress != nil {
		m.r.Progress(m.progress)
	}
}

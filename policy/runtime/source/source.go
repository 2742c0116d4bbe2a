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
	"errors"
	"net/http"
	"time"

	"github.com/keylime/keylime-tenant/policy/runtime"
)

// Request says what a policy is made from. Every source is optional; none at
// all gives the empty policy. Digests of all sources are merged, sorted and
// made unique.
type Request struct {
	// Base is a policy in JSON to add to, of any version; nil for none.
	Base []byte
	// Algorithm is the hash of trees and RAM disks: sha1, sha256, sha384, sha512
	// or sm3_256; "" takes that of the base, the allowlist or the list's first
	// line, else sha256.
	Algorithm string
	// Allowlist is an old flat allowlist, lines of digest and path; nil for none.
	Allowlist []byte
	// Excludes is an exclude list; nil for none.
	Excludes []byte
	// ListPath names a measurement list, ASCII or binary; "" for none.
	ListPath string
	// Keyrings takes the keys and Buffers the other buffers of the list.
	Keyrings, Buffers bool
	// Rootfs is the top of a file tree; "" for none.
	Rootfs string
	// SkipPaths are directories below Rootfs to leave out.
	SkipPaths []string
	// AnyOwner takes files of every owner; false: of root alone, as upstream.
	AnyOwner bool
	// RamdiskDir holds files named initr*; "" for none.
	RamdiskDir string
	// RPMDir is a directory of packages, searched to its depths, RPMs are single
	// packages, RPMURL is a repository; "" or nil for none.
	RPMDir string
	RPMs   []string
	RPMURL string
	// IgnoredKeyrings are added to ima.ignored_keyrings.
	IgnoredKeyrings []string
	// VerificationKeys are files of keys that sign files.
	VerificationKeys []string
	// Workers bounds parallel work; 0 is the number of cores, and 8 for RPMURL.
	Workers int
	// Now is the policy's timestamp.
	Now time.Time
	// HTTP fetches from RPMURL; nil refuses RPMURL.
	HTTP *http.Client
	// Progress is told of work done, if not nil, from one goroutine at a time.
	Progress func(Progress)
	// Warn is told what was left out and why, if not nil, from one goroutine at
	// a time.
	Warn func(text string)
}

// Progress tells how far the slow sources are.
type Progress struct {
	// Source is "tree", "ramdisk" or "rpm".
	Source string
	// Files and Bytes are done so far; Total is the number of files found so far.
	Files, Total int
	Bytes        int64
	// Searching says that Total may still grow.
	Searching bool
}

// Create makes a policy. It is complete or there is none: the first error ends
// all work. Errors: *[InputError], *[AlgorithmError], *runtime.SchemaError, the
// context's.
func Create(ctx context.Context, r Request) (*runtime.Policy, error) {
	return nil, errors.New("source: not there yet")
}

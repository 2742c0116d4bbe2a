package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// packages takes the digests of files in packages, several at a time.
func (m *maker) packages(ctx context.Context, paths []string) ([]entry, error) {
	workers := m.workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return m.readAll(ctx, paths, workers, func(_ context.Context, path string) (*Package, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, errors.Unwrap(err)
		}
		defer f.Close()
		return ReadPackage(bufio.NewReaderSize(f, 32<<10))
	})
}

// readAll reads packages with a number of workers and returns their files in
// the order of the packages. The first error ends it.
func (m *maker) readAll(ctx context.Context, names []string, workers int, read func(context.Context, string) (*Package, error)) ([]entry, error) {
	m.move("rpm", 0, len(names), 0, false)
	all := make([]*Package, len(names))
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i, name := range names {
		if work.Err() != nil {
			break
		}
		group.Go(func() error {
			p, err := read(work, name)
			if err != nil {
				return &InputError{Source: "RPM package", Path: name, Err: err}
			}
			all[i] = p
			m.move("rpm", 1, 0, 0, false)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	var entries []entry
	signers := map[string]int{}
	for i, p := range all {
		entries = append(entries, m.packageEntries(names[i], p, signers)...)
	}
	for _, id := range slices.Sorted(maps.Keys(signers)) {
		m.warn(fmt.Sprintf("%d files of the packages carry IMA signatures of key %s; with that key among the verification keys they would need no digests", signers[id], id))
	}
	return entries, nil
}

// packageEntries are the usable files of one package; signers counts signatures
// by key id.
func (m *maker) packageEntries(name string, p *Package, signers map[string]int) []entry {
	var entries []entry
	unusable, names := 0, 0
	for _, f := range p.Files {
		if s, err := ima.ParseSignature(f.Signature); f.Signature != nil && err == nil {
			signers[fmt.Sprintf("%08x", s.KeyID)]++
		}
		_, known := byLength(f.Digest)
		switch {
		case !known || strings.Trim(f.Digest, "0123456789abcdef") != "":
			unusable++
		case !utf8.ValidString(f.Path):
			names++
		default:
			entries = append(entries, entry{listed(f.Path), f.Digest})
		}
	}
	if unusable > 0 {
		m.warn(fmt.Sprintf("RPM package %s: %d files are left out, because their digests (such as MD5) are none that a policy holds", name, unusable))
	}
	if names > 0 {
		m.warn(fmt.Sprintf("RPM package %s: %d files are left out, because their names are not UTF-8", name, names))
	}
	return entries
}

// packageDir takes all packages in a directory and below. A repository's
// metadata are checked if they are signed; the key comes from the repository
// itself, as upstream takes it, so this finds damage and no forger.
func (m *maker) packageDir(ctx context.Context, dir string) ([]entry, error) {
	refuse := func(err error) ([]entry, error) {
		return nil, &InputError{Source: "RPM directory", Path: dir, Err: err}
	}
	if err := m.checkLocalMetadata(dir); err != nil {
		return refuse(err)
	}
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && strings.HasSuffix(path, ".rpm") {
			paths = append(paths, path)
		}
		return ctx.Err()
	})
	if err != nil {
		return refuse(err)
	}
	if len(paths) == 0 {
		return refuse(errors.New("no file named *.rpm in it or below"))
	}
	return m.packages(ctx, paths)
}

// checkLocalMetadata checks repodata/repomd.xml.asc, if it is there.
func (m *maker) checkLocalMetadata(dir string) error {
	repomd := filepath.Join(dir, "repodata", "repomd.xml")
	content, err := os.ReadFile(repomd)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a plain directory of packages
	}
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(repomd + ".asc")
	if errors.Is(err, fs.ErrNotExist) {
		m.warn("Warning. Unsigned repository. Continuing the RPM scanning")
		return nil
	}
	if err != nil {
		return err
	}
	key, err := os.ReadFile(repomd + ".key")
	if err != nil {
		return fmt.Errorf("the metadata are signed, and their key cannot be read: %w", err)
	}
	return checkSigned(key, signature, content)
}

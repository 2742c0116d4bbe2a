package source

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// baseSkip are the directories below the root that are never hashed (upstream's
// BASE_EXCLUDE_DIRS): they hold what changes by itself or is not measured.
var baseSkip = []string{"/sys", "/run", "/proc", "/lost+found", "/dev", "/media", "/snap", "/mnt", "/var", "/tmp"}

// tree hashes the regular files below root, on as many goroutines as there are
// workers: those that belong to root unless AnyOwner, no symbolic links, not
// below the directories to skip, and not on file systems of another type than
// root's, as far as the request does not say otherwise. Files and directories
// that cannot be read are left out with a warning.
func (m *maker) tree(ctx context.Context, root string, skipPaths []string) ([]entry, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, &InputError{Source: "rootfs", Path: root, Err: err}
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		if err == nil {
			err = fmt.Errorf("not a directory")
		}
		return nil, &InputError{Source: "rootfs", Path: root, Err: err}
	}
	skip, all := m.skipList(root, skipPaths)
	if all {
		return nil, nil
	}
	t := &treeWalk{maker: m, root: root, skip: skip, jobs: make(chan job, 4096), results: make(chan result, 4096)}
	if !m.r.AllFileSystems {
		t.fsType = fileSystem(root)
	}
	return t.run(ctx)
}

// skipList makes the paths to skip relative to root; all says that root itself
// lies in one.
func (m *maker) skipList(root string, paths []string) (skip map[string]bool, all bool) {
	skip = map[string]bool{}
	if m.r.Top == nil {
		for _, dir := range baseSkip {
			skip[dir] = true
		}
	}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if p == "" || err != nil {
			continue
		}
		switch {
		case within(root, abs):
			m.warn(fmt.Sprintf("rootfs %s lies in %s, which is to be skipped: no file of it is hashed", root, abs))
			return nil, true
		case within(abs, root):
			skip[below(root, abs)] = true
		default:
			m.warn(fmt.Sprintf("directory %s to be skipped is not below %s and is ignored", p, root))
		}
	}
	return skip, false
}

// within tells whether path is dir or lies below it; both are absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// below is the part of path below root, with a leading slash.
func below(root, path string) string {
	return "/" + strings.TrimPrefix(filepath.ToSlash(path[len(root):]), "/")
}

// treeWalk is one walk: a goroutine lists directories, workers hash files, and
// the caller's goroutine collects.
type treeWalk struct {
	*maker
	root    string
	skip    map[string]bool
	fsType  uint64 // 0: any
	jobs    chan job
	results chan result
}

// job is a file to hash.
type job struct {
	path string
	link bool // a symbolic link, to be followed
}

// result is what a worker has to say about one file.
type result struct {
	entry
	size    int64
	ok      bool
	warning string
	found   bool // a file was found, not hashed
	settled bool // all files have been found
}

func (t *treeWalk) run(ctx context.Context) ([]entry, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(t.jobs)
		if err := t.list(ctx, t.root); err != nil {
			return err
		}
		return t.send(ctx, result{settled: true})
	})
	n := t.workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	for range n {
		group.Go(func() error { return t.work(ctx) })
	}
	// Only when nobody is left who sends, the lister among them, may this close:
	// at an interrupt, all workers can be gone before it.
	var err error
	go func() {
		defer close(t.results)
		err = group.Wait()
	}()
	var entries []entry
	searching := true
	for r := range t.results {
		switch {
		case r.settled:
			searching = false
			t.move("tree", 0, 0, 0, searching)
		case r.found:
			t.move("tree", 0, 1, 0, searching)
		case r.warning != "":
			t.warn(r.warning)
		case r.ok:
			entries = append(entries, r.entry)
			t.move("tree", 1, 0, r.size, searching)
		default: // found, and none to hash
			t.move("tree", 0, -1, 0, searching)
		}
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return entries, nil
}

// send hands a result over unless the walk has ended.
func (t *treeWalk) send(ctx context.Context, r result) error {
	select {
	case t.results <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// list finds files in dir and below.
func (t *treeWalk) list(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if err := t.send(ctx, result{warning: "directory " + dir + " is left out: " + reason(err)}); err != nil {
			return err
		}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		link := t.r.Links && e.Type()&fs.ModeSymlink != 0
		switch {
		case t.skip[below(t.root, path)] || dir == t.root && t.r.Top != nil && !t.r.Top(e.Name()):
		case e.Type().IsRegular() || link:
			select {
			case t.jobs <- job{path, link}:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := t.send(ctx, result{found: true}); err != nil {
				return err
			}
		case !e.IsDir():
		case t.fsType != 0 && fileSystem(path) != t.fsType:
			if err := t.send(ctx, result{warning: "directory " + path + " is left out: it is a file system of another type"}); err != nil {
				return err
			}
		default:
			if err := t.list(ctx, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// reason is an error's cause without the path that the message has already.
func reason(err error) string {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// readSize is the unit in which files are read, in bytes.
const readSize = 256 << 10

// work hashes files until there are no more.
func (t *treeWalk) work(ctx context.Context) error {
	h, buffer := newHash(t.algorithm), make([]byte, readSize)
	for next := range t.jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, path := result{}, next.path
		key := listed(t.r.Prefix + below(t.root, path))
		open := openOwned
		if next.link {
			open = openLinked
		}
		f, size, err := open(path, t.anyOwner)
		switch {
		case err != nil:
			r.warning = "file " + path + " is left out: " + reason(err)
		case f == nil: // somebody else's
		case !utf8.ValidString(key):
			r.warning = fmt.Sprintf("file %q is left out: a policy cannot hold its name, which is not UTF-8", path)
		default:
			h.Reset()
			_, err = io.CopyBuffer(struct{ io.Writer }{h}, interruptible{ctx, f}, buffer)
			switch {
			case ctx.Err() != nil: // which is no reason to leave the file out
				f.Close()
				return ctx.Err()
			case err != nil:
				r.warning = "file " + path + " is left out: " + reason(err)
			default:
				r = result{entry: entry{key, hex.EncodeToString(h.Sum(nil))}, size: size, ok: true}
			}
		}
		if f != nil {
			f.Close()
		}
		if err := t.send(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// interruptible is a reader that ends with its context: a file may be as large
// as a disk.
type interruptible struct {
	ctx context.Context // of the walk, which the reader does not outlive
	in  io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

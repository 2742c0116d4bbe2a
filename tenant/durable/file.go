package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileStore is a directory with a file for each agent and kind, named
// PREFIX_KIND_ID.json.
type fileStore struct {
	name, dir, prefix string
}

// fileSuffix is that of the format, which upstream gives to every file.
const fileSuffix = ".json"

func openFiles(u storeURL) (Store, error) {
	s := &fileStore{name: u.shown(), dir: u.path, prefix: u.query["prefix"]}
	if u.scheme != "" && u.host != "" && u.host != "localhost" {
		return nil, &UnsupportedError{Object: "the store " + s.name, Cause: fmt.Sprintf("it names the host %.80q where a directory belongs", u.host),
			Hint: "a directory has three slashes: file:///var/lib/keylime/da?prefix=NAME"}
	}
	info, err := os.Stat(s.dir)
	switch {
	case err != nil:
		return nil, &OpenError{Store: s.name, Err: bare(err)}
	case !info.IsDir():
		return nil, &UnsupportedError{Object: "the store " + s.name, Cause: "it is not a directory", Hint: "name the directory, with ?prefix=NAME"}
	}
	return s, nil
}

// OpenError is a store that cannot be reached or read.
type OpenError struct {
	Store string
	Err   error
	// Hint says what to do; may be empty.
	Hint string
	// Unauthorized says that the server wants another password.
	Unauthorized bool
}

func (e *OpenError) Error() string { return "store " + e.Store + ": " + e.Err.Error() }

func (e *OpenError) Unwrap() error { return e.Err }

// HintText is what to do.
func (e *OpenError) HintText() string {
	switch {
	case e.Hint != "":
		return e.Hint
	case errors.Is(e.Err, fs.ErrPermission):
		return "run as a user who may read it: records belong to the user of the servers, often keylime"
	case errors.Is(e.Err, fs.ErrNotExist):
		return "is the directory right? It is the path in persistent_store_url of registrar.conf and verifier.conf"
	}
	return ""
}

// bare is an error of the system without the path, which is named already.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (s *fileStore) Name() string { return s.name }

func (s *fileStore) Close() error { return nil }

// Agents: see [Store]. A file of another prefix is none of this store's.
func (s *fileStore) Agents(ctx context.Context, kind Kind) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, &OpenError{Store: s.name, Err: bare(err)}
	}
	var ids []string
	for _, entry := range entries {
		id, ours := strings.CutPrefix(entry.Name(), s.prefix+"_"+string(kind)+"_")
		id, whole := strings.CutSuffix(id, fileSuffix)
		if ours && whole && id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Prefixes are those of the files in the directory of a file store, sorted: for
// people who have forgotten theirs. It is nil for any other store.
func Prefixes(store Store) []string {
	s, is := store.(*fileStore)
	if !is {
		return nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil
	}
	var prefixes []string
	for _, entry := range entries {
		for _, kind := range []Kind{Attestations, Registrations} {
			prefix, _, found := strings.Cut(entry.Name(), "_"+string(kind)+"_")
			if found && strings.HasSuffix(entry.Name(), fileSuffix) && !slices.Contains(prefixes, prefix) {
				prefixes = append(prefixes, prefix)
			}
		}
	}
	slices.Sort(prefixes)
	return prefixes
}

// Log: see [Store].
func (s *fileStore) Log(ctx context.Context, kind Kind, id string) (Log, error) {
	if id == "" || strings.ContainsAny(id, "/\\\x00") {
		return nil, &NoLogError{Kind: kind, ID: id, Store: s.name}
	}
	path := filepath.Join(s.dir, s.prefix+"_"+string(kind)+"_"+id+fileSuffix)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NoLogError{Kind: kind, ID: id, Store: s.name}
	case err == nil && !info.Mode().IsRegular():
		return nil, &OpenError{Store: s.name, Err: fmt.Errorf("%s is not a regular file", path)}
	case err != nil:
		return nil, &OpenError{Store: s.name, Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &OpenError{Store: s.name, Err: err}
	}
	l, err := indexFile(ctx, f, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l.close = f.Close
	return l, nil
}

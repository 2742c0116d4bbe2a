package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// SystemFiles are the files that are read where none is named, the weakest
// first: those that variables of the environment name, then /usr/etc/keylime and
// /etc/keylime. old is the one file of the time before versions, which counts if
// there is none of the others.
func SystemFiles(getenv func(string) (string, bool)) (files, old []string) {
	for _, name := range []string{"LOGGING_", "CA_", "TENANT_", "REGISTRAR_", "VERIFIER_", "AGENT_", ""} {
		if path, _ := getenv("KEYLIME_" + name + "CONFIG"); path != "" {
			files = append(files, path)
		}
	}
	for _, dir := range SystemDirs() {
		for _, c := range Components() {
			files = append(files, dir+"/"+c+".conf")
		}
	}
	return files, []string{"/usr/etc/keylime.conf", "/etc/keylime.conf"}
}

// SystemDirs are the directories of installed files, the weakest first.
func SystemDirs() []string { return []string{"/usr/etc/keylime", "/etc/keylime"} }

// Existing are the files that are there, each once.
func Existing(paths []string) []string {
	var there []string
	for _, path := range paths {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) && !slices.Contains(there, path) {
			there = append(there, path)
		}
	}
	return there
}

// UnreadableError is a file that is there and cannot be read, so that its
// options would be lost.
type UnreadableError struct {
	Path string
	Err  error
}

func (e *UnreadableError) Error() string {
	err := e.Err
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Sprintf("%s cannot be read: %v", e.Path, err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// ReadFiles reads files one after the other, later values replacing earlier
// ones. read are those that could be read, unreadable the others. The error,
// a [*config.Error], is that of a file which is no configuration.
func ReadFiles(paths []string) (d *Document, read []string, unreadable []*UnreadableError, err error) {
	d = NewDocument()
	for _, path := range paths {
		data, err := readLimited(path)
		if err != nil {
			unreadable = append(unreadable, &UnreadableError{path, err})
			continue
		}
		ini, err := config.ParseINI(path, data)
		if err != nil {
			return nil, read, unreadable, err
		}
		d.Read(ini)
		read = append(read, path)
	}
	return d, read, unreadable, nil
}

// SnippetDir is a directory of drop-ins and what stands in its files that the
// new version no longer has.
type SnippetDir struct {
	Path  string
	Files int
	// Stale are the options, with their file and line.
	Stale []StaleOption
	// Unread are the files that cannot be read, or are no configuration.
	Unread []error
}

// StaleOption is an option of a drop-in that a version does not have.
type StaleOption struct {
	File string
	Line int
	Key  Key
	Why  string
}

// Snippets looks through the drop-ins of a component's new file, which an
// upgrade does not rewrite. dirs that are not there are left out.
func (h *History) Snippets(f File, dirs []string) []SnippetDir {
	var all []SnippetDir
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				all = append(all, SnippetDir{Path: dir, Unread: []error{&UnreadableError{dir, err}}})
			}
			continue
		}
		s := SnippetDir{Path: dir}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			s.Files++
			s.read(h, f, path)
		}
		if s.Files > 0 {
			all = append(all, s)
		}
	}
	return all
}

func (s *SnippetDir) read(h *History, f File, path string) {
	data, err := readLimited(path)
	if err != nil {
		s.Unread = append(s.Unread, &UnreadableError{path, err})
		return
	}
	ini, err := config.ParseINI(path, data)
	if err != nil {
		s.Unread = append(s.Unread, err)
		return
	}
	for _, section := range ini.Sections {
		for _, o := range section.Options {
			k := Key{section.Name, o.Name}
			if slices.Contains(f.Keys, k) {
				continue
			}
			why := "no version has this option"
			if name, renamed := h.names[k]; renamed {
				why = "is called " + name.String() + " now"
			} else if _, known := h.since[k]; known {
				why = "version " + f.Version + " has it no more"
			}
			s.Stale = append(s.Stale, StaleOption{path, o.Line, k, why})
		}
	}
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sizeLimit is the largest file that is taken for a configuration, in bytes.
const sizeLimit = 4 << 20

// source is one file that was read.
type source struct {
	name string
	ini  *INI
}

// Files are the files of one component, the weakest first, and what a classic
// call reports about them.
type Files struct {
	sources []source
	// variable is the environment variable that names another file.
	variable string
	// Base is the file that the classic record "Reading configuration from"
	// names, "" if there is none; SnippetDirs are the directories of which
	// drop-ins were applied.
	Base        string
	SnippetDirs []string
	Warnings    []Warning
}

// Find reads the files of a component ("tenant", "ca", "logging") in the order
// of PROTOCOL.md 14.1: the file that KEYLIME_<COMPONENT>_CONFIG names alone;
// else the first of /etc/keylime and /usr/etc/keylime, then the drop-ins of
// /usr/etc and those of /etc, each in name order. Differences from the Python
// tenant (TENANT-CLI.md D): drop-ins count without a base file too, and a file
// that is there but cannot be read is an error. Errors: [*Error].
func Find(o Options, component string) (*Files, error) {
	variable := "KEYLIME_" + strings.ToUpper(component) + "_CONFIG"
	f := &Files{variable: variable}
	if path, _ := o.getenv(variable); path != "" {
		switch info, err := os.Stat(path); {
		case err == nil && info.Mode().IsRegular():
			f.Base = path
			return f, f.read(path, path)
		case err == nil:
			f.warn(fmt.Sprintf("%s names %s, which is not a regular file, so it is not used", variable, path), "the installed configuration holds instead")
		case errors.Is(err, fs.ErrNotExist):
			f.warn(fmt.Sprintf("%s names %s, which does not exist", variable, path), "the installed configuration holds instead")
		default:
			return nil, f.unreadable(path, err)
		}
	}
	for _, dir := range []string{"/etc/keylime", "/usr/etc/keylime"} {
		name := dir + "/" + component + ".conf"
		err := f.read(name, o.path(name))
		if err == nil {
			f.Base = name
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, dir := range []string{"/usr/etc/keylime", "/etc/keylime"} {
		if err := f.snippets(o, dir+"/"+component+".conf.d"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// snippets reads the regular files of one directory in name order.
func (f *Files) snippets(o Options, dir string) error {
	entries, err := os.ReadDir(o.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return f.unreadable(dir, err)
	}
	applied := false
	for _, entry := range entries { // ReadDir sorts by name
		path := filepath.Join(o.path(dir), entry.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue // dangling links and subdirectories, as upstream
		}
		name := dir + "/" + entry.Name()
		if err := f.read(name, path); err != nil {
			return err
		}
		if isBackup(entry.Name()) {
			f.warn(name+" looks like an editor's or package manager's copy, and is read like every file there", "move it out of the directory if it should not count")
		}
		applied = true
	}
	if applied {
		f.SnippetDirs = append(f.SnippetDirs, dir)
	}
	return nil
}

// isBackup says whether a name is that of a file that editors and package
// managers leave behind.
func isBackup(name string) bool {
	for _, suffix := range []string{"~", ".swp", ".rpmnew", ".rpmsave", ".rpmorig", ".bak", ".orig"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasPrefix(name, ".#") || strings.Contains(name, ".dpkg-")
}

func (f *Files) warn(text, hint string) {
	f.Warnings = append(f.Warnings, Warning{Text: text, Hint: hint})
}

// read reads and parses one file; name is how messages call it.
func (f *Files) read(name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return f.unreadable(name, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, sizeLimit+1))
	if err != nil {
		return f.unreadable(name, err)
	}
	if len(data) > sizeLimit {
		return &Error{Kind: KindTooLarge, Origin: Origin{Kind: OriginFile, Name: name},
			Cause: fmt.Sprintf("the file is larger than %d MiB and cannot be a configuration", sizeLimit>>20)}
	}
	ini, err := ParseINI(name, data)
	if err != nil {
		return err
	}
	f.sources = append(f.sources, source{name: name, ini: ini})
	return nil
}

// Merged is what RawConfigParser holds after it has read all files: a later
// value replaces an earlier one.
func (f *Files) Merged() *INI {
	all := &INI{Defaults: Section{Name: defaultSection}}
	for _, s := range f.sources {
		all.Defaults.merge(s.ini.Defaults)
		for _, section := range s.ini.Sections {
			known := all.Section(section.Name)
			if known == nil {
				all.Sections = append(all.Sections, Section{Name: section.Name, Line: section.Line})
				known = &all.Sections[len(all.Sections)-1]
			}
			known.merge(section)
		}
	}
	return all
}

func (s *Section) merge(other Section) {
	for _, o := range other.Options {
		i := slices.IndexFunc(s.Options, func(mine INIOption) bool { return mine.Name == o.Name })
		if i < 0 {
			s.Options = append(s.Options, o)
		} else {
			s.Options[i] = o
		}
	}
}

func (f *Files) unreadable(name string, err error) *Error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	e := &Error{Kind: KindUnreadable, Origin: Origin{Kind: OriginFile, Name: name}, Cause: "the configuration is there but cannot be read", Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Hint = "run as a user who may read it, or name another file in " + f.variable
	}
	return e
}

// path puts the root before a path of the search order.
func (o Options) path(name string) string {
	if o.Root == "" {
		return name
	}
	return filepath.Join(o.Root, filepath.FromSlash(name))
}

// getenv is the value of a variable; the first of several counts.
func (o Options) getenv(name string) (string, bool) {
	for _, entry := range o.Env {
		if key, value, found := strings.Cut(entry, "="); found && key == name {
			return value, true
		}
	}
	return "", false
}

// StoreIn is tpm_cert_store as the files of one directory have it: tenant.conf,
// then *.conf in tenant.conf.d in name order; "" if none has it. Neither other
// directories nor the environment count: it is for a script that was told this
// one. Errors: [*Error].
func StoreIn(dir string) (string, error) {
	f := &Files{variable: "KEYLIME_CONFIG_DIR"}
	base := filepath.Join(dir, "tenant.conf")
	if err := f.read(base, base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	snippets, err := filepath.Glob(filepath.Join(globEscape(dir), "tenant.conf.d", "*.conf"))
	if err != nil {
		return "", f.unreadable(dir, err)
	}
	for _, path := range snippets { // Glob sorts them
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue // dangling links and subdirectories
		}
		if err := f.read(path, path); err != nil {
			return "", err
		}
	}
	store := ""
	for _, s := range f.sources {
		if section := s.ini.Section("tenant"); section != nil {
			for _, o := range section.Options {
				if o.Name == "tpm_cert_store" {
					store = strings.TrimSpace(o.Value)
				}
			}
		}
	}
	return store, nil
}

// globEscape makes a directory stand for itself in a pattern.
func globEscape(dir string) string {
	if filepath.Separator != '/' {
		return dir // where the backslash separates, nothing can be escaped
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/config/upgrade"
)

// systemTemplates is where packages of Keylime install the templates.
const systemTemplates = "/usr/share/keylime/templates"

// openCatalog opens a directory of templates; without one, that of the system,
// or the catalogue that the program brings along where there is none.
func openCatalog(dir string) (upgrade.Catalog, error) {
	if dir == "" {
		if info, err := os.Stat(systemTemplates); err != nil || !info.IsDir() {
			return upgrade.NewBuiltin()
		}
		dir = systemTemplates
	}
	return upgrade.OpenDirectory(dir)
}

// readMapping reads the mapping that --mapping names.
func readMapping(path string) (*upgrade.Mapping, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &inputError{Option: "--mapping", Path: path, Err: err}
	}
	return upgrade.ParseMapping(path, data)
}

// upgradeJob is an upgrade of files, for the verb and for the old tool.
type upgradeJob struct {
	request upgrade.Request
	history *upgrade.History
	// read are the files that were read; out is the directory for the new ones;
	// installed says that the files of the system were looked for.
	read      []string
	out       string
	installed bool

	result  *upgrade.Result
	files   []upgrade.File
	changes []upgrade.Change
}

// upgradeNotice is what a person should know of an upgrade, though it goes on.
type upgradeNotice struct{ object, text, hint string }

// run upgrades. The files are made by make.
func (j *upgradeJob) run() (err error) {
	if j.result, err = j.request.Run(); err != nil {
		return err
	}
	j.history, err = upgrade.NewHistory(j.request.Catalog, j.request.Mapping)
	return err
}

// make makes all files, and what is told of them.
func (j *upgradeJob) make() (notices []upgradeNotice, err error) {
	if j.files, err = j.request.Files(j.result); err != nil {
		return nil, err
	}
	j.changes = j.request.Changes(j.result, j.files, j.history)
	for _, f := range j.files {
		for _, lost := range f.Lost {
			notices = append(notices, upgradeNotice{f.Component + ".conf", lost, "without --templates every option is written"})
		}
	}
	for _, c := range j.changes {
		if !c.Lost() || j.request.Defaults {
			continue
		}
		n := upgradeNotice{c.Section + "." + c.Option, "is lost: " + c.Why, ""}
		if c.Kind == upgrade.ChangeUnknown {
			if near := nearest(c.Option, j.history.Options(c.Section)); near != "" {
				n.hint = "did you mean " + near + "?"
			}
		}
		notices = append(notices, n)
	}
	for _, f := range j.files {
		for _, k := range f.Unset {
			notices = append(notices, j.unset(k))
		}
		for _, d := range f.Doubts {
			notices = append(notices, upgradeNotice{d.Key.String(), d.Why, ""})
		}
		notices = append(notices, j.snippets(f)...)
	}
	return notices, nil
}

// unset tells of an option that the input lacks though its version has it.
func (j *upgradeJob) unset(k upgrade.Key) upgradeNotice {
	n := upgradeNotice{object: k.String(), text: "is not set in the input, and not in the new file"}
	if _, ours := j.request.Catalog.(*upgrade.Builtin); !ours {
		n.text = "is not set in the input, and the template writes it without a value"
	}
	if value, known := j.history.Default(k); known {
		n.hint = "its default is " + upgrade.Shown(k.Option, value)
		if value == "" {
			n.hint = "its default is empty"
		}
	}
	return n
}

// snippets tells of the drop-ins beside the files that were read and written.
func (j *upgradeJob) snippets(f upgrade.File) []upgradeNotice {
	name := f.Component + ".conf"
	dirs := []string{filepath.Join(j.out, name+".d")}
	for _, path := range j.read {
		if filepath.Base(path) == name {
			dirs = append(dirs, path+".d")
		}
	}
	if j.installed {
		for _, dir := range upgrade.SystemDirs() {
			dirs = append(dirs, filepath.Join(dir, name+".d"))
		}
	}
	var notices []upgradeNotice
	var seen []string
	for _, dir := range dirs {
		absolute, err := filepath.Abs(dir)
		if err != nil || slices.Contains(seen, absolute) {
			continue
		}
		seen = append(seen, absolute)
		for _, s := range j.history.Snippets(f, []string{dir}) {
			notices = append(notices, upgradeNotice{s.Path, count(s.Files, "drop-in") + " there: not rewritten, and read after " + name, ""})
			for _, o := range s.Stale {
				notices = append(notices, upgradeNotice{fmt.Sprintf("%s:%d", o.File, o.Line), o.Key.String() + ": " + o.Why, "change the line by hand"})
			}
			for _, err := range s.Unread {
				notices = append(notices, upgradeNotice{"", err.Error(), ""})
			}
		}
	}
	return notices
}

// path is where the file of a component goes.
func (j *upgradeJob) path(f upgrade.File) string {
	return filepath.Join(j.out, f.Component+".conf")
}

// write writes all files. A new file that holds a password is for its owner
// alone.
func (j *upgradeJob) write() error {
	var targets []upgrade.Target
	for _, f := range j.files {
		t := upgrade.Target{Path: j.path(f), Content: f.Content}
		for _, k := range f.Keys {
			if value, found := j.result.Config.Get(k.Section, k.Option); found && upgrade.Shown(k.Option, value) != value {
				t.Private = true
			}
		}
		targets = append(targets, t)
	}
	return upgrade.Write(targets)
}

// checkOut says why a directory cannot take files.
func checkOut(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &fileError{Path: dir, Cause: "this directory for the new files does not exist", Advice: "make it, or name another one with --out"}
	case err != nil:
		return unreadable(dir, err)
	case !info.IsDir():
		return &fileError{Path: dir, Cause: "this is not a directory", Advice: "name a directory with --out"}
	}
	return nil
}

// upgradeFailure makes what went wrong an error with its exit code and a hint.
func upgradeFailure(err error) error {
	var (
		target   *upgrade.TargetError
		mapping  *upgrade.MappingError
		template *upgrade.TemplateError
		unread   *upgrade.UnreadableError
		write    *upgrade.WriteError
		parse    *config.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &target):
		text := ""
		for _, v := range target.Known {
			text += " " + v.String()
		}
		return usagef("%w", err).hint("versions there:%s", text)
	case errors.As(err, &template):
		return usagef("%w", err).hint("without --templates the program's own layout is written")
	case errors.As(err, &mapping):
		return &usageError{Err: err}
	case errors.As(err, &unread):
		return usagef("%w: its options would be lost", err).hint("run as a user who may read it, such as root, or name the files to read")
	case errors.As(err, &write) && errors.Is(err, fs.ErrPermission):
		return &advisedError{Err: err, Advice: "run as a user who may write there, such as root, or name another directory with --out"}
	case errors.As(err, &parse) && parse.Kind == config.KindNoSection:
		return &advisedError{Err: err, Advice: "a configuration of Keylime begins with a [section], without a byte order mark"}
	case errors.As(err, &parse):
		return configFailure(err)
	}
	return err
}

package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config/upgrade"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

// upgradeFlags are the options of config upgrade.
type upgradeFlags struct {
	out, target, mapping, templates string
	components                      []string
	defaults, dryRun, diff          bool
}

func newConfigUpgradeCmd(a *app) *cobra.Command {
	var f upgradeFlags
	cmd := a.command("upgrade [FILE]...", "bring the files of Keylime to another version",
		`Bring the configuration of agent, verifier, registrar, tenant, ca and logging to the
newest version, or to that of --target: options get their new names, values their new form,
and new options their defaults. FILE is the old keylime.conf, or files of components;
without one the installed files are read.

All files are made before the first is written, and each that is replaced is kept as
FILE.bkp. Files of components that the input does not have are made only where --component
names them. An option that no version knows is lost, and a warning says so. Drop-ins
(X.conf.d) are not rewritten; warnings name what in them has become void. --dry-run shows
all this and writes nothing.

The old spelling goes on working: keylime_upgrade_config --input FILE --out DIR.`,
		`keylime_tenant config upgrade --dry-run
keylime_tenant config upgrade /etc/keylime.conf --out /etc/keylime
keylime_tenant config upgrade --component tenant --target 2.5 --out ./new
keylime_tenant config upgrade --defaults --out ./new`,
		cobra.ArbitraryArgs, func(_ context.Context, args []string) error {
			result, err := a.upgradeConfig(f, args)
			if err != nil {
				return upgradeFailure(err)
			}
			return a.show(result)
		})
	o := options{flags: cmd.Flags()}
	o.text(&f.out, "out", "", "DIR", "directory for the new files (default: /etc/keylime, if no FILE is named)")
	o.list(&f.components, "component", strings.Join(upgrade.Components(), "|"), "write the file of this component only; may be repeated")
	o.text(&f.target, "target", "", "VERSION", "version to stop at, such as 2.5 (default: the newest)")
	o.on(&f.defaults, "defaults", "", "read nothing: every option takes its default")
	o.on(&f.dryRun, "dry-run", "n", "show what changes, and write nothing")
	o.on(&f.diff, "diff", "", "the same as --dry-run")
	o.text(&f.templates, "templates", "", "DIR", "mappings and templates of each version (default: "+systemTemplates+", else built in)")
	o.text(&f.mapping, "mapping", "", "FILE", "the only mapping to apply, a JSON file as in the templates")
	return cmd
}

// upgradeResult is what config upgrade did, or would do.
type upgradeResult struct {
	// UpToDate: nothing changes.
	UpToDate bool `json:"up_to_date"`
	DryRun   bool `json:"dry_run"`
	// Catalog is where versions and files are from.
	Catalog string           `json:"catalog"`
	Read    []string         `json:"read"`
	Files   []upgradedFile   `json:"files"`
	Changes []upgrade.Change `json:"changes"`
}

// upgradedFile is a file that was written, or would be.
type upgradedFile struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Path      string `json:"path"`
	Written   bool   `json:"written"`
	// Backup is the copy of the file that was replaced.
	Backup string `json:"backup,omitempty"`
}

func (a *app) upgradeConfig(f upgradeFlags, paths []string) (*upgradeResult, error) {
	dry := f.dryRun || f.diff
	j, err := a.upgradeJob(f, paths, dry)
	if err != nil {
		return nil, err
	}
	if err := j.run(); err != nil {
		return nil, err
	}
	res := &upgradeResult{DryRun: dry, Catalog: j.request.Catalog.Name(), Read: j.read, Files: []upgradedFile{}, Changes: []upgrade.Change{}}
	if res.Read == nil {
		res.Read = []string{}
	}
	res.UpToDate = !j.result.Changed
	if res.UpToDate && f.out == "" && len(f.components) == 0 {
		return res, nil
	}
	notices, err := j.make()
	if err != nil {
		return nil, err
	}
	for _, n := range notices {
		a.warn(n.object, n.text, n.hint)
	}
	res.Changes = j.changes
	for _, file := range j.files {
		path := j.path(file)
		entry := upgradedFile{Component: file.Component, Version: file.Version, Path: path, Written: !dry}
		if len(upgrade.Existing([]string{path})) > 0 && !dry {
			entry.Backup = upgrade.Backup(path)
		}
		res.Files = append(res.Files, entry)
	}
	if dry {
		return res, nil
	}
	return res, j.write()
}

// upgradeJob reads everything that the options name.
func (a *app) upgradeJob(f upgradeFlags, paths []string, dry bool) (j *upgradeJob, err error) {
	j = &upgradeJob{out: f.out, installed: len(paths) == 0 && !f.defaults}
	j.request.Defaults = f.defaults
	j.request.Log = func(level upgrade.Level, text string) {
		if level == upgrade.Warning {
			a.warn("", text, "")
		}
	}
	for _, name := range f.components {
		if !slices.Contains(upgrade.Components(), name) {
			u := usagef("--component %s: there is no such component", name)
			if near := nearest(name, upgrade.Components()); near != "" {
				return nil, u.hint("did you mean %s?", near)
			}
			return nil, u.hint("components are %s", strings.Join(upgrade.Components(), ", "))
		}
	}
	if f.target != "" {
		v, ok := upgrade.ParseVersion(f.target)
		if !ok {
			return nil, usagef("--target %s: this is no version", f.target).hint("a version is MAJOR.MINOR, such as 2.6")
		}
		j.request.Target = &v
	}
	switch {
	case f.defaults && len(paths) > 0:
		return nil, usagef("--defaults reads no files, and %s is named", paths[0]).hint("leave out one of both")
	case f.mapping != "" && f.target != "":
		return nil, usagef("--mapping applies one mapping, so --target has no use").hint("leave out one of both")
	case j.out == "" && (f.defaults || len(paths) > 0) && !dry:
		return nil, usagef("nothing says where the new files go").hint("add --out DIR, or --dry-run to see what would change")
	case j.out == "":
		j.out = "/etc/keylime"
	}
	if !dry {
		if err := checkOut(j.out); err != nil {
			return nil, err
		}
	}
	if j.request.Catalog, err = openCatalog(f.templates); err != nil {
		return nil, &usageError{Err: err, Advice: "without --templates the program uses what it brings along"}
	}
	if f.mapping != "" {
		if j.request.Mapping, err = readMapping(f.mapping); err != nil {
			return nil, err
		}
	}
	if err := a.upgradeInput(j, paths); err != nil {
		return nil, err
	}
	return j, j.choose(f.components)
}

// upgradeInput reads the configuration. A file that cannot be read is an error:
// its values would silently become defaults.
func (a *app) upgradeInput(j *upgradeJob, paths []string) error {
	j.request.Input = upgrade.NewDocument()
	if j.request.Defaults {
		return nil
	}
	if len(paths) == 0 {
		current, old := upgrade.SystemFiles(a.getenv)
		if paths = upgrade.Existing(current); len(paths) == 0 {
			paths = upgrade.Existing(old)
		}
		if len(paths) == 0 {
			return usagef("there is no configuration of Keylime in /etc/keylime, /usr/etc/keylime or /etc/keylime.conf").
				hint("name the files to read, or make new ones with --defaults --out DIR")
		}
	}
	for _, path := range paths {
		if len(upgrade.Existing([]string{path})) == 0 {
			return &fileError{Path: path, Cause: "there is no such file"}
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return &fileError{Path: path, Cause: "this is a directory", Advice: "name the files in it, such as " + path + "/*.conf"}
		}
	}
	d, read, unread, err := upgrade.ReadFiles(paths)
	if err != nil {
		return err
	}
	if len(unread) > 0 {
		return unread[0]
	}
	j.request.Input, j.read = d, read
	return nil
}

// choose settles which files are made: those asked for, or those of components
// that the input has.
func (j *upgradeJob) choose(components []string) error {
	history, err := upgrade.NewHistory(j.request.Catalog, j.request.Mapping)
	if err != nil {
		return err
	}
	has := history.Owners(j.request.Input)
	for _, c := range upgrade.Components() {
		if slices.Contains(components, c) || len(components) == 0 && (j.request.Defaults || slices.Contains(has, c)) {
			j.request.Components = append(j.request.Components, c)
		}
	}
	if len(j.request.Components) == 0 {
		return usagef("%s: there is no section of Keylime in it", strings.Join(j.read, ", ")).
			hint("sections are those of keylime.conf, or [agent], [verifier], [tenant], [registrar], [ca] and [logging]")
	}
	return nil
}

// Screen is what changes, and which files were written.
func (r *upgradeResult) Screen() render.Screen {
	if r.UpToDate && len(r.Files) == 0 {
		return render.Screen{{Text: "the configuration is up to date"}}
	}
	var screen render.Screen
	unset := 0
	if len(r.Changes) > 0 {
		table := render.Table{Header: []string{"OPTION", "CHANGE", "FROM", "TO", "WHY"}}
		for _, c := range r.Changes {
			if c.Kind == upgrade.ChangeDefault {
				unset++
				continue
			}
			table.Rows = append(table.Rows, []string{c.Section + "." + c.Option, c.Kind, shownValue(c.From), shownValue(c.To), c.Why})
		}
		if len(table.Rows) > 0 {
			screen = append(screen, render.Section{Table: &table})
		}
	}
	var lines []string
	if unset > 0 {
		lines = append(lines, count(unset, "option")+" not set before, with the default now (-o json lists all)")
	}
	for _, f := range r.Files {
		line := fmt.Sprintf("%s: version %s written", f.Path, f.Version)
		if !f.Written {
			line = fmt.Sprintf("%s: version %s would be written", f.Path, f.Version)
		}
		if f.Backup != "" {
			line += ", the old file is " + f.Backup
		}
		lines = append(lines, line)
	}
	return append(screen, render.Section{Text: strings.Join(lines, "\n")})
}

// Names are the paths of the files.
func (r *upgradeResult) Names() []string {
	names := []string{}
	for _, f := range r.Files {
		names = append(names, f.Path)
	}
	return names
}

func shownValue(value *string) string {
	switch {
	case value == nil:
		return "-"
	case *value == "":
		return `""`
	}
	return render.Safe(*value)
}

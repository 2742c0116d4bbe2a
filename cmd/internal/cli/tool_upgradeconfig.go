package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/config/upgrade"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

// upgradeConfigTool is keylime_upgrade_config (TENANT-CLI.md C.2).
func upgradeConfigTool(_ context.Context, a *app, args []string) int {
	parser := upgradeConfigParser()
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	t := upgradeTool{app: a, debug: values.Has("debug")}
	if err := t.upgrade(values); err != nil {
		return t.fail(err)
	}
	return exitOK
}

func upgradeConfigParser() argparse.Parser {
	return argparse.Parser{
		Prog: "keylime_upgrade_config", Description: "Bring the configuration of Keylime to another version, one file for each component",
		Options: []argparse.Option{
			{Names: []string{"--component"}, Dest: "component", Metavar: "COMPONENT", NArgs: argparse.AtLeastOne, Append: true,
				Help: "Components whose files are written, of agent, verifier, tenant, registrar, ca and logging; all if none is named. Those named are written even when up-to-date. May be repeated"},
			{Names: []string{"--debug"}, Dest: "debug", NArgs: argparse.None, Help: "Log what is done to each option"},
			{Names: []string{"--input"}, Dest: "input", Metavar: "INPUT", NArgs: argparse.AtLeastOne, Append: true,
				Help: "Files to read, later ones replacing values of earlier ones; without it the installed configuration. May be repeated"},
			{Names: []string{"--out"}, Dest: "out", Metavar: "OUT",
				Help: "Directory for the new files: without it /etc/keylime for root, else the current directory. If it is named, files are written even when up-to-date. A file that is replaced is kept as FILE.bkp"},
			{Names: []string{"--mapping"}, Dest: "mapping", Metavar: "MAPPING", Help: "JSON file with the only mapping to apply, in place of those of all versions"},
			{Names: []string{"--templates"}, Dest: "templates", Metavar: "TEMPLATES",
				Help: `Directory with a mapping and templates for each version; without it "/usr/share/keylime/templates", or, where that is not there, what the program brings along`},
			{Names: []string{"--version"}, Dest: "version", Metavar: "VERSION", Help: "Version to stop at, MAJOR.MINOR; without it the newest"},
			{Names: []string{"--defaults"}, Dest: "defaults", NArgs: argparse.None, Help: "Read no configuration: every option takes its default"},
		},
	}
}

// upgradeTool is one call of keylime_upgrade_config.
type upgradeTool struct {
	*app
	debug bool
}

// record writes a record as the old tool's logging does.
func (t *upgradeTool) record(level, text string) {
	fmt.Fprintf(t.errOut(), "%s - keylime.cmd.convert_config - %s - %s\n", t.now().Format("2006-01-02 15:04:05.000"), level, text)
}

// log takes what the upgrade tells.
func (t *upgradeTool) log(level upgrade.Level, text string) {
	switch {
	case level == upgrade.Warning:
		t.record("WARNING", text)
	case level == upgrade.Info:
		t.record("INFO", text)
	case t.debug:
		t.record("DEBUG", text)
	}
}

// fail says in one line what the old tool says with a traceback.
func (t *upgradeTool) fail(err error) int {
	err = upgradeFailure(err)
	fmt.Fprintf(t.errOut(), "error: %v\n", err)
	var advised interface{ HintText() string }
	if errors.As(err, &advised) && advised.HintText() != "" {
		fmt.Fprintf(t.errOut(), "hint: %s\n", advised.HintText())
	}
	return exitFailure
}

func (t *upgradeTool) upgrade(values argparse.Values) error {
	j := upgradeJob{}
	out, outGiven := values.Get("out")
	outGiven = outGiven && out != ""
	switch {
	case outGiven:
		j.out = out
	case os.Geteuid() == 0:
		j.out = "/etc/keylime"
	default:
		j.out = "."
	}
	if err := checkOut(j.out); err != nil {
		return err
	}
	chosen := values.All("component")
	j.request.Components = t.components(chosen)
	if text, given := values.Get("version"); given && text != "" {
		v, ok := upgrade.ParseVersion(text)
		if !ok {
			return fmt.Errorf("--version %s: MAJOR.MINOR was expected, such as 2.6", text)
		}
		j.request.Target = &v
	}
	templates, given := values.Get("templates")
	if given && templates == "" {
		return errors.New("--templates names no directory")
	}
	catalog, err := openCatalog(templates)
	if err != nil {
		return err
	}
	j.request.Catalog, j.request.Defaults, j.request.Log = catalog, values.Has("defaults"), t.log
	t.log(upgrade.Debug, "versions and files are those of "+catalog.Name())
	if err := t.input(&j, values.All("input")); err != nil {
		return err
	}
	if path, given := values.Get("mapping"); given && path != "" {
		if j.request.Mapping, err = readMapping(path); err != nil {
			return err
		}
	}
	if err := j.run(); err != nil {
		return err
	}
	if !j.result.Changed {
		t.record("INFO", "Configuration is up-to-date")
		if !outGiven && len(chosen) == 0 {
			return nil
		}
	}
	return t.write(&j)
}

// components keeps of the names those of components, in the usual order.
func (t *upgradeTool) components(chosen []string) []string {
	if len(chosen) == 0 {
		return upgrade.Components()
	}
	for _, name := range chosen {
		if !slices.Contains(upgrade.Components(), name) {
			t.record("WARNING", fmt.Sprintf("Unknown component %s, skipping: known are %s", name, strings.Join(upgrade.Components(), ", ")))
		}
	}
	return slices.DeleteFunc(upgrade.Components(), func(c string) bool { return !slices.Contains(chosen, c) })
}

// input reads the configuration, with the records of the old tool.
func (t *upgradeTool) input(j *upgradeJob, given []string) error {
	j.request.Input = upgrade.NewDocument()
	if j.request.Defaults {
		return nil
	}
	files := upgrade.Existing(given)
	switch {
	case len(given) == 0:
		j.installed = true
		current, old := upgrade.SystemFiles(t.getenv)
		if files = upgrade.Existing(current); len(files) == 0 {
			files = upgrade.Existing(old)
		}
		if len(files) == 0 {
			t.record("INFO", "Could not find configuration files in default locations. Using default values for all options")
			return nil
		}
	case len(files) == 0:
		return fmt.Errorf("none of the files to read exists: %s", strings.Join(given, ", "))
	}
	for _, path := range given {
		if !slices.Contains(files, path) {
			t.record("WARNING", path+" does not exist and is left out")
		}
	}
	d, read, unread, err := upgrade.ReadFiles(files)
	if err != nil {
		return err
	}
	for _, e := range unread {
		t.record("WARNING", e.Error()+": its options are lost")
	}
	if len(read) == 0 {
		return fmt.Errorf("none of the files to read can be read: %s", strings.Join(files, ", "))
	}
	quoted := make([]string, len(read))
	for i, path := range read {
		quoted[i] = pyjson.Quote(path)
	}
	t.record("INFO", "Successfully read configuration from ["+strings.Join(quoted, ", ")+"]")
	j.request.Input, j.read = d, read
	return nil
}

func (t *upgradeTool) write(j *upgradeJob) error {
	notices, err := j.make()
	if err != nil {
		return err
	}
	for _, n := range notices {
		text := n.text
		if n.object != "" {
			text = n.object + ": " + text
		}
		if n.hint != "" {
			text += " (" + n.hint + ")"
		}
		t.record("WARNING", text)
	}
	for _, f := range j.files {
		t.record("INFO", "Writing "+f.Component+" configuration to "+j.path(f))
	}
	return j.write()
}

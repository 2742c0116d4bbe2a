package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/keylime/keylime-tenant/cmd/internal/argparse"
	"github.com/keylime/keylime-tenant/cmd/internal/classic"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/payload/ca"
)

// exitOldUsage is what old tools end with when sys.exit(-1) is called.
const exitOldUsage = 255

// caTool is keylime_ca as the Python package has it (TENANT-CLI.md C.2, C.3).
func caTool(ctx context.Context, a *app, args []string) int {
	parser := argparse.Parser{Prog: "keylime_ca", Options: []argparse.Option{
		{Names: []string{"-c", "--command"}, Dest: "command", Required: true, Help: "valid commands are init,create,pkg,revoke,import-priv"},
		{Names: []string{"-n", "--name"}, Dest: "name", Help: "the common name of the certificate to create"},
		{Names: []string{"-d", "--dir"}, Dest: "dir", Help: "use a custom directory to store certificates and keys"},
		{Names: []string{"-i", "--insecure"}, Dest: "insecure", NArgs: argparse.None, Help: "put unprotected private keys into certificate packages on disk. USE WITH CAUTION!"},
		{Names: []string{"-f", "--file"}, Dest: "file", Help: "file path of the private key of the CA cert"},
		{Names: []string{"-s", "--serial"}, Dest: "serial", Help: "last serial number the CA has used"},
	}}
	values, code, ended := a.parseTool(&parser, args)
	if ended {
		return code
	}
	t := &caToolCall{app: a, values: values}
	command, _ := values.Get("command")
	run, known := map[string]func(context.Context) error{
		"init": t.init, "create": t.create, "pkg": t.pkg, "revoke": t.revoke, "import-priv": t.importPriv,
	}[command]
	refuse := ""
	switch _, named := values.Get("name"); {
	case !known:
		refuse = "Invalid command: " + command
	case !named && (command == "create" || command == "pkg" || command == "revoke"):
		refuse = "you must pass in a name for the certificate using -n (or --name)"
	case command == "import-priv" && !values.Has("serial"):
		refuse = "you must pass in the last serial number the CA has used using -s (or --serial)"
	}
	if refuse != "" {
		a.record(loggerCA, pylog.Error, refuse)
		io.WriteString(a.out(), parser.Help())
		return exitOldUsage
	}
	if err := run(ctx); err != nil {
		return a.failTool(err)
	}
	return exitOK
}

// parseTool reads the command line of an old tool, which from here on speaks
// as the Python programs do. If ended, the call is over with code.
func (a *app) parseTool(parser *argparse.Parser, args []string) (values argparse.Values, code int, ended bool) {
	a.old, a.verb = &classic.Call{Verb: parser.Prog}, parser.Prog
	values, err := parser.Parse(args)
	var help *argparse.Help
	switch {
	case errors.As(err, &help):
		io.WriteString(a.out(), help.Text)
		return values, exitOK, true
	case err != nil:
		fmt.Fprintln(a.errOut(), err)
		return values, exitUsage, true
	}
	return values, exitOK, false
}

// failTool writes the one ERROR record of a failure.
func (a *app) failTool(err error) int {
	a.record(loggerCA, pylog.Error, err.Error())
	return classicExitCode(err)
}

// caToolCall is one call of keylime_ca.
type caToolCall struct {
	*app
	values argparse.Values
}

// authority opens the authority, or makes it.
func (t *caToolCall) authority(ctx context.Context, create bool) (*ca.CA, error) {
	s, err := t.settings(ctx)
	if err != nil {
		return nil, err
	}
	if create {
		authority, err := ca.Init(s.dir, s.password, s.options)
		if err != nil {
			return nil, fmt.Errorf("making a CA in %s: %w", s.dir, err)
		}
		t.record(loggerCA, pylog.Info, "CA certificate created successfully in "+s.dir)
		return authority, nil
	}
	authority, err := ca.Open(s.dir, s.password, s.options)
	if errors.Is(err, ca.ErrPassword) {
		return nil, fmt.Errorf("%s: Invalid password for keystore", s.dir)
	}
	return authority, err
}

// caSettings say which authority is meant.
type caSettings struct {
	dir      string
	password payload.Secret
	options  ca.Options
}

// settings settles directory and options, and asks for the password if it must.
func (t *caToolCall) settings(ctx context.Context) (caSettings, error) {
	dir, given := t.values.Get("dir")
	if !given {
		conf, err := t.config(ctx)
		if err != nil {
			return caSettings{}, err
		}
		dir = conf.CADir()
	}
	conf, err := config.LoadCA(config.Options{Env: t.env})
	if err != nil {
		return caSettings{}, configFailure(err)
	}
	t.tellConfig(conf.Sources, conf.SnippetDirs, conf.EnvOverrides, "ca.conf")
	password, err := t.caPassword(ctx, conf)
	if err != nil {
		return caSettings{}, err
	}
	return caSettings{dir: dir, password: password, options: caOptions(conf)}, nil
}

func (t *caToolCall) init(ctx context.Context) error {
	_, err := t.authority(ctx, true)
	return err
}

func (t *caToolCall) create(ctx context.Context) error {
	authority, err := t.authority(ctx, false)
	if err != nil {
		return err
	}
	one, err := authority.Create(t.name(), ca.CreateOptions{})
	if err == nil {
		t.record(loggerCA, pylog.Info, fmt.Sprintf("Created certificate for name %s successfully in %s", one.Name, authority.Dir()))
	}
	return err
}

func (t *caToolCall) pkg(ctx context.Context) error {
	authority, err := t.authority(ctx, false)
	if err != nil {
		return err
	}
	if t.values.Has("insecure") {
		t.record(loggerCA, pylog.Warning, "Unprotected private keys in cert package being written to disk")
	}
	one, err := authority.Pack(t.name(), t.values.Has("insecure"))
	if err == nil {
		t.record(loggerCA, pylog.Info, fmt.Sprintf("Creating cert package for %s in %s-pkg.zip", one.Name, one.Name))
	}
	return err
}

func (t *caToolCall) revoke(ctx context.Context) error {
	authority, err := t.authority(ctx, false)
	if err == nil {
		_, err = authority.Revoke(t.name())
	}
	return err
}

func (t *caToolCall) importPriv(ctx context.Context) error {
	path, given := t.values.Get("file")
	if !given {
		path = "ca-private.pem"
	}
	serial, _ := t.values.Get("serial")
	last, err := strconv.ParseInt(serial, 10, 64)
	if err != nil {
		return fmt.Errorf("serial number %q: not a number", serial)
	}
	text, err := t.readFile("--file", path)
	if err != nil {
		return err
	}
	s, err := t.settings(ctx)
	if err != nil {
		return err
	}
	return ca.ImportKey(s.dir, s.password, text, last, s.options)
}

func (t *caToolCall) name() string {
	name, _ := t.values.Get("name")
	return name
}

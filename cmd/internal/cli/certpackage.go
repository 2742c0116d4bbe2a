package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/payload/ca"
	"github.com/keylime/keylime-tenant/tenant"
)

// warnInclude is the warning about files that are not packed.
const warnInclude tenant.WarningKind = "include"

// certPackage makes the payload of --cert: a certificate for the agent of the
// CA in dir, which is made if it is not there. Only this reads ca.conf and may
// ask for a password.
func (a *app) certPackage(ctx context.Context, dir, include, id string) (*tenant.CertPackage, error) {
	extra, err := a.includeFiles(include)
	if err != nil {
		return nil, err
	}
	if dir == "default" {
		dir = a.configured.CADir()
	}
	c, err := config.LoadCA(config.Options{Env: a.env})
	if err != nil {
		return nil, configFailure(err)
	}
	a.tellConfig(c.Sources, c.SnippetDirs, c.EnvOverrides, "ca.conf")
	password, err := a.caPassword(ctx, c)
	if err != nil {
		return nil, err
	}
	authority, err := a.openCA(dir, password, caOptions(c))
	if err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	pkg, err := authority.AgentPackage(id, extra)
	if err != nil {
		return nil, fmt.Errorf("certificate package: %w", err)
	}
	for _, name := range pkg.Created {
		a.record(loggerCA, pylog.Info, fmt.Sprintf("Created certificate for name %s successfully in %s", name, dir))
	}
	a.record(loggerCA, pylog.Info, fmt.Sprintf("Creating cert package for %s in %s-pkg.zip", id, id))
	return &tenant.CertPackage{Zip: pkg.Zip, RevocationKeyPEM: payload.NewSecret(pkg.RevocationKeyPEM),
		Metadata: fmt.Sprintf(`{"cert_serial": %s, "subject": %s}`, pkg.Serial, jsonString(pkg.Subject))}, nil
}

// openCA opens the CA in dir, or makes one there if there is none and nothing
// that making one would remove: keys of somebody else, or the key store of an
// authority whose certificate is lost.
func (a *app) openCA(dir string, password payload.Secret, o ca.Options) (*ca.CA, error) {
	if !ca.Exists(dir) {
		a.record(loggerTenant, pylog.Warning, "CA directory does not exist. Creating...")
		authority, err := ca.InitNew(dir, password, o)
		switch {
		case err == nil:
			a.record(loggerCA, pylog.Info, "CA certificate created successfully in "+dir)
			return authority, nil
		case !errors.Is(err, ca.ErrExists):
			return nil, fmt.Errorf("making a CA in %s: %w", dir, err)
		case !ca.Exists(dir): // otherwise another process has made it meanwhile
			left, _ := ca.Leftovers(dir) // they are there: see the error
			return nil, &tenant.InvalidError{Kind: tenant.InvalidPayload, Object: "CA in " + dir, Err: err,
				Cause: fmt.Sprintf("there is no %s, but %s, which making a CA there would remove", ca.FileCACert, someOf(left)),
				Hint:  "name another directory, or say that they may go: " + programName + " ca init --force --dir " + dir}
		}
	}
	authority, err := ca.Open(dir, password, o)
	if errors.Is(err, ca.ErrPassword) {
		return nil, &tenant.InvalidError{Kind: tenant.InvalidPayload, Object: "CA in " + dir, Cause: "the password does not open its key store", Err: err,
			Hint:    "KEYLIME_CA_PASSWORD or [ca] password in ca.conf is not the one it was made with",
			Classic: fmt.Sprintf("Error reading the keystore from %s: Invalid password for keystore", dir)}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the CA in %s: %w", dir, err)
	}
	return authority, nil
}

// someOf names a few of many files.
func someOf(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more files", strings.Join(names[:most], ", "), len(names)-most)
}

// includeFiles reads the files that --include adds to the package.
func (a *app) includeFiles(dir string) ([]ca.File, error) {
	if dir == "" {
		return nil, nil
	}
	files, nested, err := ca.Include(dir)
	if err != nil {
		if !a.compat() {
			return nil, &inputError{Option: "--include", Path: dir, Err: err}
		}
		a.record(loggerTenant, pylog.Warning, fmt.Sprintf("Specified include directory %s does not exist. Skipping...", dir))
		return nil, nil
	}
	if len(nested) > 0 {
		a.present().Event(tenant.Warning{Kind: warnInclude, Object: "--include",
			Text: fmt.Sprintf("only files directly inside %s are packed, not %s", dir, strings.Join(nested, ", ")),
			Hint: "agents unpack into one directory; pack a zip file of your own and send it with --file"})
	}
	return files, nil
}

// caPassword is the password of the CA's key store: of the configuration, or,
// where that says "default", asked for on the terminal.
func (a *app) caPassword(ctx context.Context, c *config.CA) (payload.Secret, error) {
	if text := c.Password.Reveal(); text != "default" {
		return payload.NewSecret([]byte(text)), nil
	}
	a.record(loggerCA, pylog.Warning, "The 'default' password option from CA configuration file cannot be used with keylime CLI (keylime_tenant or keylime_ca)")
	password, err := a.askPassword(ctx, "Please enter the password to decrypt your keystore: ")
	if errors.Is(err, errNoTerminal) {
		return payload.Secret{}, &tenant.InvalidError{Kind: tenant.InvalidPayload, Object: "CA key store", Cause: "it needs a password, and there is no terminal to ask on", Err: err,
			Hint: "set KEYLIME_CA_PASSWORD, or password in [ca] of ca.conf"}
	}
	if err != nil {
		return payload.Secret{}, err
	}
	if password.Len() == 0 {
		return payload.Secret{}, &tenant.InvalidError{Kind: tenant.InvalidPayload, Object: "CA key store", Cause: "an empty password opens nothing",
			Classic: "You must specify a password!"}
	}
	return password, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/cmd/internal/render/compat"
	"github.com/keylime/keylime-tenant/tenant"
)

// compat says that the call speaks as the Python tenant does: the classic
// grammar without -o.
func (a *app) compat() bool { return a.old != nil && a.old.Output == "" }

// warnConfig is a warning about the configuration.
const warnConfig tenant.WarningKind = "configuration"

// begin tells what precedes every verb that asks a server: warnings about the
// call and about the configuration, in the classic grammar the records of
// TENANT-CLI.md A.11. It reads and checks the TLS material on the way, so that
// nothing is missed later.
func (a *app) begin(ctx context.Context) error {
	if a.begun {
		return nil
	}
	a.begun = true
	if a.compat() {
		return a.beginClassic(ctx)
	}
	c, err := a.config(ctx)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		a.present().Event(tenant.Warning{Kind: warnConfig, Object: "configuration", Text: w.Text, Hint: w.Hint})
	}
	if a.old != nil {
		for _, text := range slices.Concat(a.old.Warnings, a.old.Notices) {
			a.present().Event(tenant.Warning{Kind: tenant.WarnDeprecated, Text: text})
		}
	}
	_, err = a.material(ctx)
	return err
}

// beginClassic writes the records that precede every verb of the Python tenant.
func (a *app) beginClassic(ctx context.Context) error {
	for _, text := range a.old.Warnings {
		a.record(loggerTenant, pylog.Warning, text)
	}
	c, err := a.config(ctx)
	if err != nil {
		return err
	}
	a.tellConfig(c.Sources, c.SnippetDirs, c.EnvOverrides, "tenant.conf")
	for _, w := range c.Warnings {
		a.record(loggerConfig, pylog.Warning, w.Text)
	}
	a.record(loggerTenant, pylog.Info, "Setting up client TLS...")
	files, err := c.TLS()
	if err != nil {
		return configFailure(err)
	}
	for _, preset := range []struct {
		option string
		used   bool
	}{{"client_cert", files.DefaultCert}, {"client_key", files.DefaultKey}} {
		if preset.used {
			a.record(loggerTenant, pylog.Info, "Using default "+preset.option+" option for tenant")
		}
	}
	if files.KeyPassword.Reveal() == "" {
		a.record(loggerTenant, pylog.Info, "No value provided in client_key_password option for tenant, assuming the key is unencrypted")
	}
	if !c.EnableAgentMTLS {
		a.record(loggerTenant, pylog.Warning, "Warning: agent mTLS is currently disabled, keys will be sent in the clear! This should only be used for testing.")
	}
	if _, err := a.material(ctx); err != nil {
		return err
	}
	a.record(loggerTenant, pylog.Info, "TLS is enabled.")
	if a.old.DefaultID {
		a.present().Event(tenant.Warning{Kind: tenant.WarnDefaultID, ID: tenant.DefaultAgentID, Text: "Using default UUID " + tenant.DefaultAgentID})
	}
	for _, text := range a.old.Notices {
		a.record(loggerTenant, pylog.Warning, text)
	}
	return nil
}

// The loggers of the Python tenant that the command line itself writes to.
const (
	loggerTenant = "keylime.tenant"
	loggerConfig = "keylime.config"
	loggerCA     = "keylime.ca-util"
)

// record writes a log record of the classic grammar; it does nothing in the
// modern one.
func (a *app) record(logger string, level pylog.Level, text string) {
	if !a.compat() {
		return
	}
	a.loggers().Logger(logger).Log(level, text)
}

// tellConfig writes which files a component's configuration came from.
func (a *app) tellConfig(sources, snippetDirs []string, overrides []config.EnvOverride, component string) {
	if len(sources) > 0 {
		a.record(loggerConfig, pylog.Info, "Reading configuration from ["+pythonList(sources)+"]")
	}
	for _, dir := range snippetDirs {
		a.record(loggerConfig, pylog.Info, "Applied configuration snippets from "+dir)
	}
	for _, o := range overrides {
		a.record(loggerConfig, pylog.Info, fmt.Sprintf("option %q for component %s was overridden by environment variable %s", o.Option, component, o.Variable))
	}
}

// pythonList is the inside of a Python list of strings.
func pythonList(words []string) string {
	text := ""
	for i, word := range words {
		if i > 0 {
			text += ", "
		}
		text += "'" + word + "'"
	}
	return text
}

// newCompat makes the presenter of the classic grammar. It has to exist even
// where the configuration cannot be read, to say so.
func (a *app) newCompat() render.Presenter {
	o := compat.Options{Log: a.loggers(), Out: a.out(), Err: a.errOut(), ShowSecrets: a.global.showSecrets,
		VerifierID: a.global.verifierID, Push: a.old.Push}
	if c := a.configured; c != nil {
		o.RegistrarHost, o.RegistrarPort = c.RegistrarHost, strconv.Itoa(c.RegistrarPort)
		o.VerifierHost, o.VerifierPort = c.VerifierHost, strconv.Itoa(c.VerifierPort)
	}
	return compat.New(o)
}

// classicExitCode is the code of the classic grammar: 1 for every failure. The
// usage errors of argparse, which are 2, never come here.
func classicExitCode(err error) int {
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	return exitFailure
}

// loggers are those of the Python tenant, as logging.conf sets them up. Which
// file that is, is told on stderr first of all.
func (a *app) loggers() *pylog.Set {
	if a.logs != nil {
		return a.logs
	}
	loaded := pylog.Load(config.Options{Env: a.env})
	for _, line := range loaded.Stderr {
		fmt.Fprintln(a.errOut(), line)
	}
	set, err := pylog.New(loaded.Config, pylog.Options{Out: a.out(), Err: a.errOut()})
	if err != nil { // of streams that are missing, and they are not
		fmt.Fprintln(a.errOut(), err)
		return nil
	}
	a.logs = set
	a.closers = append(a.closers, func() { _ = set.Close() })
	return set
}

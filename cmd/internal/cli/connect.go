package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/tenant"
)

// config is the configuration of the call: files, environment and the global
// options. It is read once.
func (a *app) config(context.Context) (*config.Config, error) {
	if a.configured != nil {
		return a.configured, nil
	}
	c, err := config.Load(config.Options{Env: a.env})
	if err != nil {
		return nil, configFailure(err)
	}
	overrides := []struct{ option, value, flag string }{
		{"registrar_ip", a.global.registrarHost, "--registrarhost"},
		{"registrar_port", a.global.registrarPort, "--registrarport"},
		{"verifier_ip", a.global.verifierHost, "--cv"},
		{"verifier_port", a.global.verifierPort, "--cvport"},
	}
	if a.global.timeout > 0 {
		overrides = append(overrides, struct{ option, value, flag string }{"request_timeout",
			strconv.FormatFloat(time.Duration(a.global.timeout).Seconds(), 'f', -1, 64), "--timeout"})
	}
	if a.global.checkHostname {
		overrides = append(overrides, struct{ option, value, flag string }{"check_hostname", "True", "--check-hostname"})
	}
	for _, o := range overrides {
		if o.value == "" {
			continue
		}
		if err := c.Override(o.option, o.value, o.flag); err != nil {
			return nil, configFailure(err)
		}
	}
	c.InsecureSkipServer = a.global.insecureSkipVerify
	a.configured = c
	return c, nil
}

// configFailure keeps the advice of a configuration error for the presenter,
// which does not know package config.
func configFailure(err error) error {
	var e *config.Error
	if errors.As(err, &e) {
		return &advisedError{Err: err, Advice: e.Hint}
	}
	return err
}

// isConfigError says that the configuration is at fault.
func isConfigError(err error) bool {
	var e *config.Error
	return errors.As(err, &e)
}

// material is the TLS material of the tenant, read and checked once.
func (a *app) material(ctx context.Context) (*client.TLSMaterial, error) {
	if a.tls != nil {
		return a.tls, nil
	}
	c, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	files, err := c.TLS()
	if err != nil {
		return nil, configFailure(err)
	}
	material, err := client.LoadTLS(client.TLSFiles{
		CAFiles: files.CAFiles, CertFile: files.CertFile, KeyFile: files.KeyFile,
		KeyPassword:   client.Password(files.KeyPassword.Reveal()),
		CheckHostname: c.CheckHostname, InsecureSkipServer: c.InsecureSkipServer,
	})
	if err != nil {
		return nil, a.tlsFailure(c, err)
	}
	if a.global.insecureSkipVerify {
		a.present().Event(tenant.Warning{Kind: warnInsecure, Object: "--insecure-skip-server-verification",
			Text: "certificates of servers are not verified: whoever is in between can read and change everything"})
	}
	a.tls = material
	return material, nil
}

// warnInsecure is the warning about --insecure-skip-server-verification.
const warnInsecure tenant.WarningKind = "insecure-server"

// tlsFailure says from where the configuration took the path of a file that
// cannot be used, and what newcomers lack most often.
func (a *app) tlsFailure(c *config.Config, err error) error {
	var file *client.FileError
	if !errors.As(err, &file) {
		return err
	}
	origin := c.Origin(file.Option)
	if origin.Kind == config.OriginDefault && errors.Is(err, fs.ErrNotExist) {
		return &advisedError{Err: err, Advice: fmt.Sprintf("%s is left at its default: copy cv_ca from the verifier's machine into %s, or name the file in tenant.conf; %s lab up starts a Keylime to try things on",
			file.Option, c.WorkDir, programName)}
	}
	return &advisedError{Err: err, Advice: fmt.Sprintf("%s comes from %s; %s config show %s",
		file.Option, origin, programName, file.Option)}
}

// server makes the client of registrar or verifier.
func (a *app) server(ctx context.Context, name, host string, port int) (*client.Client, error) {
	material, err := a.material(ctx)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Name: name, Host: host, Port: port, TLS: material, Timeout: a.configured.RequestTimeout, Trace: a.trace})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, c.Close)
	return c, nil
}

// tenant makes the use cases, with everything that configuration and options
// say. Nothing is connected yet.
func (a *app) tenant(ctx context.Context) (*tenant.Tenant, error) {
	c, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	registrarConn, err := a.server(ctx, client.RegistrarName, c.RegistrarHost, c.RegistrarPort)
	if err != nil {
		return nil, err
	}
	verifierConn, err := a.server(ctx, client.VerifierName, c.VerifierHost, c.VerifierPort)
	if err != nil {
		return nil, err
	}
	return &tenant.Tenant{
		Registrar: registrar.New(registrarConn), RegistrarConn: registrarConn,
		Verifier: verifier.New(verifierConn), VerifierConn: verifierConn,
		Dial: a.dialAgent,
		EK: tenant.EKRules{
			RequireCert: c.RequireEKCert, Compat: c.EKCompat, StoreDir: c.TPMCertStore,
			Require: tenant.EKRequire(c.EKRequire), PinFile: c.PinPath(),
			Script: c.EKCheckScript, WorkDir: c.WorkDir, Env: a.env, AllowEmulator: c.TestMode,
		},
		AllowPlainAgents: !c.EnableAgentMTLS, PlainAgents: !c.EnableAgentMTLS,
		Retry: tenant.Retry{Max: c.MaxRetries, Base: c.RetryInterval, Exponential: c.ExponentialBackoff},
		Emit:  a.present().Event,
	}, nil
}

// dialAgent makes the client of one agent, which must present the certificate
// that the registrar holds.
func (a *app) dialAgent(at tenant.AgentEndpoint) (tenant.Agent, tenant.Connection, func(), error) {
	o := client.Config{Name: client.AgentName, Host: at.Host, Port: at.Port, Timeout: a.configured.RequestTimeout, Trace: a.trace}
	if at.CertPEM != "" {
		o.TLS, o.PinnedPEM = a.tls, at.CertPEM
	}
	c, err := client.New(o)
	if err != nil {
		return nil, nil, nil, err
	}
	if at.Version != nil {
		c.Use(*at.Version)
	}
	return agent.New(c), c, c.Close, nil
}

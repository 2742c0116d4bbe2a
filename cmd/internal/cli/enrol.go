package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/keylime/keylime-tenant/tenant"
)

// enrolFlags are the options of add and update.
type enrolFlags struct {
	host, port, polledHost string
	push                   bool
	apiVersion             string
	ekRequire              string

	file, key, sealed string
	certDir, include  string
	verify            bool
	wait              string
	waitLimit         seconds

	policies policyFlags
}

func (e *enrolFlags) add(f *pflag.FlagSet) {
	o := &options{flags: f, section: "The agent"}
	o.text(&e.host, "targethost", "t", "HOST", "where it is (default: what the registrar says)")
	o.text(&e.port, "targetport", "", "PORT", "its port (default: what the registrar says)")
	o.text(&e.polledHost, "cv-targethost", "", "HOST", "where the verifier finds it, if elsewhere")
	o.on(&e.push, "push-model", "", "it attests of its own accord: do not contact it")
	o.text(&e.apiVersion, "agent-api-version", "", "VERSION", "speak this version with it instead of asking")
	addEKRequire(o, &e.ekRequire)
	o.section = "What it is given, once it is attested"
	o.text(&e.file, "file", "f", "FILE", "this file, encrypted; a zip file is unpacked and its autorun.sh run")
	o.text(&e.key, "key", "k", "FILE", "these keys: K, U and V, a line each, in base64")
	o.text(&e.sealed, "payload", "p", "FILE", "what was encrypted under the keys of --key")
	o.text(&e.certDir, "cert", "", "DIR", "a certificate of the CA in DIR, which is made if absent; \"default\" is ca in Keylime's directory")
	o.text(&e.include, "include", "", "DIR", "with --cert: the files of DIR too")
	e.policies.add(o, true)
	o.section = "How long to wait"
	o.on(&e.verify, "verify", "", "until the agent has proven that it holds its payload's key")
	o.text(&e.wait, "wait", "", "attested", "until the verifier has accepted a quote")
	o.limit(&e.waitLimit, "wait-timeout", "how long --wait waits (default 1m)")
}

// request makes the request of flags and configuration; files are read here.
func (e *enrolFlags) request(ctx context.Context, a *app, id string) (tenant.AddRequest, error) {
	none := tenant.AddRequest{}
	c, err := a.config(ctx)
	if err != nil {
		return none, err
	}
	r := tenant.AddRequest{
		ID: id, Host: strings.Trim(e.host, "[]"), PolledHost: e.polledHost, Push: e.push, APIVersion: e.apiVersion,
		VerifierHost: c.VerifierHost, VerifierPort: c.VerifierPort,
		AcceptHash: c.AcceptHash, AcceptEnc: c.AcceptEnc, AcceptSign: c.AcceptSign,
		VerifyKey: e.verify, WaitLimit: time.Duration(e.waitLimit), Compat: a.compat(),
	}
	switch e.wait {
	case "":
	case "attested":
		r.WaitAttested = true
	default:
		return none, usagef("--wait %q: the only thing to wait for is \"attested\"", e.wait)
	}
	if e.waitLimit != 0 && e.wait == "" {
		return none, usagef("--wait-timeout has no meaning without --wait").hint("add --wait attested")
	}
	if e.port != "" {
		if r.Port, err = port("--targetport", e.port); err != nil {
			return none, err
		}
	}
	if r.Policies, err = e.policies.input(ctx, a); err != nil {
		return none, err
	}
	r.Payload, err = e.payloadInput(ctx, a, id)
	return r, err
}

// payload reads what the agent is to be given.
func (e *enrolFlags) payloadInput(ctx context.Context, a *app, id string) (tenant.PayloadInput, error) {
	p := tenant.PayloadInput{MaxSize: a.configured.MaxPayloadSize}
	if e.include != "" && e.certDir == "" {
		return p, &tenant.InvalidError{Kind: tenant.PayloadSources, Object: "--include", Cause: "it adds files to a certificate package, and there is none",
			Hint:    "add --cert DIR, or send a zip file with --file",
			Classic: "--include option is only valid when used with --cert"}
	}
	var err error
	if p.Plain, err = a.input("--file", e.file); err != nil {
		return p, err
	}
	if p.KeyFile, err = a.input("--key", e.key); err != nil {
		return p, err
	}
	if p.Sealed, err = a.input("--payload", e.sealed); err != nil {
		return p, err
	}
	if e.certDir != "" {
		p.Package = func() (*tenant.CertPackage, error) { return a.certPackage(ctx, e.certDir, e.include, id) }
	}
	return p, nil
}

// input reads the file that an option names; nil if the option was not given.
func (a *app) input(option, path string) (*tenant.Input, error) {
	if path == "" {
		return nil, nil
	}
	content, err := a.readFile(option, path)
	if err != nil {
		return nil, err
	}
	return &tenant.Input{Name: path, Content: content}, nil
}

// port reads the value of an option that takes a port.
func port(option, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, usagef("%s %q is not a port (1 to 65535)", option, text)
	}
	return n, nil
}

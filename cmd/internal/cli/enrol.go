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

	file, key, sealed string
	certDir, include  string
	verify            bool
	wait              string
	waitLimit         seconds

	policies policyFlags
}

func (e *enrolFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&e.host, "targethost", "t", "", "`HOST` of the agent (default: what the registrar knows)")
	f.StringVar(&e.port, "targetport", "", "`PORT` of the agent (default: what the registrar knows)")
	f.StringVar(&e.polledHost, "cv-targethost", "", "`HOST` under which the verifier reaches the agent, if it differs")
	f.BoolVar(&e.push, "push-model", false, "the agent attests of its own accord: do not contact it")
	f.StringVar(&e.apiVersion, "agent-api-version", "", "speak this API `VERSION` with the agent instead of asking it")
	f.StringVarP(&e.file, "file", "f", "", "encrypt `FILE` for the agent, which gets the key only once attested")
	f.StringVarP(&e.key, "key", "k", "", "use the keys in `FILE` (K, U and V, a line each) instead of new ones")
	f.StringVarP(&e.sealed, "payload", "p", "", "`FILE` that was encrypted under the keys of --key")
	f.StringVar(&e.certDir, "cert", "", "give the agent a certificate of the CA in `DIR` (default: the CA of the configuration)")
	f.StringVar(&e.include, "include", "", "with --cert: put the files of `DIR` into the package")
	f.BoolVar(&e.verify, "verify", false, "wait until the agent has proven that it holds the payload's key")
	f.StringVar(&e.wait, "wait", "", "\"attested\": wait until the verifier has accepted a quote")
	f.Lookup("wait").Usage = "wait until the agent is `attested`, which means that the verifier has accepted a quote"
	f.Var(&e.waitLimit, "wait-timeout", "how long --wait waits, `DURATION` such as 90s (default 1m)")
	e.policies.add(f, true)
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

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

const (
	// defaultVerifierPort is the port of a verifier whose URL names none.
	defaultVerifierPort = 8881
	// defaultAttestEvery is the time between two attestations.
	defaultAttestEvery = 2 * time.Second
	// pushTimeout bounds one call to the verifier.
	pushTimeout = 30 * time.Second
	// tokenMargin is how long before its end a token is not used any more.
	tokenMargin = 2 * time.Second
	// slowest is how many times the usual pause an agent waits at most that
	// nobody has enrolled: verifiers limit how often a session may be asked for.
	slowest = 8
	// busyPause is the pause after a refusal that says nothing but "not now".
	busyPause = 250 * time.Millisecond
)

// pusher attests an agent of its own accord, by the protocol of API 3
// (PROTOCOL.md 2.4).
type pusher struct {
	a     *Agent
	api   *verifier.Client
	every time.Duration

	token   verifier.Token
	expires time.Time
	// failures counts the failures in a row that no good attestation has ended.
	failures int
	// said is what was logged last, so that a state is told once.
	said string
}

// dialVerifier makes the client of the verifier of the configuration.
func (a *Agent) dialVerifier() (*client.Client, error) {
	host, port, err := splitVerifierURL(a.config.VerifierURL)
	if err != nil {
		return nil, badVerifierURL(err)
	}
	cas := a.config.VerifierCA
	if len(cas) == 0 {
		cas = a.config.TrustedClientCA
	}
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: cas, Anonymous: true, CAOption: "verifier_tls_ca_cert"})
	if err != nil {
		return nil, &ConfigError{File: "agent configuration", Cause: err.Error(), Err: err}
	}
	return client.New(client.Config{Name: client.VerifierName, Host: host, Port: port, TLS: material, Timeout: pushTimeout})
}

func badVerifierURL(err error) error {
	return &ConfigError{File: "agent configuration", Option: "verifier_url", Cause: err.Error(), Hint: "write https://HOST:PORT", Err: err}
}

// splitVerifierURL takes https://HOST[:PORT] apart.
func splitVerifierURL(text string) (host string, port int, err error) {
	if text == "" {
		return "", 0, errors.New("is empty, and an agent of the push model must know its verifier")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("%.100q is no URL", text)
	case u.Scheme != "https":
		return "", 0, fmt.Errorf("%.100q does not begin with https://, and a verifier speaks nothing else", text)
	case u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", 0, fmt.Errorf("%.100q is more, or less, than a host and a port", text)
	case u.Port() == "":
		return u.Hostname(), defaultVerifierPort, nil
	}
	port, err = strconv.Atoi(u.Port())
	return u.Hostname(), port, err
}

// pushTo begins to attest the agent, again and again until it is closed.
func (a *Agent) pushTo(every time.Duration) error {
	transport, err := a.dialVerifier()
	if err != nil {
		return err
	}
	if every <= 0 {
		every = defaultAttestEvery
	}
	p := &pusher{a: a, api: verifier.New(transport), every: every}
	a.work.Go(func() {
		defer transport.Close()
		for {
			wait := p.once(a.workCtx)
			select {
			case <-a.workCtx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
	return nil
}

// Verifier is the address of the verifier that the agent attests itself to, ""
// outside of the push model.
func (a *Agent) Verifier() string {
	host, port, err := splitVerifierURL(a.config.VerifierURL)
	if err != nil || a.listener != nil {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// once attests the agent once, as far as that can be done now, and tells how
// long to wait.
func (p *pusher) once(ctx context.Context) time.Duration {
	next, err := p.attest(ctx)
	if err == nil {
		p.failures = 0
		p.say("the verifier takes its evidence")
		if next == 0 {
			return p.every
		}
		return next
	}
	if ctx.Err() != nil {
		return 0
	}
	p.failures++
	p.say("not attested: %v", err)
	if after := verifier.RetryAfter(err); after > 0 {
		return after
	}
	switch statusOf(err) {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusConflict:
		return min(busyPause, p.every)
	case http.StatusNotFound, http.StatusBadRequest, http.StatusForbidden:
		return p.every // the session still counts: asking again costs little
	}
	return p.every * time.Duration(min(1<<min(p.failures-1, 10), slowest))
}

// attest goes through one attestation: session if there is none, offer,
// evidence. next is how long the verifier wants to hear nothing, 0 if it does
// not say.
func (p *pusher) attest(ctx context.Context) (next time.Duration, err error) {
	fresh := p.token == "" || p.a.now().After(p.expires)
	if fresh {
		if err := p.authenticate(ctx); err != nil {
			return 0, err
		}
	}
	offer := p.a.offer()
	begun, err := p.api.Begin(ctx, p.a.id, p.token, offer)
	if !fresh && client.KindOf(err) == client.Unauthorized {
		// The verifier may have forgotten the session, when it was started anew.
		if err := p.authenticate(ctx); err != nil {
			return 0, err
		}
		begun, err = p.api.Begin(ctx, p.a.id, p.token, offer)
	}
	if err != nil {
		p.forget(err)
		return 0, err
	}
	items, err := p.a.show(begun.Requested)
	if err != nil {
		return 0, err
	}
	_, next, err = p.api.Show(ctx, p.a.id, p.token, begun.Index, items)
	if err != nil {
		p.forget(err)
		return 0, err
	}
	// A good quote proves possession too, so that the verifier lets the session
	// live on; whether it was good, it does not say. The end is looked at anew
	// when it has come.
	return next, nil
}

// forget gives up a session that is refused.
func (p *pusher) forget(err error) {
	if client.KindOf(err) == client.Unauthorized {
		p.token = ""
	}
}

// authenticate begins a session, by proof that this agent possesses its AK.
func (p *pusher) authenticate(ctx context.Context) error {
	p.token = ""
	session, challenge, err := p.api.OpenSession(ctx, p.a.id)
	if err != nil {
		return err
	}
	attest, signature, err := p.a.machine.tpm.CertifyAK(challenge)
	if err != nil {
		return fmt.Errorf("proving possession of the AK: %w", err)
	}
	if session, err = p.api.ProveSession(ctx, session.ID, p.a.id, attest, signature); err != nil {
		return err
	}
	p.token, p.expires = session.Token, p.a.now().Add(defaultSession)
	if session.TokenExpiresAt != nil && session.CreatedAt != nil {
		// By the verifier's own clock, which may differ from that of this machine.
		p.expires = p.a.now().Add(session.TokenExpiresAt.Sub(*session.CreatedAt) - tokenMargin)
	}
	return nil
}

// defaultSession is the life of a session whose end the verifier does not tell.
const defaultSession = time.Minute

// say logs what has become of the agent, unless that was logged last.
func (p *pusher) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != p.said {
		p.said = text
		p.a.logf("%.500s", text)
	}
}

// statusOf is the HTTP status of a refusal, 0 if there was none.
func statusOf(err error) int {
	var e *client.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.HTTP
}

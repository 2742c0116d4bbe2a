package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/policy"
)

// Attester is an agent that shows what its machine has measured; *agent.Client
// is one.
type Attester interface {
	IntegrityQuote(ctx context.Context, request agent.IntegrityRequest) (*agent.IntegrityQuote, *client.Reply, error)
}

// shownByAgent is what an agent has answered; nothing in it is verified.
type shownByAgent struct {
	answer     *agent.IntegrityQuote
	nonce      string
	compressed bool
	// from is the address at which it was asked.
	from string
}

// place is where an agent can be asked.
type place struct {
	host string
	port int
}

func placeOf(ip *string, port *int) place {
	if ip == nil || port == nil {
		return place{}
	}
	return place{unbracketed(*ip), *port}
}

func (p place) String() string {
	if strings.Contains(p.host, ":") {
		return fmt.Sprintf("[%s]:%d", p.host, p.port)
	}
	return fmt.Sprintf("%s:%d", p.host, p.port)
}

// fromAgent asks the agent where the verifier does, and if nobody answers
// there, where it has registered.
func (e *explainer) fromAgent(ctx context.Context) {
	polled, registered := placeOf(e.agent.IP, e.agent.Port), placeOf(e.record.IP, e.record.Port)
	if polled.host == "" {
		polled = registered
	}
	elsewhere := registered.host != "" && registered != polled
	shown, err := e.ask(ctx, polled)
	switch {
	case err == nil && elsewhere:
		e.note("it has registered with the address %s, and the verifier asks at %s", registered, polled)
	case err != nil && elsewhere && transient(err):
		var retried error
		if shown, retried = e.ask(ctx, registered); retried == nil {
			e.moved(polled, registered, err)
			e.accept(shown)
			return
		}
	}
	if err != nil {
		e.unanswered(err)
		return
	}
	e.check(PartAgent, CheckPassed, false, "it answers at %s", shown.from)
	e.accept(shown)
}

// ask asks the agent at one place.
func (e *explainer) ask(ctx context.Context, at place) (*shownByAgent, error) {
	call := &enrolment{t: e.t, plan: &plan{AddRequest: AddRequest{ID: e.r.ID}}, record: e.record, host: at.host, port: at.port, version: client.Current()}
	defer call.hangUp()
	negotiation, err := call.dial(ctx)
	if err != nil {
		return nil, err
	}
	e.t.emit(AgentVersion{ID: e.r.ID, Negotiation: negotiation, Version: call.version.String(), Host: at.host, Port: at.port})
	nonce, err := payload.NewChallenge(e.t.rand())
	if err != nil {
		return nil, err
	}
	answer, reply, err := call.agent.IntegrityQuote(ctx, agent.IntegrityRequest{Nonce: nonce, Mask: fmt.Sprintf("0x%x", e.wanted())})
	if err != nil {
		return nil, err
	}
	e.t.emit(QuoteReceived{ID: e.r.ID, Reply: reply})
	e.evidence.asked, e.x.Evidence.Source = true, call.conn.Addr()
	return &shownByAgent{answer: answer, nonce: nonce, compressed: call.version.Major < 2, from: call.conn.Addr()}, nil
}

// wanted is the mask to ask with: the verifier's, and what policies need that
// the caller has given.
func (e *explainer) wanted() uint32 {
	mask := e.mask
	if e.r.MBPolicy != nil {
		mask |= mbMask
	}
	if e.r.RuntimePolicy != nil {
		mask |= imaMask
	}
	return mask
}

// attested says that the verifier gets good quotes of the agent: whether this
// tenant reaches it says nothing then.
func (e *explainer) attested() bool {
	return e.x.Verifier.Health == HealthHealthy && e.agent.State != verifier.GetQuoteRetry && e.agent.State != verifier.ProvideVRetry
}

// moved tells of an agent that answers elsewhere than the verifier asks. err
// is what came of asking there.
func (e *explainer) moved(polled, registered place, err error) {
	if e.attested() {
		e.note("the verifier asks at %s, where this tenant gets no answer", polled)
		e.check(PartAgent, CheckPassed, false, "it answers at %s", registered)
		return
	}
	e.x.Unreachable = err
	e.find(policy.Finding{Check: checkAddress, EventID: eventUnreachable, Where: "agent " + e.r.ID,
		Expected: []string{registered.String()}, Found: []string{polled.String()},
		Message: fmt.Sprintf("the verifier asks the agent at %s, where nobody answers; it has registered with %s, and answers there", polled, registered),
		Remedy:  "enrol it with the address that it has now", Command: e.update("")})
	e.check(PartAgent, CheckRefused, false, "it answers at %s, and not at %s, where the verifier asks", registered, polled)
}

// unanswered tells of an agent that could not be asked.
func (e *explainer) unanswered(err error) {
	cause := stepText(err)
	e.x.Unreachable = err
	e.check(PartQuote, CheckNotJudged, false, "there is none")
	e.evidence.absent = "the agent could not be asked"
	var invalid *InvalidError
	if e.attested() || errors.As(err, &invalid) {
		e.check(PartAgent, CheckNotJudged, false, "it could not be asked: %s", cause)
		return
	}
	f := policy.Finding{Check: checkUnreachable, EventID: eventUnreachable, Where: "agent " + e.r.ID, Message: cause}
	switch client.KindOf(err) {
	case client.ServerUntrusted:
		f.Remedy = "the agent was set up anew and has not registered since, or another machine answers at its address: start the agent anew, then enrol it anew"
		f.Command = e.update("")
	case client.ClientRefused, client.Unauthorized:
		f.Remedy = "let trusted_client_ca of the agent name the CA that has signed the certificates of verifier and tenant"
	case client.Unreachable, client.TimedOut:
		f.Remedy = "see that the machine is up, its agent runs (systemctl status keylime_agent), and no firewall is in between; once it answers, reactivate makes the verifier ask again"
	default:
		f.Check, f.EventID = checkRefuses, eventNoQuote
		f.Remedy = "the agent's own log says why: often its TPM is busy or gone"
	}
	e.find(f)
	e.check(PartAgent, CheckRefused, false, "%s", cause)
}

package verifier

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
)

// round asks for one quote and judges it.
func (p *poller) round(afterFailure bool) outcome {
	nonce, err := payload.NewChallenge(p.s.o.Rand)
	if err != nil {
		return outcome{events: []event{internalEvent("exception", err)}}
	}
	request := agent.IntegrityRequest{Nonce: nonce, Mask: p.rules.tpm.mask, Partial: p.nk != "" && !afterFailure, IMAEntry: p.ima.NextEntry}
	q, _, err := p.api.IntegrityQuote(p.ctx, request)
	if err != nil {
		return p.unanswered(err, "no_quote")
	}
	p.s.mu.Lock()
	p.e.Record.LastReceivedQuote = p.s.o.Now().Unix()
	p.s.mu.Unlock()
	o := p.judge(p.ctx, q, request)
	if o.good() {
		p.accepted(q)
	}
	return o
}

// unanswered decides what a failed call means (PROTOCOL.md 4.10).
func (p *poller) unanswered(err error, refused string) outcome {
	var e *client.Error
	if !errors.As(err, &e) {
		return outcome{events: []event{internalEvent("exception", err)}}
	}
	switch {
	case e.HTTP == 0, e.HTTP == http.StatusRequestTimeout, e.HTTP == http.StatusInternalServerError, e.HTTP == 599:
		return outcome{again: err}
	case e.HTTP == http.StatusBadRequest && e.Reply != nil && strings.Contains(e.Reply.Status, "API version not supported"):
		return p.renegotiate()
	case e.Kind == client.Unreadable:
		return outcome{events: []event{internalEvent("exception", err)}}
	}
	return outcome{events: []event{internalEvent(refused, err)}}
}

// renegotiate asks an agent that no longer speaks the stored version what it
// does speak. One that has been attested before may only go up.
func (p *poller) renegotiate() outcome {
	bad := func(err error) outcome {
		return outcome{events: []event{internalEvent("version_not_supported", err)}}
	}
	before := p.transport.Version()
	// A client asks once in its life.
	if err := p.connect(); err != nil {
		return bad(err)
	}
	n, err := p.transport.Negotiate(p.ctx)
	switch {
	case err != nil:
		return bad(err)
	case n.Fallback || n.Version.Compare(before) == 0:
		return bad(fmt.Errorf("the agent does not speak API %s, and offers no other", before))
	case n.Version.Compare(before) < 0 && p.attested > 0:
		return bad(fmt.Errorf("the agent offers API %s, which is older than %s", n.Version, before))
	}
	p.request.SupportedVersion = n.Version.String()
	p.s.mu.Lock()
	p.e.Request.SupportedVersion = n.Version.String()
	p.s.mu.Unlock()
	return outcome{again: fmt.Errorf("the agent speaks API %s now, no longer %s", n.Version, before)}
}

// accepted counts a good quote.
func (p *poller) accepted(q *agent.IntegrityQuote) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.attested++
	record := &p.e.Record
	record.AttestationCount = p.attested
	record.LastSuccessfulAttestation = p.s.o.Now().Unix()
	record.HashAlg, record.EncAlg, record.SignAlg = q.HashAlg, q.EncAlg, q.SignAlg
}

// provideV gives the agent V, encrypted to the key that a good quote has bound.
func (p *poller) provideV() outcome {
	v, err := base64.StdEncoding.DecodeString(string(*p.request.V))
	if err != nil {
		return outcome{events: []event{internalEvent("exception", errors.New("v is not base64"))}}
	}
	sealed, err := payload.SealShare(payload.NewSecret(v), p.nk, p.s.o.Rand)
	if err != nil {
		return outcome{events: []event{internalEvent("exception", err)}}
	}
	if _, err := p.api.PostV(p.ctx, sealed); err != nil {
		return p.unanswered(err, "no_v")
	}
	p.vSentTo = p.nk
	// Upstream goes on showing "Provide V" until the next quote.
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.e.poller == p && p.e.Record.OperationalState != wire.Terminated {
		p.e.Record.OperationalState = wire.GetQuote
	}
	return outcome{}
}

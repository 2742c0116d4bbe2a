package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// Errors of [Server.Challenge] and [Server.Attest].
var (
	// ErrNotEnrolled: no tenant has added the agent, or the verifier was to ask
	// it for quotes.
	ErrNotEnrolled = errors.New("the verifier has no such agent of the push model")
	// ErrBusy: another attestation of the agent is being judged.
	ErrBusy = errors.New("the verifier is judging another attestation of the agent")
	// ErrNoChallenge: evidence that nobody has asked for.
	ErrNoChallenge = errors.New("the verifier has not asked for this evidence")
	// ErrRefused: the evidence is refused; the text says why.
	ErrRefused = errors.New("the evidence is refused")
)

// pushed is what the verifier keeps of an agent of the push model, which comes
// by itself (PROTOCOL.md 4.2).
type pushed struct {
	// Accept goes off when the agent is late, and on when it comes again, or
	// when a tenant reactivates it.
	Accept bool `json:"accept_attestations"`
	// Failures counts attestations refused. As upstream by default
	// (auto_recover_attestation_failures = False) a good one does not take it
	// back: only a new enrolment does.
	Failures int `json:"consecutive_attestation_failures"`
	// Due is when the agent is late; the zero time before its first attestation,
	// and after a reactivation until it comes again.
	Due time.Time `json:"due"`

	visit visit
}

// visit is one attestation under way, and what those before it have shown.
type visit struct {
	examiner *examiner // nil before the first
	// runtime and boot are the policies that the examiner was made for.
	runtime, boot *string
	// asked is what the agent is to show, nil if it was not asked.
	asked *agent.IntegrityRequest
	// busy: its evidence is being judged.
	busy bool
}

// gone are the version endpoints of a verifier in push mode (PROTOCOL.md 2.2).
func gone(paths ...string) []serve.Route {
	var routes []serve.Route
	for _, path := range paths {
		routes = append(routes, serve.Route{Method: http.MethodGet, Path: path, Unversioned: true, Plain: true,
			Handle: func(*serve.Request) serve.Answer { return serve.Answer{Code: http.StatusGone, Indent: true} }})
	}
	return routes
}

// pushStatus is attestation_status by the rules of PROTOCOL.md 4.2, after
// seeing whether the agent is late. The caller holds the lock.
func (s *Server) pushStatus(e *enrolled) string {
	p := e.Push
	if p.Accept && !p.Due.IsZero() && s.o.Now().After(p.Due) {
		p.Accept = false
		s.logf("agent %s: has not attested itself for %v", e.ID, intervals*s.o.Interval)
	}
	switch {
	case p.Failures > 0:
		return "FAIL"
	case !p.Accept:
		return "TIMEOUT"
	case e.Record.AttestationCount > 0:
		return "PASS"
	}
	return "PENDING"
}

// came says that the agent has attested itself, well or not: the next time is
// due within the maximum_attestation_interval. The caller holds the lock.
func (s *Server) came(e *enrolled) {
	now := s.o.Now()
	e.Push.Accept, e.Push.Due = true, now.Add(intervals*s.o.Interval)
	e.Record.LastReceivedQuote = now.Unix()
}

// Challenge begins an attestation of an agent of the push model: it says what
// the agent is to show, with a fresh nonce, and forgets what it asked for
// before. It stands for the first half of upstream's session protocol
// (PROTOCOL.md 2.4), which the lab does not speak. Errors: [ErrNotEnrolled],
// [ErrBusy], or that of the source of nonces.
func (s *Server) Challenge(id string) (agent.IntegrityRequest, error) {
	nonce, err := payload.NewChallenge(s.o.Rand)
	if err != nil {
		return agent.IntegrityRequest{}, fmt.Errorf("making a nonce: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.agents[id]
	if e == nil || e.Push == nil {
		return agent.IntegrityRequest{}, ErrNotEnrolled
	}
	v := &e.Push.visit
	if v.busy {
		return agent.IntegrityRequest{}, ErrBusy
	}
	if err := s.examinerFor(e); err != nil {
		s.came(e)
		s.refuse(e, []event{internalEvent("exception", err)})
		return agent.IntegrityRequest{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	v.asked = &agent.IntegrityRequest{Nonce: nonce, Mask: v.examiner.rules.tpm.mask, IMAEntry: v.examiner.ima.NextEntry}
	return *v.asked, nil
}

// examinerFor makes the judge of an agent's evidence, if there is none yet or
// a policy has changed, as upstream reads policies anew for each attestation.
// The caller holds the lock.
func (s *Server) examinerFor(e *enrolled) error {
	v, runtimeText, bootText := &e.Push.visit, s.runtime.get(e.RuntimeName), s.mb.get(e.MBName)
	if v.examiner != nil && same(v.runtime, runtimeText) && same(v.boot, bootText) {
		return nil
	}
	x := &examiner{request: e.Request}
	if v.examiner != nil {
		// What was seen of the list was judged by another policy; the clock is
		// the TPM's.
		x.clock = v.examiner.clock
	}
	if err := x.prepare(runtimeText, bootText); err != nil {
		return err
	}
	v.examiner, v.runtime, v.boot = x, runtimeText, bootText
	return nil
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// Attest ends an attestation: it judges what the agent shows by the same rules
// as a quote that was asked for. Errors: [ErrNotEnrolled], [ErrBusy],
// [ErrNoChallenge]; [ErrRefused] with the failures.
func (s *Server) Attest(ctx context.Context, id string, q *agent.IntegrityQuote) error {
	s.mu.Lock()
	e := s.agents[id]
	if e == nil || e.Push == nil {
		s.mu.Unlock()
		return ErrNotEnrolled
	}
	v := &e.Push.visit
	asked, x := v.asked, v.examiner
	switch {
	case v.busy:
		s.mu.Unlock()
		return ErrBusy
	case asked == nil:
		s.mu.Unlock()
		return ErrNoChallenge
	}
	v.asked, v.busy = nil, true // an answer counts once
	s.mu.Unlock()

	o := x.judge(ctx, q, *asked)

	s.mu.Lock()
	defer s.mu.Unlock()
	v.busy = false
	if s.agents[id] != e { // deleted meanwhile
		return ErrNotEnrolled
	}
	s.came(e)
	switch {
	case len(o.events) > 0:
		// The next list is shown from its beginning, so that what is wrong with
		// it is seen again.
		x.ima.Reset()
		s.refuse(e, o.events)
		return fmt.Errorf("%w: %s", ErrRefused, words(o.events))
	case o.neutral:
		return nil
	}
	// hash_alg and its like stay empty, as upstream leaves them.
	e.Record.AttestationCount++
	e.Record.LastSuccessfulAttestation = e.Record.LastReceivedQuote
	return nil
}

// refuse counts a failure. Unlike for an agent that is polled, upstream tells
// neither the event nor its severity, nor anybody else. The caller holds the
// lock.
func (s *Server) refuse(e *enrolled, events []event) {
	e.Push.Failures++
	s.logf("agent %s: refused: %s", e.ID, words(events))
}

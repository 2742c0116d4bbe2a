package verifier

import (
	"net/http"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/serve"
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
	// Attestations are those that are kept, the oldest first; Next numbers the
	// next one.
	Attestations []*attestation `json:"attestations"`
	Next         int            `json:"next_attestation"`

	visit visit
}

// visit is one attestation under way, and what those before it have shown.
type visit struct {
	examiner *examiner // nil before the first
	// runtime and boot are the policies that the examiner was made for.
	runtime, boot *string
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

// examinerFor makes the judge of an agent's evidence, if there is none yet or
// a policy has changed, as upstream reads policies anew for each attestation.
// The caller holds the lock.
func (s *Server) examinerFor(e *enrolled) error {
	v, runtimeText, bootText := &e.Push.visit, s.runtime.get(e.RuntimeName), s.mb.get(e.MBName)
	if v.examiner != nil && same(v.runtime, runtimeText) && same(v.boot, bootText) {
		return nil
	}
	x := &examiner{request: e.Request, push: true}
	if v.examiner != nil {
		// What was seen of the list was judged by another policy; the clock is
		// the TPM's.
		x.clock, x.bootTime = v.examiner.clock, v.examiner.bootTime
	}
	if err := x.prepare(runtimeText, bootText); err != nil {
		return err
	}
	v.examiner, v.runtime, v.boot = x, runtimeText, bootText
	return nil
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// refuse counts a failure. Unlike for an agent that is polled, upstream tells
// neither the event nor its severity, nor anybody else. The caller holds the
// lock.
func (s *Server) refuse(e *enrolled, events []event) {
	e.Push.Failures++
	s.logf("agent %s: refused: %s", e.ID, words(events))
}

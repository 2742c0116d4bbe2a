package verifier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// The texts of PROTOCOL.md 4.2, 4.4 and 4.5.
const (
	noSuchAgent = "agent id not found"
	noRow       = "Exception error: No row was found when one was required"
)

// intervals is how many intervals may pass until an agent is late.
const intervals = 5

// record is what the verifier tells of an agent. The caller holds the lock.
func (s *Server) record(e *enrolled) wire.Record {
	r := e.Record
	r.AttestationStatus = "PENDING"
	switch r.OperationalState {
	case wire.GetQuote, wire.GetQuoteRetry, wire.ProvideV, wire.ProvideVRetry:
		r.AttestationStatus = "PASS"
	case wire.Failed, wire.InvalidQuote, wire.TenantQuoteFailed:
		r.AttestationStatus = "FAIL"
	}
	if e.Push != nil {
		r.AttestationStatus = s.pushStatus(e)
	}
	r.AttestationPeriod = wholeSeconds(s.o.Interval)
	r.MaximumAttestationInterval = wholeSeconds(intervals * s.o.Interval)
	return r
}

// wholeSeconds cuts fractions off, as upstream does, but never says "0s".
func wholeSeconds(d time.Duration) string { return fmt.Sprintf("%ds", max(int(d.Seconds()), 1)) }

// show answers GET /agents/:id.
func (s *Server) show(r *serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.agents[r.Params["id"]]
	if e == nil {
		return serve.Fail(http.StatusNotFound, noSuchAgent)
	}
	return serve.OK(s.record(e))
}

// list answers GET /agents, with and without "bulk".
func (s *Server) list(r *serve.Request) serve.Answer {
	query := r.URL.Query()
	verifier := query.Get("verifier")
	s.mu.Lock()
	defer s.mu.Unlock()
	var selected []string
	for _, id := range s.order {
		if verifier == "" || s.agents[id].Record.VerifierID == verifier {
			selected = append(selected, id)
		}
	}
	if !query.Has("bulk") {
		list := wire.AgentList{UUIDs: [][]string{}}
		for _, id := range selected {
			list.UUIDs = append(list.UUIDs, []string{id})
		}
		return serve.OK(list)
	}
	// An object whose keys keep their order.
	var b bytes.Buffer
	for i, id := range selected {
		name, err := json.Marshal(id)
		if err != nil {
			return serve.Fail(http.StatusInternalServerError, "")
		}
		value, err := json.Marshal(s.record(s.agents[id]))
		if err != nil {
			return serve.Fail(http.StatusInternalServerError, "")
		}
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	if len(selected) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return serve.OK(json.RawMessage(b.Bytes()))
}

// remove answers DELETE /agents/:id (PROTOCOL.md 4.4).
func (s *Server) remove(r *serve.Request) serve.Answer {
	id := r.Params["id"]
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.agents[id]
	switch {
	case e == nil:
		return serve.Fail(http.StatusNotFound, noSuchAgent)
	case e.Record.VerifierID != s.o.ID:
		return serve.Fail(http.StatusNotFound, "agent id associated to this verifier")
	case e.poller != nil && e.poller.busy:
		// The poller removes it when its call to the agent has come back, which
		// need not be waited for any longer.
		e.Record.OperationalState = wire.Terminated
		e.poller.cancel()
		return s.saved(serve.Fail(http.StatusAccepted, ""))
	}
	s.forget(id)
	return s.saved(serve.OK(nil))
}

// stopAgent answers PUT /agents/:id/stop.
func (s *Server) stopAgent(r *serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.agents[r.Params["id"]]
	if e == nil {
		return serve.Fail(http.StatusBadRequest, noRow)
	}
	if e.Record.OperationalState == wire.Terminated {
		return serve.OK(nil) // it is on its way out
	}
	if e.poller != nil {
		e.poller.end()
	}
	e.Record.OperationalState = wire.TenantQuoteFailed
	return s.saved(serve.OK(nil))
}

// reactivate answers PUT /agents/:id/reactivate. As with upstream it does
// nothing for an agent that was stopped, and takes back of one of the push model
// that it is late, but no failure (PROTOCOL.md 4.5).
func (s *Server) reactivate(r *serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.agents[r.Params["id"]]
	if e == nil {
		return serve.Fail(http.StatusBadRequest, noRow)
	}
	if e.Push != nil {
		e.Push.Accept, e.Push.Due = true, time.Time{}
		return s.saved(serve.OK(nil))
	}
	if state := e.Record.OperationalState; state == wire.TenantQuoteFailed || state == wire.Terminated {
		return serve.OK(nil)
	}
	s.poll(e)
	return s.saved(serve.OK(nil))
}

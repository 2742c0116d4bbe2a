package verifier

import (
	"context"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
)

// poller asks one agent for quotes until it fails, or is told to end.
type poller struct {
	s      *Server
	e      *enrolled
	ctx    context.Context
	cancel context.CancelFunc
	// busy is set while the agent is being asked; the server's lock guards it.
	busy bool

	examiner
	transport *client.Client
	api       *agent.Client
	// vSentTo is the transport key that V was last encrypted to.
	vSentTo  string
	attested int
}

// poll starts to attest an agent anew. The caller holds the lock.
func (s *Server) poll(e *enrolled) {
	if e.poller != nil {
		e.poller.end()
	}
	p := &poller{s: s, e: e, examiner: examiner{request: e.Request}, attested: e.Record.AttestationCount}
	p.ctx, p.cancel = context.WithCancel(s.ctx)
	e.poller = p
	e.Record.OperationalState = wire.Start
	runtimeText, bootText := s.runtime.get(e.RuntimeName), s.mb.get(e.MBName)
	s.work.Go(func() {
		defer p.cancel()
		err := p.prepare(runtimeText, bootText)
		if err == nil {
			err = p.connect()
		}
		if err != nil {
			p.fail([]event{internalEvent("exception", err)})
			return
		}
		defer func() { p.transport.Close() }()
		p.run()
	})
}

// end makes the poller stop and forget its outcome. The caller holds the lock.
func (p *poller) end() {
	p.cancel()
	if p.e.poller == p {
		p.e.poller = nil
	}
}

// connect makes the client of the agent, which speaks the stored version.
func (p *poller) connect() error {
	transport, err := client.New(client.Config{Name: client.AgentName, Host: *p.request.CloudagentIP, Port: int(*p.request.CloudagentPort),
		TLS: p.s.o.Agents, PinnedPEM: *p.request.MTLSCert, Timeout: agentTimeout})
	if err != nil {
		return err
	}
	if p.transport != nil {
		p.transport.Close()
	}
	if version, err := client.ParseVersion(p.request.SupportedVersion); err == nil {
		transport.Use(version)
	}
	p.transport, p.api = transport, agent.New(transport)
	return nil
}

// run asks, again and again.
func (p *poller) run() {
	retries, providing := 0, false
	for p.begin(retries, providing) {
		var o outcome
		if providing {
			o = p.provideV()
		} else {
			o = p.round(retries > 0)
		}
		wait := p.s.o.Interval
		switch {
		case o.again != nil:
			if retries++; retries > p.s.o.MaxRetries {
				name := "not_reachable"
				if providing {
					name = "not_reachable_v"
				}
				o.events = []event{internalEvent(name, o.again)}
				break
			}
			p.s.logf("agent %s: try %d of %d: %v", p.e.ID, retries, p.s.o.MaxRetries, o.again)
			wait = p.s.o.RetryInterval
		default:
			retries = 0
			// V follows at once after the good quote that it needs.
			if providing = !providing && o.events == nil && !o.neutral && p.request.V != nil && p.vSentTo != p.nk; providing {
				wait = 0
			}
		}
		if len(o.events) > 0 {
			p.fail(o.events)
			return
		}
		if !p.idle() {
			return
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(wait):
		}
	}
}

// begin says that the agent is being asked, unless polling has ended.
func (p *poller) begin(retries int, providing bool) bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.e.poller != p || p.ctx.Err() != nil {
		return false
	}
	p.busy = true
	state := wire.GetQuote
	if providing {
		state = wire.ProvideV
	}
	if retries > 0 {
		state++ // the states of retrying follow
	}
	p.e.Record.OperationalState = state
	return true
}

// idle says that the agent is no longer being asked. It removes an agent whose
// deletion was accepted meanwhile, and is false when polling has ended.
func (p *poller) idle() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.busy = false
	if p.e.poller != p {
		return false
	}
	if p.e.Record.OperationalState == wire.Terminated {
		p.removed()
		return false
	}
	return p.ctx.Err() == nil
}

// removed carries out an accepted deletion. The caller holds the lock.
func (p *poller) removed() {
	p.s.forget(p.e.ID)
	if err := p.s.save(); err != nil {
		p.s.logf("%v", err)
	}
}

// fail ends polling with a failure: nothing here is below the highest severity,
// and that ends it (PROTOCOL.md 4.10).
func (p *poller) fail(events []event) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.busy = false
	if p.e.poller != p {
		return
	}
	record := &p.e.Record
	if record.OperationalState == wire.Terminated {
		p.removed()
		return
	}
	if p.ctx.Err() != nil {
		return
	}
	record.OperationalState = wire.InvalidQuote
	if events[0].internal() {
		record.OperationalState = wire.Failed
	}
	level, id := severityEmergency, events[0].ID
	record.SeverityLevel, record.LastEventID = &level, &id
	p.e.poller = nil
	p.s.logf("agent %s: %s: %s", p.e.ID, record.OperationalState, words(events))
	if err := p.s.save(); err != nil {
		p.s.logf("%v", err)
	}
	if !events[0].internal() {
		p.s.notify(p.e, "revocation", events[0])
	} else if strings.HasPrefix(events[0].ID, ofVerifier+"not_reachable") && p.attested > 0 {
		p.s.notify(p.e, "comm_error", events[0])
	}
}

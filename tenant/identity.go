package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// lookUp reads the registrar's record of the agent.
func (e *enrolment) lookUp(ctx context.Context) error {
	t, id := e.t, e.plan.ID
	if err := t.askRegistrar(ctx); err != nil {
		return e.fail(StepRegistrar, err)
	}
	record, _, err := t.Registrar.Agent(ctx, id)
	if client.KindOf(err) == client.NotFound {
		return &NotFoundError{What: "agent", Name: id, Server: ServerRegistrar, Err: err,
			Hint: "start the agent so that it registers; keylime_tenant reglist shows the ids that are registered"}
	}
	if err != nil {
		return e.fail(StepRegistrar, err)
	}
	e.record = record
	e.host, e.port = e.plan.Host, e.plan.Port
	if e.host == "" && record.IP != nil {
		e.host = unbracketed(*record.IP)
	}
	if e.port == 0 && record.Port != nil {
		e.port = *record.Port
	}
	t.emit(RegistrarRecord{ID: id, RegCount: record.RegCount, Host: e.host, Port: e.port})
	if record.RegCount > 1 {
		t.emit(Warning{Kind: WarnRegCount, ID: id, Object: "agent " + id,
			Text: fmt.Sprintf("agent %s has been registered %d times: it was restarted, or another TPM uses its id", id, record.RegCount),
			Hint: "keylime_tenant regstatus " + id + " shows the EK that counts now"})
	}
	if record.AIKTPM == "" {
		return e.fail(StepRegistrar, errors.New("the registrar's record has no AK, so no quote could be verified"))
	}
	return nil
}

// meet settles how and in which version the agent is spoken to.
func (e *enrolment) meet(ctx context.Context) error {
	told := AgentVersion{ID: e.plan.ID, Push: e.plan.Push, Host: e.host, Port: e.port}
	e.version = client.Current()
	if e.plan.version != nil {
		e.version = *e.plan.version
	}
	if !e.plan.Push {
		negotiation, err := e.dial(ctx)
		if err != nil {
			return err
		}
		told.Negotiation = negotiation
	}
	told.Version = e.version.String()
	e.t.emit(told)
	return nil
}

// dial makes the connection to the agent, and asks for its versions unless one
// is fixed; the negotiation is nil then.
func (e *enrolment) dial(ctx context.Context) (*client.Negotiation, error) {
	if e.host == "" || e.port == 0 {
		if e.ofThePushModel(ctx) {
			return nil, e.needsPush(NoContactAddress, "the registrar holds no address of it")
		}
		return nil, &InvalidError{Kind: NoContactAddress, Object: "agent " + e.plan.ID, Cause: "the registrar holds no address of it",
			Hint: "an agent of the push model is added with --push-model; otherwise give the address with --targethost and --targetport"}
	}
	at := AgentEndpoint{ID: e.plan.ID, Host: e.host, Port: e.port, Version: e.plan.version}
	plain, err := e.plain(ctx)
	if err != nil {
		return nil, err
	}
	if !plain {
		at.CertPEM = *e.record.MTLSCert
	} else if at.Version == nil && e.record.MTLSCert == nil {
		// Agents that register no certificate are older than mutual TLS, and
		// speak API 1.0 (PROTOCOL.md 1.6).
		at.Version = &client.Version{Major: 1, Minor: 0}
	}
	if e.agent, e.conn, e.release, err = e.t.Dial(at); err != nil {
		return nil, e.fail(StepAgentVersion, err)
	}
	if at.Version != nil {
		e.version = *at.Version
		return nil, nil
	}
	negotiation, err := e.conn.Negotiate(ctx)
	if err != nil {
		failed := e.fail(StepAgentVersion, err)
		if plain && client.KindOf(err) == client.Unreachable {
			failed.Hint = "an agent of the push model, which listens to nobody, is added with --push-model"
		}
		return nil, failed
	}
	e.version, e.agentVersions = negotiation.Version, negotiation.Theirs
	return &negotiation, nil
}

// plain says whether the agent is to be reached without TLS, and refuses that
// unless it is allowed.
func (e *enrolment) plain(ctx context.Context) (bool, error) {
	cert := e.record.MTLSCert
	disabled := cert != nil && *cert == registrar.Disabled
	if !disabled && cert != nil && *cert != "" && !e.t.PlainAgents {
		return false, nil
	}
	if refused := !e.plan.Compat && !e.t.PlainAgents && !e.t.AllowPlainAgents; refused && e.ofThePushModel(ctx) {
		return false, e.needsPush(PlainAgentRefused, "it serves nobody over TLS, and the verifier runs in push mode")
	}
	if disabled {
		e.t.emit(PlainAgent{ID: e.plan.ID, Host: e.host, Port: e.port, Disabled: true})
	}
	// An agent that says it has no TLS is reached so by the Python tenant; one
	// that says nothing at all may be an impostor (TENANT-CLI.md E5).
	if e.t.PlainAgents || e.t.AllowPlainAgents || disabled && e.plan.Compat {
		return true, nil
	}
	cause := "the registrar holds no TLS certificate of it"
	if disabled {
		cause = "its owner has switched TLS off"
	}
	return false, &InvalidError{Kind: PlainAgentRefused, Object: "agent " + e.plan.ID, Cause: cause + ", and plain HTTP is not allowed here",
		Hint: "switch enable_agent_mtls on in the agent's configuration; an agent of the push model is added with --push-model; enable_agent_mtls = False here speaks plain HTTP to every agent"}
}

// provenAgent is an agent whose identity has been proven: only prove makes
// one, and only one is given a secret.
type provenAgent struct {
	agent Agent
	quote quote.Verified
	ek    EKOutcome
}

// prove verifies a fresh quote of the agent and its EK; in the push model,
// where there is no quote to ask for, the EK alone.
func (e *enrolment) prove(ctx context.Context) (provenAgent, error) {
	proven := provenAgent{agent: e.agent}
	nonce := ""
	if !e.plan.Push {
		var err error
		if nonce, err = payload.NewChallenge(e.t.rand()); err != nil {
			return provenAgent{}, e.fail(StepQuote, err)
		}
		answer, err := e.askQuote(ctx, nonce)
		if err != nil {
			return provenAgent{}, err
		}
		if proven.quote, err = e.verifyQuote(answer, nonce); err != nil {
			return provenAgent{}, err
		}
		e.t.emit(QuoteVerified{ID: e.plan.ID, Quote: proven.quote})
	}
	outcome, err := e.t.checkEK(ctx, e.record)
	if err != nil {
		return provenAgent{}, e.ekError(nonce, err)
	}
	proven.ek = outcome
	if !e.plan.Push {
		e.t.emit(IdentityProven{ID: e.plan.ID})
	}
	return proven, nil
}

// askQuote asks for an identity quote, and again while the agent does not
// answer (PROTOCOL.md 6.5).
func (e *enrolment) askQuote(ctx context.Context, nonce string) (*agent.Quote, error) {
	t := e.t
	if plain := e.record.MTLSCert == nil || *e.record.MTLSCert == "" || *e.record.MTLSCert == registrar.Disabled; plain || t.PlainAgents {
		t.emit(PlainAgent{ID: e.plan.ID, Host: e.host, Port: e.port, Connecting: true,
			Disabled: e.record.MTLSCert != nil && *e.record.MTLSCert == registrar.Disabled})
	}
	for try := 1; ; try++ {
		answer, reply, err := e.agent.IdentityQuote(ctx, nonce)
		if err == nil {
			t.emit(QuoteReceived{ID: e.plan.ID, Reply: reply})
			return answer, nil
		}
		if !transient(err) || try >= t.Retry.Max {
			failed := e.fail(StepQuote, err)
			failed.Tries = try
			return nil, failed
		}
		delay := t.Retry.Delay(try)
		t.emit(QuoteRetry{ID: e.plan.ID, Try: try, Max: t.Retry.Max, Delay: delay, Err: err})
		if err := t.sleep(ctx, delay); err != nil {
			return nil, e.fail(StepQuote, err)
		}
	}
}

func (e *enrolment) verifyQuote(answer *agent.Quote, nonce string) (quote.Verified, error) {
	failed := func(err error) *StepError {
		f := e.fail(StepVerifyQuote, err)
		f.Nonce = nonce
		return f
	}
	ak, err := base64.StdEncoding.DecodeString(e.record.AIKTPM)
	if err != nil {
		return quote.Verified{}, failed(&quote.VerificationError{Check: quote.CheckAK, Err: errors.New("the registrar's aik_tpm is not base64")})
	}
	verified, err := quote.Verify(quote.Untrusted{
		Quote: answer.Quote, HashAlg: answer.HashAlg, EncAlg: answer.EncAlg, SignAlg: answer.SignAlg, TransportKeyPEM: answer.PubKeyPEM,
	}, quote.Expect{
		AK: ak, Nonce: nonce, AcceptHash: e.plan.AcceptHash, AcceptEnc: e.plan.AcceptEnc, AcceptSign: e.plan.AcceptSign,
		BindTransportKey: true, Compressed: e.version.Major < 2,
	})
	if err != nil {
		f := failed(err)
		f.Hint = quoteHint(err, e.record.RegCount)
		return quote.Verified{}, f
	}
	return verified, nil
}

// quoteHint says what to do about a quote that is refused.
func quoteHint(err error, regcount int) string {
	var v *quote.VerificationError
	if !errors.As(err, &v) {
		return ""
	}
	switch v.Check {
	case quote.CheckAcceptedHash:
		return "accept_tpm_hash_algs in tenant.conf says what is accepted"
	case quote.CheckAcceptedEnc:
		return "accept_tpm_encryption_algs in tenant.conf says what is accepted"
	case quote.CheckAcceptedSign:
		return "accept_tpm_signing_algs in tenant.conf says what is accepted; a TPM with an ECC key needs 'ecdsa' there"
	case quote.CheckSignature, quote.CheckAK:
		if regcount > 1 {
			return "the agent has been registered more than once: its TPM is not the one that the registrar knows"
		}
		return "the agent at this address does not have the TPM that the registrar knows under this id"
	}
	return ""
}

// ekError names a failed EK check. What a script or the network refuses counts
// as a refusal of the agent; an interrupt stays one.
func (e *enrolment) ekError(nonce string, err error) error {
	err = refusedByScript(e.plan.ID, err)
	f := e.fail(StepVerifyEK, err)
	f.Nonce = nonce
	f.Hint = e.t.ekHint(e.plan.ID, err)
	return f
}

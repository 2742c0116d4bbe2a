package compat

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// step tells of a failure by the step in which it happened.
func (r *Renderer) step(verb string, e *tenant.StepError) {
	reply := replyOf(e.Err)
	if reply != nil && reply.HTTP == 0 {
		reply = nil
	}
	switch e.Step {
	case tenant.StepRegistrar:
		r.registrarFailed(verb, e, reply)
	case tenant.StepAgentVersion:
		r.agentVersionFailed(e)
	case tenant.StepQuote:
		r.quoteFailed(e, reply)
	case tenant.StepVerifyQuote:
		r.quoteRefused(e)
	case tenant.StepVerifyEK:
		r.ekRefused(e)
	case tenant.StepPostU:
		r.refused(reply, e, func(code int, body string) string {
			return fmt.Sprintf("Posting of encrypted U to %s failed with response code %d (%s)", r.agent(), code, body)
		})
	case tenant.StepEnrol:
		r.enrolFailed(e, reply)
	case tenant.StepWaitAdded, tenant.StepWaitDeleted, tenant.StepVerifyKey:
		r.waitFailed(e, reply)
	case tenant.StepStatus:
		r.statusRefused(reply, e, "checking status for "+r.agent())
	case tenant.StepDelete:
		r.verifierRefused(reply, e, " to delete "+r.agent(), func(code int, body string) string {
			return fmt.Sprintf("Unexpected response code %d from %s while deleting %s%s", code, r.verifier(), r.agent(), tail(body))
		})
	case tenant.StepReactivate:
		r.switchRefused(reply, e, "Reactivate")
	case tenant.StepStop:
		r.switchRefused(reply, e, "Stop")
	case tenant.StepRegDelete:
		r.regDeleteFailed(e, reply)
	case tenant.StepList:
		r.listFailed(verb, e, reply)
	case tenant.StepPolicy:
		if reply != nil {
			r.tenant.Error(pyjson.Repr(reply.Body))
		} else {
			r.serverFailed(e)
		}
	default:
		r.tenant.Error(inner(e))
	}
}

// answered makes the text for an answer that is a refusal. F of TENANT-CLI.md
// wants the status before the text, and the body unchanged.
type answered func(code int, body string) string

// tail is a body at the end of a text.
func tail(body string) string {
	if body == "" {
		return ""
	}
	return ": " + body
}

// refused writes the text for an answer, or the cause of a failed connection.
func (r *Renderer) refused(reply *client.Reply, e *tenant.StepError, text answered) {
	if reply == nil {
		r.serverFailed(e)
		return
	}
	r.tenant.Error(text(reply.HTTP, string(reply.Body)))
}

// verifierRefused is refused for the verifier, which has words of their own for
// two statuses; doing ends the sentence in which they stand.
func (r *Renderer) verifierRefused(reply *client.Reply, e *tenant.StepError, doing string, text answered) {
	switch {
	case reply != nil && reply.HTTP == 503:
		r.tenant.Error(fmt.Sprintf("Cannot connect to %s%s. Connection refused.", r.verifier(), doing))
	case reply != nil && reply.HTTP == 504:
		r.tenant.Error(r.verifier() + " timed out.")
	default:
		r.refused(reply, e, text)
	}
}

func (r *Renderer) statusRefused(reply *client.Reply, e *tenant.StepError, doing string) {
	r.verifierRefused(reply, e, "", r.statusText(doing))
}

func (r *Renderer) statusText(doing string) answered {
	return func(code int, body string) string {
		return fmt.Sprintf("Status command response: %d. Unexpected response from %s while %s : <Response [%d]>%s", code, r.verifier(), doing, code, tail(body))
	}
}

func (r *Renderer) switchRefused(reply *client.Reply, e *tenant.StepError, command string) {
	r.verifierRefused(reply, e, "", func(code int, body string) string {
		return fmt.Sprintf("%s command response: %d Unexpected response from %s.%s", command, code, r.verifier(), tail(body))
	})
}

// serverFailed tells of a server that gave no answer, or none that counts.
func (r *Renderer) serverFailed(e *tenant.StepError) {
	var none *client.NoCommonVersionError
	if errors.As(e.Err, &none) {
		name := tenant.ServerVerifier
		if e.Step == tenant.StepRegistrar || e.Step == tenant.StepRegDelete || e.ID == tenant.ServerRegistrar {
			name = tenant.ServerRegistrar
		}
		r.tenant.Error(fmt.Sprintf("No compatible API version with %s. Tenant supports: %s, Server supports: %s", name, withPlain(none.Ours), pyVersions(nil, none.Theirs)))
		return
	}
	r.tenant.Error(inner(e))
}

// registrarFailed tells of a registrar that could not be asked. Upstream says
// in that case, too, that there is no such agent; the beginning of that stays
// (TENANT-CLI.md D).
func (r *Renderer) registrarFailed(verb string, e *tenant.StepError, reply *client.Reply) {
	var none *client.NoCommonVersionError
	if errors.As(e.Err, &none) {
		r.serverFailed(e)
		return
	}
	if reply != nil {
		r.registrar.Critical(fmt.Sprintf("Error: unexpected http response code from Registrar Server: %d", reply.HTTP))
		r.responseCode(r.registrar.Critical, reply)
	} else {
		r.registrar.Critical(transport(e.Err))
	}
	if verb == "regstatus" || verb == "status" {
		r.tenant.Error(fmt.Sprintf("Agent %s does not exist on %s, or the registrar could not be asked: %s", r.id, r.registrarName(), inner(e)))
		return
	}
	r.tenant.Error(fmt.Sprintf("Agent %s data not found in the Registrar, or the registrar could not be asked: %s", r.id, inner(e)))
}

func (r *Renderer) agentVersionFailed(e *tenant.StepError) {
	var none *client.NoCommonVersionError
	switch {
	case client.KindOf(e.Err) == client.ClientRefused:
		r.tenant.Error("Keylime agent does not recognize mTLS certificate form tenant. Check if agents trusted_client_ca is configured correctly [" + token(e.Err) + "]")
	case errors.As(e.Err, &none):
		versions := fmt.Sprintf("Agent supports: %s, Tenant supports: %s", pyVersions(nil, none.Theirs), withPlain(none.Ours))
		r.tenant.Error(fmt.Sprintf("No compatible API version between tenant and agent %s. %s", r.id, versions))
		r.tenant.Error(fmt.Sprintf("Agent %s has no compatible API version. %s", r.id, versions))
	default:
		r.tenant.Error(inner(e))
	}
}

func (r *Renderer) quoteFailed(e *tenant.StepError, reply *client.Reply) {
	if reply != nil {
		r.print(pyjson.Repr(reply.Body))
		r.tenant.Error(fmt.Sprintf("TPM Quote command response: %d Unexpected response from %s.", reply.HTTP, r.agent()))
		return
	}
	r.tenant.Error(fmt.Sprintf("Tenant cannot establish connection to %s: %s", r.agent(), inner(e)))
}

func (r *Renderer) quoteRefused(e *tenant.StepError) {
	var v *quote.VerificationError
	if errors.As(e.Err, &v) {
		what := ""
		switch v.Check {
		case quote.CheckAcceptedHash:
			what = "hash"
		case quote.CheckAcceptedEnc:
			what = "encryption"
		case quote.CheckAcceptedSign:
			what = "signing"
		}
		if what != "" {
			found := v.Found
			if plain, err := strconv.Unquote(found); err == nil {
				found = plain
			}
			r.tenant.Error(fmt.Sprintf("TPM Quote from %s is using an unaccepted %s algorithm: %s", r.agent(), what, found))
			return
		}
	}
	r.tpm.Error(inner(e))
	r.tenant.Error(fmt.Sprintf("TPM Quote from %s is invalid for nonce: %s", r.agent(), e.Nonce))
}

// ekRefused tells of a TPM that nobody vouches for, upstream's words first.
func (r *Renderer) ekRefused(e *tenant.StepError) {
	var (
		v      *ek.VerificationError
		script *ek.ScriptError
	)
	switch {
	case errors.As(e.Err, &script) && script.Kind == ek.ScriptNotFound:
		r.certs.Warning(fmt.Sprintf("External check script (%s) not found; please make sure its path is correct", script.Path))
	case errors.As(e.Err, &script) && script.Kind == ek.ScriptRefused:
		r.certs.Error("External check script failed to validate EK: " + string(script.Output))
	case errors.As(e.Err, &script):
		r.certs.Error("Error while trying to run external check script to validate EK: " + script.Error())
	case errors.As(e.Err, &v) && v.Check == ek.CheckNoCertificate:
		r.tenant.Warning("No EK cert provided, require_ek_cert option in config set to True for " + r.agent())
	case errors.As(e.Err, &v):
		switch v.Check {
		case ek.CheckChain, ek.CheckStore, ek.CheckIssuer, ek.CheckSignature:
			r.certs.Error("No Root CA matched EK Certificate")
		}
		r.certs.Error(inner(e))
		r.tenant.Warning("Invalid EK certificate for " + r.agent())
	default:
		r.certs.Error(inner(e))
	}
	if e.Nonce == "" { // the push model: there is no quote
		r.tenant.Error("EK of " + r.agent() + " is not trusted")
		return
	}
	r.tenant.Error(fmt.Sprintf("TPM Quote from %s is invalid for nonce: %s", r.agent(), e.Nonce))
}

func (r *Renderer) enrolFailed(e *tenant.StepError, reply *client.Reply) {
	switch {
	case reply == nil:
		r.serverFailed(e)
	case reply.HTTP == 503:
		r.tenant.Error(fmt.Sprintf("Cannot connect to %s while adding %s. Connection refused.", r.verifier(), r.agent()))
	case reply.HTTP == 504:
		r.tenant.Error(fmt.Sprintf("%s timed out while adding %s.", r.verifier(), r.agent()))
	default:
		r.refusedPost(reply)
	}
}

// waitFailed tells that something did not happen in time.
func (r *Renderer) waitFailed(e *tenant.StepError, reply *client.Reply) {
	var (
		wait   *tenant.WaitError
		reason *tenant.RefusedError
	)
	if !errors.As(e.Err, &wait) {
		r.statusRefused(reply, e, "checking status for "+r.agent())
		return
	}
	text := ""
	switch e.Step {
	case tenant.StepWaitAdded:
		text = fmt.Sprintf("%s still not added to %s after %d tries", r.agent(), r.verifier(), wait.Tries)
	case tenant.StepWaitDeleted:
		text = fmt.Sprintf("%s was not deleted from %s after %d tries", r.agent(), r.verifier(), wait.Tries)
	default:
		text = fmt.Sprintf("Failed key derivation for %s (expected length %d, received %d)", r.agent(), hmacLength, wait.Received)
		if errors.As(e.Err, &reason) { // upstream does not look for the reason
			text += ": " + reason.Error()
		}
	}
	r.tenant.Error(text)
}

func (r *Renderer) regDeleteFailed(e *tenant.StepError, reply *client.Reply) {
	if reply != nil {
		r.registrar.Warning(fmt.Sprintf("Status command response: %d Unexpected response from registrar.", reply.HTTP))
		r.responseCode(r.registrar.Warning, reply)
		r.tenant.Error(fmt.Sprintf("Agent %s was not deleted from %s: %s", r.id, r.registrarName(), inner(e)))
		return
	}
	r.serverFailed(e)
}

// listFailed tells of a list that could not be had.
func (r *Renderer) listFailed(verb string, e *tenant.StepError, reply *client.Reply) {
	switch {
	case reply == nil:
		r.serverFailed(e)
	case e.ID == tenant.ServerRegistrar:
		r.registrar.Warning(fmt.Sprintf("Registrar returned: %d Unexpected response from registrar.", reply.HTTP))
		r.responseCode(r.registrar.Warning, reply)
		r.tenant.Error(fmt.Sprintf("Agent list from %s not retrieved: %s", r.registrarName(), inner(e)))
	case verb == "cvlist":
		r.statusRefused(reply, e, "providing agent list")
	default:
		r.refused(reply, e, r.statusText("providing bulk status for all agents"))
	}
}

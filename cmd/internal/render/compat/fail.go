package compat

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/tenant"
)

// Fail writes the records of a failure, and what it has left behind. The last
// ERROR record is the one that the Python tenant ends with.
func (r *Renderer) Fail(verb string, err error) {
	r.release(true)
	r.cause(verb, err)
	var undone *tenant.UndoneError
	if errors.As(err, &undone) {
		for _, left := range undone.Left {
			text := left.What
			if len(left.Command) > 0 {
				text += "; to remove it: " + strings.Join(left.Command, " ")
			}
			r.tenant.Warning(text)
		}
	}
}

// cause finds out what kind of failure it is.
func (r *Renderer) cause(verb string, err error) {
	var (
		classic  interface{ Classic() string }
		invalid  *tenant.InvalidError
		missing  *tenant.NotFoundError
		conflict *tenant.ConflictError
		step     *tenant.StepError
		failed   *client.Error
	)
	switch {
	case errors.As(err, &classic):
		r.tenant.Error(classic.Classic())
	case errors.As(err, &invalid):
		r.invalid(invalid)
	case errors.As(err, &missing):
		r.missing(verb, missing)
	case errors.As(err, &conflict):
		r.conflict(verb, conflict)
	case errors.As(err, &step):
		r.id = step.ID
		r.step(verb, step)
	case errors.As(err, &failed) && failed.HTTP != 0 && r.download.URL != "":
		r.tenant.Error(fmt.Sprintf("Downloading %s (%s) failed with status code %d!", downloaded(r.download.What), r.download.URL, failed.HTTP))
	default:
		r.tenant.Error(advised(err))
	}
}

// invalid tells of a mistake in the call or its files. What upstream tells in a
// traceback is one record here; where it has a text of its own, that is kept.
func (r *Renderer) invalid(e *tenant.InvalidError) {
	log, text := r.tenant, e.Classic
	switch {
	case e.Kind == tenant.InvalidAgentID:
		text = "The agent ID set via agent uuid parameter use invalid characters"
	case e.Kind == tenant.PCROwned:
		log = r.policies
	}
	if text == "" {
		text = advised(e)
	}
	log.Error(text)
}

// missing tells of an agent or policy that a server does not have.
func (r *Renderer) missing(verb string, e *tenant.NotFoundError) {
	reply := replyOf(e.Err)
	switch {
	case e.What != "agent" && verb != "add" && verb != "update":
		r.tenant.Error(pyjson.Repr(body(reply)))
	case e.What != "agent":
		r.refusedPost(reply)
	case e.Server == tenant.ServerRegistrar:
		r.id = e.Name
		r.notRegistered(verb, reply)
	default:
		r.id = e.Name
		r.tenant.Error(fmt.Sprintf("%s does not exist on %s.", r.agent(), r.verifier()))
	}
}

// notRegistered tells that the registrar has no record of the agent. regdelete
// has been told of by its event, and is no failure.
func (r *Renderer) notRegistered(verb string, reply *client.Reply) {
	if verb == "regdelete" {
		return
	}
	r.registrar.Critical(fmt.Sprintf("Error: could not get agent %s data from Registrar Server: 404", r.id))
	r.responseCode(r.registrar.Critical, reply)
	if verb != "regstatus" && verb != "status" {
		r.tenant.Error(fmt.Sprintf("Agent %s data not found in the Registrar.", r.id))
		return
	}
	r.tenant.Info(fmt.Sprintf("Agent %s does not exist on the registrar. Please register the agent with the registrar.", r.id))
	r.tenant.Info(envelope(404, fmt.Sprintf("Agent %s does not exist on registrar %s port %s.", r.id, r.o.RegistrarHost, r.o.RegistrarPort), []byte("{}")))
	r.tenant.Error(fmt.Sprintf("%s does not exist on %s. Check the agent logs to for error messages while attempting to get registered.", r.agent(), r.registrarName()))
}

// conflict tells that the verifier refuses because of what it has already. The
// reason, which upstream leaves out, comes after upstream's text.
func (r *Renderer) conflict(verb string, e *tenant.ConflictError) {
	reply := replyOf(e.Err)
	if verb != "add" && verb != "update" {
		r.tenant.Error(pyjson.Repr(body(reply)))
		return
	}
	reason := e.What + " " + e.Name + " " + e.Reason
	if reply != nil {
		reason = fmt.Sprintf("%d %s", reply.HTTP, reply.Status)
	}
	r.tenant.Error(fmt.Sprintf(`%s responded indicating a conflict for agent %s. Run "delete" or "update" first. Reason: %s`, r.verifier(), r.agent(), reason))
}

// responseCode writes what a server says of its refusal.
func (r *Renderer) responseCode(write func(string), reply *client.Reply) {
	if reply == nil || reply.Code == 0 {
		r.registrar.Error("Error: unexpected or malformed http response payload")
		return
	}
	write(fmt.Sprintf("Response code %d: %s", reply.Code, reply.Status))
}

// refusedPost tells that the verifier refuses to enrol the agent: the status
// before the text, and the body unchanged.
func (r *Renderer) refusedPost(reply *client.Reply) {
	if reply == nil {
		reply = &client.Reply{}
	}
	if reply.Code != 0 {
		r.tenant.Error(fmt.Sprintf("Response code %d: %s", reply.Code, reply.Status))
	}
	r.tenant.Error(fmt.Sprintf("POST command response: %d Unexpected response from %s: %s", reply.HTTP, r.verifier(), reply.Body))
}

func replyOf(err error) *client.Reply {
	var failed *client.Error
	if errors.As(err, &failed) {
		return failed.Reply
	}
	return nil
}

func body(reply *client.Reply) []byte {
	if reply == nil {
		return nil
	}
	return reply.Body
}

// advised is an error with what can be done about it.
func advised(err error) string {
	text := transport(err)
	var (
		hint    string
		invalid *tenant.InvalidError
		adviser interface{ HintText() string }
		failed  *client.Error
		step    *tenant.StepError
	)
	switch {
	case errors.As(err, &adviser):
		hint = adviser.HintText()
	case errors.As(err, &invalid):
		hint = invalid.Hint
	case errors.As(err, &step) && step.Hint != "":
		hint = step.Hint
	case errors.As(err, &failed):
		hint = failed.Hint
	}
	if hint != "" {
		text += "; " + hint
	}
	return text
}

// transport is an error with the token that scripts look for, in brackets, when
// it is one of the connection (TENANT-CLI.md F).
func transport(err error) string {
	if token := token(err); token != "" {
		return err.Error() + " [" + token + "]"
	}
	return err.Error()
}

func token(err error) string {
	switch client.KindOf(err) {
	case client.ClientRefused:
		if errors.Is(err, syscall.ECONNRESET) {
			return "Connection reset by peer"
		}
		return "SSLError: TLSV1_ALERT_UNKNOWN_CA"
	case client.ServerUntrusted:
		return "SSLError: CERTIFICATE_VERIFY_FAILED"
	case client.Unreachable:
		switch {
		case errors.Is(err, syscall.ECONNRESET):
			return "Connection reset by peer"
		case errors.Is(err, syscall.ECONNREFUSED):
			return "Connection refused"
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return "SSLError: EOF occurred in violation of protocol"
		}
	case client.TimedOut:
		return "Read timed out"
	}
	return ""
}

// inner is the cause of a step, without the step's own words.
func inner(e *tenant.StepError) string {
	text := transport(e.Err)
	hint := e.Hint
	var failed *client.Error
	if hint == "" && errors.As(e.Err, &failed) {
		hint = failed.Hint
	}
	if hint != "" {
		text += "; " + hint
	}
	return text
}

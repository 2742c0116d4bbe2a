package compat

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/tenant"
)

// statusEvent writes the records of the verbs that read, list and delete.
func (r *Renderer) statusEvent(e tenant.Event) bool {
	switch e := e.(type) {
	case tenant.VerifierStatus:
		r.id = e.ID
		r.tenant.Info(fmt.Sprintf("Agent Info from %s:\n%s", r.verifier(), pyjson.Dumps(pyjson.Wrap(e.ID, r.verifierRecord(e.Reply.Results)))))
	case tenant.NotEnrolled:
		r.id = e.ID
		r.notEnrolled()
	case tenant.RegistrarStatus:
		r.registrarStatus(e)
	case tenant.RegistrarList:
		r.tenant.Info(fmt.Sprintf("From registrar %s port %s retrieved %s\n", r.o.RegistrarHost, r.o.RegistrarPort, pyjson.Dumps(e.Reply.Body)))
		r.tenant.Info(fmt.Sprintf("Agent list from %s retrieved: \n%s", r.registrarName(), pyjson.Dumps(e.Reply.Results)))
	case tenant.VerifierList:
		r.tenant.Info(fmt.Sprintf("From verifier %s port %s retrieved: \"%s\"\n", r.o.VerifierHost, r.o.VerifierPort, pyjson.Repr(e.Reply.Body)))
		r.tenant.Info(fmt.Sprintf("Agent list from %s retrieved: \n%s", r.verifier(), pyjson.Dumps(e.Reply.Results)))
	case tenant.VerifierBulk:
		r.tenant.Info("Bulk Agent Info:\n" + pyjson.Dumps(r.bulk(e.Reply.Results)))
	case tenant.NoAgents:
		r.tenant.Info(r.verifier() + " does not have any agents")
	case tenant.RegistrarDeleted:
		r.id = e.ID
		if e.Absent {
			r.registrar.Warning("Status command response: 404 Unexpected response from registrar.")
			r.responseCode(r.registrar.Warning, e.Reply)
		} else {
			r.registrar.Debug("Registrar deleted.")
		}
	case tenant.DeleteStarted:
		r.id = e.ID
		if a := e.Agent; a != nil {
			switch {
			case a.IP == nil && a.Port == nil: // upstream takes the verifier's word, which in the push model has none
				r.agentAddr = ""
			case r.agentAddr == "" && a.IP != nil && a.Port != nil:
				r.agentAt(e.ID, *a.IP, *a.Port)
			}
			r.verifierID = a.VerifierID
		}
	case tenant.DeleteRetry:
		r.tenant.Info(fmt.Sprintf("%s still not deleted from %s at try %d/%d, trying again in %s seconds...", r.agent(), r.verifier(), e.Try, e.Max, seconds(e.Delay)))
	case tenant.Deleted:
		r.deleted(e)
	case tenant.Reactivated:
		r.id = e.ID
		r.tenant.Info("Agent " + e.ID + " re-activated")
		r.tenant.Info(r.agent() + " re-activated")
	default:
		return false
	}
	return true
}

func (r *Renderer) notEnrolled() {
	r.tenant.Info(fmt.Sprintf("Verifier at %s with Port %s does not have agent %s.", r.o.VerifierHost, r.o.VerifierPort, r.id))
}

func (r *Renderer) deleted(e tenant.Deleted) {
	r.id = e.ID
	switch {
	case e.Absent && e.AtDelete:
		r.tenant.Info("Agent " + e.ID + " is already absent from the CV")
	case e.Absent:
		r.tenant.Info(fmt.Sprintf("The %s is deleted from %s", r.agent(), r.verifier()))
		// Upstream leaves it at that.
		r.tenant.Info(fmt.Sprintf("Agent %s was not there before either: nothing was deleted", e.ID))
	case e.Polled:
		r.notEnrolled()
		r.tenant.Info(fmt.Sprintf("%s was deleted from %s after %d tries", r.agent(), r.verifier(), e.Tries))
		fallthrough
	default:
		r.tenant.Info("Agent " + e.ID + " deleted from the CV")
	}
}

// registrarKeys are the keys of the registrar's record that the Python tenant
// shows, in its order; provider_keys only if it is there.
func registrarKeys() []string {
	return []string{"aik_tpm", "regcount", "ek_tpm", "ip", "port", "mtls_cert", "ekcert", "provider_keys"}
}

func (r *Renderer) registrarStatus(e tenant.RegistrarStatus) {
	r.id = e.ID
	received, _ := pyjson.ParseObject(e.Raw) // a record that was read is an object
	shown := pyjson.Object{}
	for _, key := range registrarKeys() {
		value, found := received.Get(key)
		if found || key != "provider_keys" {
			shown = shown.Set(key, value)
		}
	}
	shown = shown.Set("operational_state", pyjson.String(tenant.Registered))
	results := pyjson.Wrap(e.ID, shown.Raw())
	status := fmt.Sprintf("Agent %s exists on registrar %s port %s.", e.ID, r.o.RegistrarHost, r.o.RegistrarPort)
	r.tenant.Info("Status from " + r.registrarName() + ": " + status)
	r.tenant.Info(envelope(200, status, results))
	r.tenant.Info(fmt.Sprintf("Agent Info from %s:\n%s", r.registrarName(), pyjson.Dumps(results)))
}

// envelope is a JSON answer as the Python tenant makes it up for the registrar.
func envelope(code int, status string, results json.RawMessage) string {
	return pyjson.Dumps(pyjson.Object{{Key: "code", Value: json.RawMessage(strconv.Itoa(code))}, {Key: "status", Value: pyjson.String(status)}, {Key: "results", Value: results}}.Raw())
}

// verifierRecord is the verifier's record of an agent as it is shown: with the
// name of the state instead of its number, and without V. In the push model the
// state is left out.
func (r *Renderer) verifierRecord(results json.RawMessage) json.RawMessage {
	record, err := pyjson.ParseObject(results)
	if err != nil {
		return results
	}
	if r.o.Push {
		record = record.Delete("operational_state")
	}
	return r.redacted(named(record)).Raw()
}

// named replaces the number of the state by its name; null stays.
func named(record pyjson.Object) pyjson.Object {
	value, found := record.Get("operational_state")
	var state verifier.State
	if !found || json.Unmarshal(value, &state) != nil || state == verifier.NoState {
		return record
	}
	return record.Set("operational_state", pyjson.String(state.String()))
}

// redacted hides V; that there is none is no secret.
func (r *Renderer) redacted(record pyjson.Object) pyjson.Object {
	value, found := record.Get("v")
	if r.o.ShowSecrets || !found || string(value) == "null" {
		return record
	}
	return record.Set("v", pyjson.String("[redacted]"))
}

// bulk are the verifier's records of all agents as they are shown.
func (r *Renderer) bulk(results json.RawMessage) json.RawMessage {
	agents, err := pyjson.ParseObject(results)
	if err != nil {
		return results
	}
	for i := range agents {
		record, err := pyjson.ParseObject(agents[i].Value)
		if err != nil {
			continue
		}
		if state, _ := record.Get("operational_state"); string(state) == "null" {
			record = record.Set("operational_state", pyjson.String("Not applicable (Push Mode)"))
		}
		agents[i].Value = r.redacted(named(record)).Raw()
	}
	return agents.Raw()
}

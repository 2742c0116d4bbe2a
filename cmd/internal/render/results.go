package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/tenant"
)

// reveal is a result as it is marshalled: with V if secrets are to be shown,
// which the result itself leaves out.
func (m *Modern) reveal(result any) any {
	type withV struct {
		*tenant.VerifierAgent
		V *string `json:"v"`
	}
	show := func(a *tenant.VerifierAgent) any {
		if a == nil || !m.o.ShowSecrets || a.Record == nil {
			return a
		}
		w := withV{VerifierAgent: a}
		if v := a.Record.V; v != nil {
			text := string(*v)
			w.V = &text
		}
		return w
	}
	switch r := result.(type) {
	case *tenant.VerifierAgent:
		return show(r)
	case *tenant.StatusResult:
		return struct {
			*tenant.StatusResult
			Verifier any `json:"verifier"`
		}{r, show(r.Verifier)}
	case *tenant.AgentStatus:
		return struct {
			*tenant.AgentStatus
			Verifier any `json:"verifier"`
		}{r, show(r.Verifier)}
	case *tenant.BulkResult:
		list := make([]any, len(r.Agents))
		for i, a := range r.Agents {
			list[i] = show(a)
		}
		return map[string]any{"agents": list}
	}
	return result
}

// tenantNames are the names in a result of package tenant.
func tenantNames(result any) ([]string, bool) {
	switch r := result.(type) {
	case *tenant.AgentList:
		return r.IDs, true
	case *tenant.BulkResult:
		names := make([]string, 0, len(r.Agents))
		for _, a := range r.Agents {
			names = append(names, a.ID)
		}
		return names, true
	case *tenant.FleetResult:
		names := make([]string, 0, len(r.Agents))
		for i := range r.Agents {
			names = append(names, r.Agents[i].ID)
		}
		return names, true
	case *tenant.AgentStatus:
		return []string{r.ID}, true
	case *tenant.WaitResult:
		return []string{r.ID}, true
	case *tenant.PolicyResult:
		if r.Verb == tenant.PolicyList {
			return r.Names, true
		}
		return []string{r.Name}, true
	case *tenant.VerifierAgent:
		return []string{r.ID}, true
	case *tenant.RegistrarAgent:
		return []string{r.ID}, true
	case *tenant.StatusResult:
		return []string{r.ID}, true
	case *tenant.AddResult:
		return []string{r.ID}, true
	case *tenant.DeleteResult:
		return []string{r.ID}, true
	case *tenant.RegistrarDeleteResult:
		return []string{r.ID}, true
	case *tenant.SwitchResult:
		return []string{r.ID}, true
	}
	return nil, false
}

// tenantScreen is a result of package tenant as a person reads it.
func (m *Modern) tenantScreen(verb string, result any) (Screen, bool) {
	switch r := result.(type) {
	case *tenant.AgentList:
		t := Table{Header: []string{"ID"}, Empty: "no agents"}
		for _, id := range r.IDs {
			t.Rows = append(t.Rows, []string{Safe(id)})
		}
		return Screen{{Table: &t}}, true
	case *tenant.BulkResult:
		return m.bulkScreen(r), true
	case *tenant.FleetResult:
		return m.fleetScreen(r), true
	case *tenant.AgentStatus:
		return m.agentScreen(r), true
	case *tenant.WaitResult:
		return Screen{{Text: waitText(r)}}, true
	case *tenant.PolicyResult:
		return policyScreen(r), true
	case *tenant.VerifierAgent:
		return Screen{m.verifierSection(r)}, true
	case *tenant.RegistrarAgent:
		return Screen{m.registrarSection(r, nil)}, true
	case *tenant.StatusResult:
		screen := Screen{}
		if r.Verifier != nil { // what people ask for comes first
			screen = append(screen, m.verifierSection(r.Verifier))
		}
		if r.Registrar != nil {
			screen = append(screen, m.registrarSection(r.Registrar, r.Verifier))
		}
		return screen, true
	case *tenant.AddResult:
		return Screen{{Text: addText(r)}}, true
	case *tenant.DeleteResult:
		text := "agent " + r.ID + " is no longer attested"
		if r.Absent {
			text = "agent " + r.ID + " was not enrolled; nothing to delete"
		}
		return Screen{{Text: text}}, true
	case *tenant.RegistrarDeleteResult:
		return Screen{{Text: "the registrar has forgotten agent " + r.ID}}, true
	case *tenant.SwitchResult:
		return Screen{{Text: switchText(verb, r)}}, true
	}
	return nil, false
}

func addText(r *tenant.AddResult) string {
	verb := "is enrolled"
	if r.Replaced {
		verb = "is enrolled anew"
	}
	text := fmt.Sprintf("agent %s %s with the verifier %s", r.ID, verb, r.Verifier)
	switch {
	case r.KeyVerified:
		text += "; it has decrypted its payload's key"
	case r.Payload:
		text += "; its payload is delivered, and opens once it is attested"
	}
	if r.Attestations > 0 {
		text += "; " + plural(r.Attestations, "quote") + " accepted"
	}
	return text
}

func switchText(verb string, r *tenant.SwitchResult) string {
	switch {
	case verb == "stop" && r.Push:
		return "agent " + r.ID + " is marked as stopped; in the push model it goes on attesting itself until keylime_tenant delete " + r.ID
	case verb == "stop":
		return "agent " + r.ID + " is no longer attested; its enrolment is kept"
	case r.Push && r.BeforeStatus == "FAIL":
		return "agent " + r.ID + " may attest itself again, but the verifier goes on saying FAIL until it is enrolled anew: " + tenant.Anew(r.ID, true)
	case r.Push:
		return "agent " + r.ID + " is no longer taken for late, and counts as soon as it attests itself"
	}
	if r.Before != "" {
		return fmt.Sprintf("agent %s is attested anew; its state was %s", r.ID, Safe(r.Before))
	}
	return "agent " + r.ID + " is attested anew"
}

func (m *Modern) bulkScreen(r *tenant.BulkResult) Screen {
	t := Table{Header: []string{"ID", "HEALTH", "STATE", "QUOTES", "LAST GOOD", "ADDRESS"}, Empty: "no agents",
		Columns: []Column{{Min: 8, Middle: true}, {}, {Drop: 2}, {Drop: 3}, {Drop: 4}, {Drop: 1}}}
	for _, a := range r.Agents {
		health := string(a.Health)
		t.Rows = append(t.Rows, []string{Safe(a.ID), m.out.tone(healthTone(a.Health), health), stateWord(a),
			fmt.Sprint(a.AttestationCount), m.age(a.LastSuccessfulAttestation), endpoint(a.IP, a.Port)})
	}
	return Screen{{Table: &t}}
}

func policyScreen(r *tenant.PolicyResult) Screen {
	switch r.Verb {
	case tenant.PolicyList:
		t := Table{Header: []string{"NAME"}, Empty: "no policies"}
		for _, name := range r.Names {
			t.Rows = append(t.Rows, []string{Safe(name)})
		}
		return Screen{{Table: &t}}
	case tenant.PolicyShow:
		var b bytes.Buffer
		if json.Indent(&b, r.Policy, "", "  ") != nil {
			return Screen{{Text: Safe(string(r.Policy))}}
		}
		return Screen{{Text: b.String()}}
	case tenant.PolicyDelete:
		return Screen{{Text: fmt.Sprintf("%s %s is deleted", r.Kind, Safe(r.Name))}}
	case tenant.PolicyUpdate:
		return Screen{{Text: fmt.Sprintf("%s %s is replaced", r.Kind, Safe(r.Name))}}
	}
	return Screen{{Text: fmt.Sprintf("%s %s is stored", r.Kind, Safe(r.Name))}}
}

// pushState stands for the state of an agent that nobody asks.
const pushState = "(push model)"

// stateWord is the verifier's word for the state of an agent.
func stateWord(a *tenant.VerifierAgent) string {
	switch {
	case a.State == "", a.Push && a.State == "Get Quote":
		return pushState
	case a.Push:
		return Safe(a.State) + " " + pushState
	}
	return Safe(a.State)
}

// endpoint is an address that a server may not know.
func endpoint(ip *string, port *int) string {
	switch {
	case ip == nil || *ip == "":
		return "-"
	case port == nil:
		return Safe(*ip)
	}
	return Safe(address(*ip, *port))
}

func words(list []string) string { return strings.Join(list, ", ") }

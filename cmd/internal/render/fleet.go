package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/tenant"
)

// SchemaLine is the schema of a [HealthLine], a line of -o jsonl about one agent.
const SchemaLine = "keylime_tenant/agent-health/v1"

// HealthLine is the health of one agent as a line of -o jsonl.
type HealthLine struct {
	Schema string `json:"schema"`
	tenant.AgentHealth
}

// fleetScreen is the joined view of both servers as a table.
func (m *Modern) fleetScreen(f *tenant.FleetResult) Screen {
	t := Table{Header: []string{"ID", "HEALTH", "QUOTES", "LAST GOOD", "REASON"}, Empty: "no agents",
		Columns: []Column{{Min: 8, Middle: true}, {}, {Drop: 1}, {Drop: 2}, {Min: 12, Drop: 3}}}
	wide := m.o.Format == FormatWide
	if wide {
		t.Header = append(t.Header[:4:4], "MODEL", "STATE", "VERIFIER SAYS", "REGISTERED", "ENROLLED", "ADDRESS", "VERIFIER", "LAST FAILURE", "REASON")
		t.Columns = nil
	}
	for i := range f.Agents {
		a := &f.Agents[i]
		row := []string{Safe(a.ID), m.out.tone(healthTone(a.Health), string(a.Health)), quotesOf(a), AgeOf(a)}
		if wide {
			row = append(row, modelOf(a), orDash(Safe(a.State)), saysOf(a), yesNo(a.Registered), yesNo(a.Enrolled), endpoint(a.IP, a.Port), orDash(Safe(a.VerifierID)), failureOf(a))
		}
		t.Rows = append(t.Rows, append(row, reasonOf(a)))
	}
	return Screen{{Table: &t}}
}

// quotesOf is how many quotes of an agent were accepted.
func quotesOf(a *tenant.AgentHealth) string {
	if a.Enrolled == nil || !*a.Enrolled {
		return "-"
	}
	return fmt.Sprint(a.AttestationCount)
}

// AgeOf says how long ago the last good quote of an agent was: "never" for one
// that is enrolled and "-" for one that is not.
func AgeOf(a *tenant.AgentHealth) string {
	switch {
	case a.Age != nil && *a.Age < 0:
		return "in the future"
	case a.Age != nil:
		return Age(time.Duration(*a.Age) * time.Second)
	case a.Enrolled == nil || !*a.Enrolled:
		return "-"
	}
	return "never"
}

// reasonOf is why an agent is as it is; for one that is well there is nothing
// to explain, unless its clock is doubtful.
func reasonOf(a *tenant.AgentHealth) string {
	if a.Health == tenant.HealthHealthy && !(a.Age != nil && *a.Age < 0) {
		return ""
	}
	return Safe(a.Reason)
}

func modelOf(a *tenant.AgentHealth) string {
	switch {
	case a.Enrolled == nil || !*a.Enrolled:
		return "-"
	case a.Push:
		return "push"
	}
	return "pull"
}

// saysOf is the verifier's own judgement, without the PASS that it gives to
// agents of which it has accepted nothing.
func saysOf(a *tenant.AgentHealth) string {
	if a.AttestationStatus == "PASS" && a.AttestationCount == 0 {
		return "-"
	}
	return orDash(Safe(a.AttestationStatus))
}

func failureOf(a *tenant.AgentHealth) string {
	if a.LastEventID == nil {
		return "-"
	}
	return orDash(Safe(*a.LastEventID))
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return "?"
	case *b:
		return "yes"
	}
	return "no"
}

// SummaryOf counts agents by their health in words, the worst first.
func SummaryOf(f *tenant.FleetResult) string {
	parts := []string{plural(len(f.Agents), "agent")}
	for _, h := range tenant.Healths() {
		if n := f.Summary[h.Health]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, h.Health))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return parts[0] + ": " + strings.Join(parts[1:], ", ")
}

// agentScreen is everything about one agent.
func (m *Modern) agentScreen(s *tenant.AgentStatus) Screen {
	var screen Screen
	// What the verifier's record does not say, or says without the registrar,
	// stands in front.
	if s.Verifier == nil || s.Health != s.Verifier.Health {
		screen = append(screen, Section{Title: "Agent " + Safe(s.ID),
			Fields: []Field{{"HEALTH", string(s.Health) + ": " + Safe(s.Reason), healthTone(s.Health)}}})
	}
	if s.Verifier != nil {
		section := m.verifierSection(s.Verifier)
		if s.Attestation != nil {
			section.Fields = append(section.Fields, m.attestationField(s.Attestation))
		}
		screen = append(screen, section)
	}
	if s.Registrar != nil {
		screen = append(screen, m.registrarSection(s.Registrar, s.Verifier))
	}
	return screen
}

// attestationField says what has become of the newest attestation of an agent of
// the push model.
func (m *Modern) attestationField(a *tenant.LastAttestation) Field {
	f := Field{Name: "LAST ATTESTATION"}
	if a.Unavailable != "" {
		f.Value = "not known: " + Safe(a.Unavailable)
		return f
	}
	at := a.Received
	if at == nil {
		at = a.Begun
	}
	when := ""
	if at != nil {
		when = ", " + m.age(at.Unix()) + " (" + at.UTC().Format("2006-01-02 15:04:05 UTC") + ")"
	}
	// The verifier counts from 0, as explain and its routes do.
	f.Value = fmt.Sprintf("number %d: %s%s", a.Number-1, Safe(a.Words()), when)
	switch a.Evaluation {
	case "pass":
		f.Tone = Good
	case "fail":
		f.Tone = Bad
	}
	return f
}

// waitText says that a wait is over.
func waitText(r *tenant.WaitResult) string {
	waited := Duration(time.Duration(r.Waited * float64(time.Second)).Round(100 * time.Millisecond))
	if r.For == tenant.WaitAbsent {
		return fmt.Sprintf("agent %s is not enrolled with the verifier (after %s)", Safe(r.ID), waited)
	}
	return fmt.Sprintf("agent %s is %s: %s (after %s)", Safe(r.ID), r.Health, Safe(r.Reason), waited)
}

// waitingText says what is waited for.
func waitingText(e tenant.WaitingFor) string {
	goal := string(e.For)
	return fmt.Sprintf("waiting until agent %s is %s; it is %s: %s", e.ID, goal, e.Health, Safe(e.Reason))
}

package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The components of event ids (PROTOCOL.md 13); the first is misspelt on the
// wire.
const (
	ofQuote    = "qoute_validation."
	ofPCR      = "pcr_validation."
	ofBoot     = "measured_boot."
	ofVerifier = "internal.verifier."
	// ofDefault events are those of the evidence endpoint.
	ofDefault = "default."
)

// severityEmergency is the level of every event under the default
// severity_policy (".*" is "emergency"), with its label.
const (
	severityEmergency = 6
	labelEmergency    = "emergency"
)

// event is one failure of an attestation.
type event struct {
	ID string
	// Context is marshalled as the event's context.
	Context any
}

// message is the context of an event that has nothing but words.
type message struct {
	Message string `json:"message"`
	Error   string `json:"error,omitempty"`
}

// compared is the context of an event about a value.
type compared struct {
	Context  string `json:"context,omitempty"`
	Got      string `json:"got"`
	Expected any    `json:"expected"`
}

// contextJSON is the context as JSON text.
func (e event) contextJSON() json.RawMessage {
	text, err := json.Marshal(e.Context)
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return text
}

// internal says that the event is the verifier's own failure, not the agent's.
func (e event) internal() bool { return strings.HasPrefix(e.ID, ofVerifier) }

func internalEvent(name string, err error) event {
	return event{ofVerifier + name, message{Message: err.Error()}}
}

// ofQuoteError is the event for a quote that tenant/quote refuses.
func ofQuoteError(err error) event {
	var refused *quote.VerificationError
	if !errors.As(err, &refused) {
		return internalEvent("exception", err)
	}
	switch id := refused.Check.EventID(); {
	case id == ofVerifier+"exception":
		return internalEvent("exception", err)
	case refused.Check == quote.CheckPCR16Binding:
		return event{id, compared{Got: refused.Found, Expected: refused.Expected}}
	default:
		return event{id, message{Message: "Quote data validation", Error: err.Error()}}
	}
}

// ofFindings turns the findings of a policy's evaluation into events; fallback
// is the id of one that has none.
func ofFindings(findings []policy.Finding, fallback string) []event {
	var events []event
	for _, f := range findings {
		id := f.EventID
		if id == "" {
			id = fallback
		}
		events = append(events, event{id, findingContext{Message: f.Message, Got: f.Found, Expected: f.Expected, Where: f.Where}})
	}
	return events
}

// findingContext is the context of an event that a policy's evaluation made.
type findingContext struct {
	Message  string   `json:"message"`
	Where    string   `json:"where,omitempty"`
	Got      []string `json:"got,omitempty"`
	Expected []string `json:"expected,omitempty"`
}

// words says the events in one line, for the log.
func words(events []event) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, fmt.Sprintf("%s %.300s", e.ID, e.contextJSON()))
	}
	return strings.Join(parts, "; ")
}

package verifier

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// State is the state in which a verifier has an agent (PROTOCOL.md 4.9).
type State int

// The states of an agent.
const (
	// NoState is the state of an agent that attests of its own accord: null.
	NoState           State = -1
	Registered        State = 0
	Start             State = 1
	Saved             State = 2
	GetQuote          State = 3
	GetQuoteRetry     State = 4
	ProvideV          State = 5
	ProvideVRetry     State = 6
	Failed            State = 7
	Terminated        State = 8
	InvalidQuote      State = 9
	TenantQuoteFailed State = 10
)

// absent is what a record holds that says nothing of a state, not even null.
const absent State = math.MinInt

// String is the text that the Python tenant shows; "" for NoState.
func (s State) String() string {
	switch s {
	case NoState:
		return ""
	case Registered:
		return "Registered"
	case Start:
		return "Start"
	case Saved:
		return "Saved"
	case GetQuote:
		return "Get Quote"
	case GetQuoteRetry:
		return "Get Quote (retry)"
	case ProvideV:
		return "Provide V"
	case ProvideVRetry:
		return "Provide V (retry)"
	case Failed:
		return "Failed"
	case Terminated:
		return "Terminated"
	case InvalidQuote:
		return "Invalid Quote"
	case TenantQuoteFailed:
		return "Tenant Quote Failed"
	}
	return "unknown state " + strconv.Itoa(int(s))
}

// MarshalJSON writes the number, and null for NoState.
func (s State) MarshalJSON() ([]byte, error) {
	if s == NoState {
		return []byte("null"), nil
	}
	return []byte(strconv.Itoa(int(s))), nil
}

// UnmarshalJSON reads the number of a state, or null. Numbers not known here
// are kept.
func (s *State) UnmarshalJSON(text []byte) error {
	if text = bytes.TrimSpace(text); string(text) == "null" {
		*s = NoState
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return fmt.Errorf("operational_state is not the number of a state")
	}
	*s = State(n)
	return nil
}

package tenant

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/client"
)

// Kinds of failure that a caller may ask for with errors.Is.
var (
	// ErrNotFound: the agent or policy asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it exists already, or is in use.
	ErrConflict = errors.New("conflict")
	// ErrTimedOut: what was waited for did not come in time.
	ErrTimedOut = errors.New("timed out")
	// ErrPartial: some parts of a bulk run failed.
	ErrPartial = errors.New("partly failed")
)

// InvalidKind names what is wrong with an input.
type InvalidKind string

// The inputs that can be refused before the first packet.
const (
	InvalidAgentID       InvalidKind = "agent-id"
	InvalidPolicyName    InvalidKind = "policy-name"
	MissingPolicyName    InvalidKind = "policy-name-missing"
	MissingPolicy        InvalidKind = "policy-missing"
	InvalidFile          InvalidKind = "file"
	InvalidJSON          InvalidKind = "json"
	InvalidRuntimePolicy InvalidKind = "runtime-policy"
	InvalidMBPolicy      InvalidKind = "mb-policy"
	InvalidChecksum      InvalidKind = "checksum"
	InvalidSignature     InvalidKind = "signature"
	InvalidExclude       InvalidKind = "exclude"
	InvalidTPMPolicy     InvalidKind = "tpm-policy"
	InvalidPCRNumber     InvalidKind = "tpm-policy-pcr"
	PCROwned             InvalidKind = "tpm-policy-owned"
	InvalidPayload       InvalidKind = "payload"
	PayloadTooLarge      InvalidKind = "payload-size"
	PayloadSources       InvalidKind = "payload-sources"
	VerifyNeedsPayload   InvalidKind = "verify-payload"
	PayloadInPush        InvalidKind = "payload-push"
	InvalidVersion       InvalidKind = "api-version"
	InvalidKeyFile       InvalidKind = "key-file"
	NoContactAddress     InvalidKind = "no-address"
	PlainAgentRefused    InvalidKind = "agent-without-tls"
	PushVerifier         InvalidKind = "push-verifier"
)

// InvalidError is an input that was refused before anything was sent.
type InvalidError struct {
	Kind InvalidKind
	// Object names the input: "payload f.zip", "tpm_policy".
	Object string
	// Cause says what is wrong with it, in words.
	Cause string
	// Hint says what to do; may be empty.
	Hint string
	// Classic is the text the Python tenant uses for this mistake where scripts
	// may look for it; empty means that ours will do.
	Classic string
	Err     error
}

func (e *InvalidError) Error() string {
	text := e.Cause
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	if e.Object == "" {
		return text
	}
	return e.Object + ": " + text
}

func (e *InvalidError) Unwrap() error { return e.Err }

// Step names the part of a use case that failed.
type Step string

// The steps of the use cases.
const (
	StepRegistrar    Step = "asking the registrar"
	StepAgentVersion Step = "asking the agent for its versions"
	StepQuote        Step = "asking the agent for a quote"
	StepVerifyQuote  Step = "verifying the quote"
	StepVerifyEK     Step = "verifying the EK"
	StepPostU        Step = "giving the agent its share of the key"
	StepEnrol        Step = "enrolling with the verifier"
	StepWaitAdded    Step = "waiting until the verifier shows the agent"
	StepVerifyKey    Step = "checking that the agent has derived the key"
	StepWait         Step = "waiting for the first attestation"
	StepStatus       Step = "asking the verifier"
	StepDelete       Step = "deleting from the verifier"
	StepWaitDeleted  Step = "waiting until the verifier has deleted the agent"
	StepReactivate   Step = "reactivating"
	StepStop         Step = "stopping"
	StepRegDelete    Step = "deleting from the registrar"
	StepList         Step = "listing"
	StepPolicy       Step = "policy"
	StepRestore      Step = "putting the old enrolment back"
)

// StepError is a failure of one step of a use case on one object.
type StepError struct {
	Step Step
	// ID is the agent or policy concerned.
	ID string
	// Nonce is the nonce of the quote, for StepVerifyQuote and StepVerifyEK.
	Nonce string
	// Hint says what to do; may be empty.
	Hint string
	// RegCount is how often the agent has been registered, when known.
	RegCount int
	// Tries is how often it was tried, where that matters.
	Tries int
	Err   error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s: %v: %v", e.ID, string(e.Step), e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// NotFoundError: a server has no such agent or policy.
type NotFoundError struct {
	// What is "agent", "runtime policy" or "measured-boot policy".
	What, Name string
	// Server is ServerRegistrar or ServerVerifier.
	Server string
	Hint   string
	// Err is the server's own answer; nil when none is kept.
	Err error
}

func (e *NotFoundError) Error() string {
	verb := "enrolled with the verifier"
	switch {
	case e.What != "agent":
		verb = "stored on the " + e.Server
	case e.Server == ServerRegistrar:
		verb = "known to the registrar"
	}
	text := fmt.Sprintf("%s %s is not %s", e.What, e.Name, verb)
	if c := serverText(e.Err); c != "" {
		text += " (it says " + quoted(c) + ")"
	}
	return text
}

// Is makes errors.Is(err, ErrNotFound) hold.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

func (e *NotFoundError) Unwrap() error { return e.Err }

// ConflictError: a server refuses because of what it holds already.
type ConflictError struct {
	// What is "agent", "runtime policy" or "measured-boot policy".
	What, Name string
	// Reason is the server's own text, or what stands in the way if the server
	// was not asked to do anything (Err is nil then).
	Reason string
	Hint   string
	Err    error
}

func (e *ConflictError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s %s %s", e.What, e.Name, e.Reason)
	}
	return fmt.Sprintf("%s %s: the verifier refuses: %s", e.What, e.Name, quoted(e.Reason))
}

// Is makes errors.Is(err, ErrConflict) hold.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

func (e *ConflictError) Unwrap() error { return e.Err }

// RefusedError: attestation was refused, here or by the verifier.
type RefusedError struct {
	ID string
	// State is the verifier's state of the agent, "" if this side refused.
	State string
	// EventID is the verifier's last_event_id.
	EventID string
	Cause   string
	Hint    string
	Err     error
}

func (e *RefusedError) Error() string {
	text := "agent " + e.ID + ": " + e.Cause
	if e.State != "" {
		text = fmt.Sprintf("agent %s is in state %q: %s", e.ID, e.State, e.Cause)
	}
	return text
}

func (e *RefusedError) Unwrap() error { return e.Err }

// WaitError: what was waited for did not come within the limits.
type WaitError struct {
	ID    string
	Cause string
	Hint  string
	Tries int
	// Received is the length of the last answer, for StepVerifyKey.
	Received int
	Err      error
}

func (e *WaitError) Error() string {
	if e.Err != nil {
		return e.Cause + ": " + e.Err.Error()
	}
	return e.Cause
}

// Is makes errors.Is(err, ErrTimedOut) hold.
func (e *WaitError) Is(target error) bool { return target == ErrTimedOut }

func (e *WaitError) Unwrap() error { return e.Err }

// Leftover is something that a failed use case could not take back.
type Leftover struct {
	// What is left, in words.
	What string `json:"what"`
	// Command removes it; nil if no command does.
	Command []string `json:"command,omitempty"`
}

// UndoneError is a failure after which what had been done was undone, as far
// as Left does not say otherwise. After a key that was not derived nothing is
// undone: attestation is stopped, and Left says so (see [Tenant.Add]).
type UndoneError struct {
	Err error
	// Undone lists what was taken back, in words.
	Undone []string
	// Left lists what was not.
	Left []Leftover
}

func (e *UndoneError) Error() string { return e.Err.Error() }
func (e *UndoneError) Unwrap() error { return e.Err }

// quoteLimit is how much of a server's text an error repeats, in bytes.
const quoteLimit = 300

// quoted makes text of others fit for a terminal: quoted, and of limited length.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > quoteLimit {
		text = text[:quoteLimit] + "..."
	}
	return strconv.Quote(text)
}

// printable leaves plain text as it is and quotes everything else.
func printable(text string) string {
	if q := quoted(text); q != `"`+text+`"` {
		return q
	}
	return text
}

// serverText is the status text of the reply inside an error, "" if none.
func serverText(err error) string {
	var e *client.Error
	if errors.As(err, &e) && e.Reply != nil {
		return e.Reply.Status
	}
	return ""
}

// replyOf is the reply inside an error, nil if there is none.
func replyOf(err error) *client.Reply {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Reply
	}
	return nil
}

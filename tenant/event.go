package tenant

import (
	"encoding/json"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The servers that a [ServerVersion] can name.
const (
	ServerRegistrar = "registrar"
	ServerVerifier  = "verifier"
)

// Event is something that a use case tells while it runs, in the order in
// which the Python tenant writes its log records (TENANT-CLI.md A.12), so that
// the same records can be written from them. No event holds a secret that its
// own type does not redact; raw records of the verifier hold V, which is for
// the renderer to hide.
type Event interface{ event() }

// ServerVersion: the version of the protocol spoken with a server is settled.
type ServerVersion struct {
	Server      string
	Negotiation client.Negotiation
}

// AgentVersion: the version spoken with an agent is settled.
type AgentVersion struct {
	ID string
	// Negotiation is nil when the agent was not asked: Push, or a version was
	// given beforehand.
	Negotiation *client.Negotiation
	// Version is what is spoken and what the verifier is told.
	Version string
	// Push says that the agent is not contacted at all.
	Push bool
	Host string
	Port int
}

// RegistrarRecord: the registrar holds an active record of the agent.
type RegistrarRecord struct {
	ID       string
	RegCount int
	Host     string
	Port     int
}

// PolicyMask: the registers that the verifier will ask for are known.
type PolicyMask struct {
	// FromPolicy are the registers that tpm_policy names, Final all of them.
	FromPolicy, Final uint32
	// MeasuredBoot says that a measured-boot policy file has widened the mask.
	MeasuredBoot bool
}

// PlainAgent: the agent is reached without TLS.
type PlainAgent struct {
	ID   string
	Host string
	Port int
	// Disabled: the agent's owner has switched TLS off ("disabled" in the
	// registrar); otherwise the record holds no certificate at all, or
	// [Tenant.PlainAgents] is set.
	Disabled bool
	// Connecting: the quote is about to be asked for. Every plain agent is told
	// of so; a Disabled one once more before, when its record has been read.
	Connecting bool
}

// QuoteRetry: the agent did not answer; it will be asked again after Delay
// (here and in the other retries: without its jitter).
type QuoteRetry struct {
	ID       string
	Try, Max int
	Delay    time.Duration
	Err      error
}

// QuoteReceived: the agent has answered with a quote, not yet checked.
type QuoteReceived struct {
	ID    string
	Reply *client.Reply
}

// QuoteVerified: every check of tenant/quote has passed.
type QuoteVerified struct {
	ID     string
	Quote  quote.Verified
	Policy struct{ IMA, MeasuredBoot bool }
}

// EKScriptStarted: the operator's script is asked about the EK.
type EKScriptStarted struct{ ID, Path string }

// EKScriptOutput: what the operator's script wrote, on both streams.
type EKScriptOutput struct {
	ID     string
	Output []byte
}

// EKUnchecked: neither certificate nor script vouches for the TPM.
type EKUnchecked struct{ ID string }

// EKSkipped: a file of the certificate store could not be used.
type EKSkipped struct {
	Path string
	Err  error
}

// EKPinFound: the EK is in the list of pinned ones.
type EKPinFound struct {
	ID, Path string
	Pin      ek.Pin
}

// EKVerified: the EK certificate leads to a certificate of the store.
type EKVerified struct{ ID, Issuer string }

// IdentityProven: quote and EK are good; secrets may leave now.
type IdentityProven struct{ ID string }

// UDelivered: the agent has taken its share of the key and the payload.
type UDelivered struct{ ID string }

// Enrolled: the verifier has taken the agent (its POST has been answered).
type Enrolled struct{ ID string }

// VerifierStatus: the verifier's record of an agent has been read.
type VerifierStatus struct {
	ID    string
	Agent *verifier.Agent
	Reply *client.Reply
}

// NotEnrolled: the verifier has no record of the agent.
type NotEnrolled struct{ ID string }

// AddRetry: the verifier does not show the new agent yet.
type AddRetry struct {
	ID       string
	Try, Max int
	Delay    time.Duration
	Err      error
}

// Added: the verifier shows the new agent.
type Added struct {
	ID    string
	Tries int
}

// KeyRetry: the agent cannot yet prove that it holds K.
type KeyRetry struct {
	ID       string
	Try, Max int
	// Received is the length of what it answered, 0 for no answer.
	Received int
	Delay    time.Duration
}

// KeyVerified: the agent has proven that it holds K.
type KeyVerified struct{ ID string }

// Stopped: the verifier no longer attests the agent, but keeps its record.
type Stopped struct{ ID string }

// DeleteStarted: the record that is about to be deleted; nil if it was not
// read. The Python tenant goes on speaking of the addresses of this record.
type DeleteStarted struct {
	ID    string
	Agent *verifier.Agent
}

// DeleteRetry: the verifier has accepted the deletion but not done it yet.
type DeleteRetry struct {
	ID       string
	Try, Max int
	Delay    time.Duration
}

// Deleted: the verifier no longer has the agent.
type Deleted struct {
	ID string
	// Polled says that the verifier answered 202 and was then asked Tries times.
	Polled bool
	Tries  int
	// Absent: there was nothing to delete; AtDelete: which the DELETE found out.
	Absent, AtDelete bool
}

// Reactivated: the verifier attests the agent again.
type Reactivated struct{ ID string }

// RegistrarStatus: the registrar's record was asked for and shown.
type RegistrarStatus struct {
	ID string
	// Raw are the results as received.
	Raw json.RawMessage
}

// RegistrarList: the registrar's list of agents.
type RegistrarList struct{ Reply *client.Reply }

// VerifierList: the verifier's list of agents.
type VerifierList struct{ Reply *client.Reply }

// VerifierBulk: the verifier's records of all agents.
type VerifierBulk struct {
	Agents []verifier.Agent
	Reply  *client.Reply
}

// NoAgents: the verifier answered the list with 404.
type NoAgents struct{}

// RegistrarDeleted: the registrar no longer has the agent; Absent: it had not.
type RegistrarDeleted struct {
	ID     string
	Absent bool
	Reply  *client.Reply
}

// PolicyAnswer: the answer of a verb about stored policies, good or bad.
type PolicyAnswer struct {
	Verb  PolicyVerb
	Kind  PolicyKind
	Name  string
	Reply *client.Reply
}

// Downloading: a policy or key is fetched from a URL.
type Downloading struct{ What, URL string }

// SignatureVerified: the DSSE signature of a policy, or the detached one of a
// key file (Key), is good.
type SignatureVerified struct {
	Name string
	Key  bool
}

// SignatureRefused: the signature of a policy (Envelope) or of a key file is
// not good; the error that follows says so too.
type SignatureRefused struct {
	Name     string
	Envelope bool
	Err      error
}

// LegacyConverted: a runtime policy was made of an old allowlist; Flat: one of
// lines of digest and path.
type LegacyConverted struct {
	Name string
	Flat bool
}

// Waiting: the agent is enrolled and watched until it is attested.
type Waiting struct {
	ID    string
	State string
	Count int
}

// Attested: the verifier has accepted a quote of the agent.
type Attested struct {
	ID    string
	Count int
	After time.Duration
}

// Undoing: a failure after the first change; what was done is taken back now,
// which may take as long as [Tenant.UndoLimit].
type Undoing struct {
	ID  string
	Err error
}

// Undone: one step was taken back after a failure.
type Undone struct{ What string }

// Warning tells of something that is allowed but deserves attention.
type Warning struct {
	Kind WarningKind
	// ID is the agent concerned; may be empty.
	ID string
	// Object names the option or input concerned; may be empty. A
	// WarnDeprecated names the option: "--allowlist", "--exclude",
	// "--signature-verification-key".
	Object string
	// Text is one sentence without a period: object and cause.
	Text string
	// Hint says what to do, in words or as a command; may be empty.
	Hint string
}

// WarningKind names a warning.
type WarningKind string

// The warnings of the use cases.
const (
	WarnRegCount       WarningKind = "regcount"        // registered more than once: another TPM, or an impostor
	WarnPushPayload    WarningKind = "push-payload"    // nothing of a payload is delivered in the push model
	WarnPushNothing    WarningKind = "push-nothing"    // without a policy an agent of the push model is never attested
	WarnPCROwner       WarningKind = "pcr-owner"       // a tpm_policy register belongs to another check
	WarnUnsatisfiable  WarningKind = "unsatisfiable"   // no accepted bank can satisfy a tpm_policy entry
	WarnExcludeAlone   WarningKind = "exclude-alone"   // excludes without a runtime policy have no effect
	WarnExcludeComment WarningKind = "exclude-comment" // '#' lines would have been patterns upstream
	WarnSchema         WarningKind = "schema"          // the verifier will refuse this runtime policy
	WarnPolicyOpen     WarningKind = "policy-open"     // what a policy leaves open
	WarnEmptyPayload   WarningKind = "payload-empty"   // the payload is an empty file
	WarnPayload        WarningKind = "payload"         // what an agent will do with it may surprise
	WarnEnforcement    WarningKind = "enforcement"     // whether it is enforced, the API does not tell
	WarnIgnoredPayload WarningKind = "payload-ignored" // -p without -k, or a key file that holds no keys
	WarnLeftPolicy     WarningKind = "left-policy"     // a failed POST may leave its policy on the verifier
	WarnStopped        WarningKind = "stopped"         // reactivate after stop does nothing in pull mode
	WarnDefaultID      WarningKind = "default-id"      // the default agent id is used
	WarnDeprecated     WarningKind = "deprecated"      // an option has a successor
	WarnEKCompat       WarningKind = "ek-compat"       // EK certificates are checked as leniently as upstream
	WarnRestored       WarningKind = "restored"        // an old enrolment was put back
	WarnIncomplete     WarningKind = "restore-partial" // not all of it could be put back
)

func (ServerVersion) event()     {}
func (AgentVersion) event()      {}
func (RegistrarRecord) event()   {}
func (PolicyMask) event()        {}
func (PlainAgent) event()        {}
func (QuoteRetry) event()        {}
func (QuoteReceived) event()     {}
func (QuoteVerified) event()     {}
func (EKScriptStarted) event()   {}
func (EKScriptOutput) event()    {}
func (EKUnchecked) event()       {}
func (EKSkipped) event()         {}
func (EKPinFound) event()        {}
func (EKVerified) event()        {}
func (IdentityProven) event()    {}
func (UDelivered) event()        {}
func (Enrolled) event()          {}
func (VerifierStatus) event()    {}
func (NotEnrolled) event()       {}
func (AddRetry) event()          {}
func (Added) event()             {}
func (KeyRetry) event()          {}
func (KeyVerified) event()       {}
func (Stopped) event()           {}
func (DeleteStarted) event()     {}
func (DeleteRetry) event()       {}
func (Deleted) event()           {}
func (Reactivated) event()       {}
func (RegistrarStatus) event()   {}
func (RegistrarList) event()     {}
func (VerifierList) event()      {}
func (VerifierBulk) event()      {}
func (NoAgents) event()          {}
func (RegistrarDeleted) event()  {}
func (PolicyAnswer) event()      {}
func (Downloading) event()       {}
func (SignatureVerified) event() {}
func (SignatureRefused) event()  {}
func (LegacyConverted) event()   {}
func (Waiting) event()           {}
func (Attested) event()          {}
func (Undoing) event()           {}
func (Undone) event()            {}
func (Warning) event()           {}

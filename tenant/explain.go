package tenant

import (
	"context"
	"path/filepath"
	"time"

	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// SchemaExplain is the schema of an [Explanation].
const SchemaExplain = "keylime_tenant/explain/v1"

// The names of the files of an [Explanation].
const (
	FileBootLog       = "binary_bios_measurements"
	FileIMAList       = "ascii_runtime_measurements"
	FileMBPolicy      = "mb-policy.json"
	FileRuntimePolicy = "runtime-policy.json"
	FileQuote         = "quote.json"
	FileAK            = "ak.b64"
	// fileNewMBPolicy is what commands call a policy that they make.
	fileNewMBPolicy = "new-mb-policy.json"
)

// ExplainRequest asks why the attestation of an agent fails.
type ExplainRequest struct {
	ID string
	// MBPolicy and RuntimePolicy are judged by instead of what the verifier
	// holds; nil for that.
	MBPolicy, RuntimePolicy *Input
	// Keyring checks file signatures in the IMA list instead of the keys of the
	// runtime policy; nil for those.
	Keyring *runtime.Keyring
	// Evidence was taken from the machine in another way; with it the agent is
	// not asked.
	Evidence *MachineEvidence
	// Dir is the directory in which the commands of the answer look for
	// evidence and policies that are in no file yet.
	Dir string
}

// MachineEvidence is what a machine has shown at some time.
type MachineEvidence struct {
	// Origin names where it comes from, for messages.
	Origin string
	// BootLog is the boot log, IMAList the IMA list in its ASCII form; nil for
	// none. BootLogFile and IMAListFile are their paths.
	BootLog, IMAList         []byte
	BootLogFile, IMAListFile string
	// Quote proves them; nil if there is none: then they are claims.
	Quote *SavedQuote
}

// SavedQuote is a quote as an agent has sent it, with the nonce that it was
// asked with: the content of [FileQuote].
type SavedQuote struct {
	agent.Quote
	Nonce string `json:"nonce"`
	// Compressed says that it has the form of API 1.0.
	Compressed bool `json:"compressed,omitempty"`
}

// Answer is what an explanation comes to, in a word.
type Answer string

// The answers.
const (
	// AnswerHealthy: the verifier attests it, and nothing was found.
	AnswerHealthy Answer = "healthy"
	// AnswerPending: the verifier has accepted no quote yet, and nothing was
	// found that would be refused.
	AnswerPending Answer = "pending"
	// AnswerRefused: what it shows now is refused. Whether that is what the
	// verifier has seen, the event says.
	AnswerRefused Answer = "refused"
	// AnswerRecovered: the verifier has seen a failure, and what it shows now
	// would be accepted.
	AnswerRecovered Answer = "recovered"
	// AnswerUndetermined: it has failed, and why could not be judged.
	AnswerUndetermined Answer = "undetermined"
	// AnswerUnreachable: neither the verifier nor this tenant reaches it.
	AnswerUnreachable Answer = "unreachable"
	// AnswerStale: no good quote for too long, though nothing was found.
	AnswerStale Answer = "stale"
	// AnswerStopped: the verifier was told to stop.
	AnswerStopped Answer = "stopped"
	// AnswerEnding: its enrolment is about to be removed.
	AnswerEnding Answer = "ending"
)

// Explanation says how the attestation of an agent is, and why.
type Explanation struct {
	Schema string    `json:"schema"`
	Time   time.Time `json:"time"`
	ID     string    `json:"agent_id"`
	Answer Answer    `json:"answer"`
	// Summary is the answer in a sentence without a period.
	Summary string `json:"summary"`
	// Event is the last failure that the verifier tells of, nil if there is none.
	Event *ExplainedEvent `json:"event"`
	// Findings are what is refused now; those that explain the event come first,
	// otherwise they have the order of a verifier (PROTOCOL.md 6.4).
	Findings []policy.Finding `json:"findings"`
	// Next is what to do, in order.
	Next []NextStep `json:"next"`
	// Checks are what was judged, and what was not.
	Checks []ExplainedCheck `json:"checks"`
	// Notes tell what could not be had, what may mislead, and what is open.
	Notes    []string          `json:"notes"`
	Evidence ExplainedEvidence `json:"evidence"`
	Policies []ExplainedPolicy `json:"policies"`
	// Verifier and Registrar are the records; the registrar's is nil if it does
	// not know the agent or could not be asked.
	Verifier  *VerifierAgent  `json:"verifier"`
	Registrar *RegistrarAgent `json:"registrar"`
	// Files are evidence and policies, to be kept if wanted.
	Files []EvidenceFile `json:"-"`
	// Unreachable is why the agent could not be asked, nil if it was or was not
	// to be.
	Unreachable error `json:"-"`
}

// ExplainedEvent is the last failure that the verifier tells of.
type ExplainedEvent struct {
	ID string `json:"id"`
	// Words say what it means.
	Words    string `json:"words"`
	Severity *int   `json:"severity"`
	// Check is the check that it belongs to, "" if unknown.
	Check string `json:"check,omitempty"`
	// Earlier says that the agent has been attested since.
	Earlier bool `json:"earlier"`
	// Explained says that a finding shows the same failure.
	Explained bool `json:"explained"`
}

// NextStep is something to do.
type NextStep struct {
	Text string `json:"text"`
	// Command does it; nil if no command does.
	Command []string `json:"command,omitempty"`
}

// The checks of an [Explanation], in their order.
const (
	PartAgent = "agent"                // it answers
	PartQuote = "quote"                // the quote is genuine
	PartTPM   = "tpm_policy"           // registers have the values demanded
	PartLog   = "boot log"             // the log can be read and leads to the registers
	PartBoot  = "measured-boot policy" // the boot is accepted
	PartFiles = "runtime policy"       // the IMA list leads to PCR 10, its files are accepted
)

// CheckOutcome is what came of a check.
type CheckOutcome string

// The outcomes of checks.
const (
	CheckPassed      CheckOutcome = "passed"
	CheckRefused     CheckOutcome = "refused"
	CheckNotJudged   CheckOutcome = "not judged"
	CheckNotDemanded CheckOutcome = "not demanded"
)

// ExplainedCheck is a check and what came of it.
type ExplainedCheck struct {
	Name    string       `json:"name"`
	Outcome CheckOutcome `json:"outcome"`
	// Detail says what was looked at, or why not.
	Detail string `json:"detail"`
	// Proven says that a verified quote stands behind what was judged; what is
	// not proven is what the machine, or a file, claims.
	Proven bool `json:"proven"`
}

// ExplainedEvidence says what was judged.
type ExplainedEvidence struct {
	// Source is the agent's address or the origin of files, "" if there was
	// nothing.
	Source string `json:"source,omitempty"`
	// Attestation is the one whose evidence was judged, in the push model.
	Attestation *ExplainedAttestation `json:"attestation,omitempty"`
	// Quote is "verified", "refused" or "none".
	Quote string `json:"quote"`
	// Bank and PCRs (hex digests) are those of a verified quote.
	Bank string            `json:"bank,omitempty"`
	PCRs map[string]string `json:"pcrs,omitempty"`
	// BootEvents counts the events of the boot log, IMALines the lines of the
	// IMA list; nil if there was none, or none that could be read.
	BootEvents *int `json:"boot_events"`
	IMALines   *int `json:"ima_lines"`
}

// PolicySource says where a policy comes from.
type PolicySource string

// The sources of a policy.
const (
	// PolicyNone: the agent is held against none.
	PolicyNone PolicySource = "none"
	// PolicyFile: the caller gave it.
	PolicyFile PolicySource = "file"
	// PolicyOwn: the verifier holds it under the agent's id.
	PolicyOwn PolicySource = "agent"
	// PolicyOnly: it is the only one that the verifier holds by name.
	PolicyOnly PolicySource = "only"
	// PolicyUnknown: there is one, but it could not be had.
	PolicyUnknown PolicySource = "unknown"
)

// ExplainedPolicy is a policy that the agent is held against.
type ExplainedPolicy struct {
	Kind   PolicyKind   `json:"kind"`
	Source PolicySource `json:"source"`
	// Name is its name on the verifier, or the file.
	Name string `json:"name,omitempty"`
	// Detail says the source in words.
	Detail string `json:"detail"`
}

// EvidenceFile is a file that a caller may want to keep.
type EvidenceFile struct {
	Name string
	Data []byte
}

// explainer is one call of Explain.
type explainer struct {
	t *Tenant
	r ExplainRequest
	x *Explanation

	agent  *verifier.Agent
	record *registrar.Agent
	event  string
	// mask are the registers that the verifier asks for, tpm the values that it
	// accepts.
	mask uint32
	tpm  map[int][]string
	// tpmErr says why the verifier's tpm_policy cannot be read.
	tpmErr error

	boot, files heldPolicy
	evidence    evidence
	// pushed is what the verifier has of an agent of the push model; nil if it was
	// not asked, or has nothing.
	pushed *attestedTo
	// past is what earlier records have shown; nil where there are none.
	past *replayedPast
	// log is the boot log, nil if there is none that can be read.
	log *eventlog.Log
}

// Explain says how the attestation of an agent is and, if it fails, why. It
// reads both records and the policies as far as the verifier shows them, asks
// the agent for a quote with a fresh nonce over the registers that the verifier
// asks for, verifies it with the AK that the registrar holds, and judges
// registers, boot log and IMA list as a verifier does (PROTOCOL.md 6.4), with
// all findings. Nothing of a quote that is refused is used. What could not be
// had is said in Checks and Notes, never guessed.
//
// It changes nothing, neither on the servers nor on the agent. The verifier's
// own evaluation can differ: it keeps the AK and the TLS certificate of the
// enrolment and the keys for file signatures, none of which it shows, and
// whether and when it judges boots is its configuration.
//
// Errors: *[InvalidError] for the request and the policies in it;
// *[NotFoundError] if the verifier does not know the agent; *[BothError] and
// *[StepError] if the verifier could not be asked.
func (t *Tenant) Explain(ctx context.Context, r ExplainRequest) (*Explanation, error) {
	e := &explainer{t: t, r: r}
	if err := e.checkPolicies(); err != nil {
		return nil, err
	}
	status, err := t.AgentStatus(ctx, r.ID, 0)
	switch {
	case status == nil:
		return nil, err
	case status.Verifier == nil && err != nil:
		return nil, err
	case status.Verifier == nil:
		return nil, &NotFoundError{What: "agent", Name: r.ID, Server: ServerVerifier, Hint: "keylime_tenant add " + r.ID + " enrols it"}
	}
	e.begin(status, err)
	e.findPolicies(ctx)
	e.gather(ctx)
	if err := interrupted(ctx); err != nil {
		return nil, &StepError{Step: StepExplain, ID: r.ID, Err: err}
	}
	if err := e.judge(ctx); err != nil {
		return nil, &StepError{Step: StepExplain, ID: r.ID, Err: err}
	}
	e.conclude()
	return e.x, nil
}

// StepExplain is the step of [Tenant.Explain] that judges.
const StepExplain Step = "explaining"

// begin takes up what the servers have said. registrarErr is the failure of a
// registrar that could not be asked.
func (e *explainer) begin(status *AgentStatus, registrarErr error) {
	e.agent = status.Verifier.Record
	e.event = eventID(e.agent)
	e.x = &Explanation{Schema: SchemaExplain, Time: status.Time, ID: status.ID, Findings: []policy.Finding{}, Next: []NextStep{}, Notes: []string{},
		Verifier: status.Verifier, Registrar: status.Registrar, Evidence: ExplainedEvidence{Quote: "none"}}
	switch {
	case status.Registrar != nil:
		e.record = status.Registrar.Record
		if n := e.record.RegCount; n > 1 {
			e.note("it has been registered %d times: its agent was restarted, or another TPM registers under its id", n)
		}
	case registrarErr != nil:
		e.note("the registrar could not be asked, and without its record no quote can be verified: %s", stepText(registrarErr))
	default:
		e.note("the registrar does not know it, and without its AK no quote can be verified")
	}
	e.mask = maskOf(e.agent.TPMPolicy)
	if push(e.agent) {
		e.mask |= pushedMask(e.agent)
	}
	if e.tpm, e.tpmErr = storedTPMPolicy(e.agent.TPMPolicy); e.tpmErr != nil {
		e.note("the tpm_policy that the verifier holds cannot be read: %v", e.tpmErr)
	}
	if e.event != "" {
		health := status.Verifier.Health
		e.x.Event = &ExplainedEvent{ID: e.event, Words: DescribeEvent(e.event), Severity: e.agent.SeverityLevel, Check: checkOfEvent(e.event),
			Earlier: health != HealthFailed && health != HealthStopped && health != HealthEnding}
	}
}

// inDir is the path by which commands call a file that is not there yet.
func (e *explainer) inDir(name string) string { return filepath.Join(e.r.Dir, name) }

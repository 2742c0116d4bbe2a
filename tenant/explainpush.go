package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
)

// Attestations is a verifier that shows what agents of the push model have shown
// it; *verifier.Client is one.
type Attestations interface {
	Attestation(ctx context.Context, id string, index int) (*verifier.Attestation, error)
}

// ExplainedAttestation is the attestation of an agent of the push model whose
// evidence was judged.
type ExplainedAttestation struct {
	// Index numbers the attestations of an agent from 0.
	Index int `json:"index"`
	// Evaluation is the verifier's: pending, pass or fail.
	Evaluation string `json:"evaluation"`
	// FailureReason is broken_evidence_chain or policy_violation; Keylime 7.14.3
	// keeps it to itself.
	FailureReason string `json:"failure_reason,omitempty"`
	// Received is when the evidence came, by the verifier's clock.
	Received *time.Time `json:"received,omitempty"`
	// Latest is the newest attestation with evidence; it differs from Index if
	// one that failed is explained although later ones have passed.
	Latest int `json:"latest"`
	// IMAFrom is the line, from 0, with which the part of the IMA list begins
	// that could be had; nil if the list is whole or there is none.
	IMAFrom *int `json:"ima_from,omitempty"`
}

// maxEarlier bounds how many earlier attestations are asked for, each in a
// request of its own.
const maxEarlier = 24

// attested is what the verifier has of an agent of the push model.
type attestedTo struct {
	source Attestations
	id     string
	// asked counts requests for earlier attestations.
	asked int
	// seen are the attestations had, by number; nil for one that is gone.
	seen map[int]*verifier.Attestation

	// judged is the attestation that is explained, latest the newest one.
	judged, latest *verifier.Attestation
	// list is the IMA list that was put together.
	list imaList
	// stoodStill: see standsStill.
	stoodStill bool
}

// at is the attestation of a number, nil if the verifier no longer has it or
// enough was asked.
func (a *attestedTo) at(ctx context.Context, index int) (*verifier.Attestation, error) {
	if index < 0 {
		return nil, nil
	}
	if found, known := a.seen[index]; known {
		return found, nil
	}
	if a.asked++; a.asked > maxEarlier {
		return nil, nil
	}
	found, err := a.source.Attestation(ctx, a.id, index)
	if client.KindOf(err) == client.NotFound {
		found, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.seen[index] = found
	return found, nil
}

// hasEvidence says that the agent has shown what it was asked for.
func hasEvidence(a *verifier.Attestation) bool {
	item := verifier.Find(a.Evidence, verifier.TypeTPMQuote)
	return item != nil && item.Chosen != nil && item.Data != nil && item.Data.Message != ""
}

// find finds the attestation to explain: the newest with evidence, or, if the
// verifier still holds an earlier failure against the agent, that one.
func (a *attestedTo) find(ctx context.Context, failed bool) error {
	newest, err := a.source.Attestation(ctx, a.id, verifier.Latest)
	if err != nil {
		return err
	}
	a.seen[newest.Index] = newest
	for index := newest.Index; index >= 0 && index >= newest.Index-maxEarlier; index-- {
		found, err := a.at(ctx, index)
		if err != nil {
			return err
		}
		if found == nil || !hasEvidence(found) || failed && found.Evaluation == verifier.EvaluationPending {
			continue
		}
		if a.latest == nil {
			a.latest, a.judged = found, found
			if !failed || found.Evaluation != verifier.EvaluationPass {
				return nil
			}
		}
		if found.Evaluation == verifier.EvaluationFail {
			a.judged = found
			return nil
		}
	}
	if a.latest == nil {
		return errNoEvidence
	}
	return nil
}

// errNoEvidence: there are attestations, all without evidence.
var errNoEvidence = errors.New("the verifier awaits the evidence of its first attestation")

// pushedMask are the registers that a verifier asks an agent of the push model
// for because of its policies; the mask of tpm_policy counts for nothing there.
func pushedMask(a *verifier.Agent) (mask uint32) {
	if a.HasRuntimePolicy != 0 {
		mask |= imaMask
	}
	if a.HasMBRefstate != 0 {
		mask |= mbMask
	}
	return mask
}

// fromVerifier takes the evidence that the agent has shown to the verifier.
func (e *explainer) fromVerifier(ctx context.Context) {
	const cannotBeAsked = "it attests of its own accord (push model) and cannot be asked"
	source, serves := e.t.Verifier.(Attestations)
	if !serves {
		e.absent(cannotBeAsked + "; --evidence DIR judges what it has measured")
		return
	}
	a := &attestedTo{source: source, id: e.r.ID, seen: map[int]*verifier.Attestation{}}
	switch err := a.find(ctx, e.x.Verifier.Health == HealthFailed); {
	case err == nil:
	case errors.Is(err, verifier.ErrNoPush):
		e.absent(cannotBeAsked + "; --evidence DIR judges what it has measured")
		return
	case errors.Is(err, verifier.ErrNoAttestations), errors.Is(err, errNoEvidence):
		e.absent(cannotBeAsked + ", and the verifier has no evidence of it yet; --evidence DIR judges what it has measured")
		return
	default:
		e.absent(cannotBeAsked + ", and what it has shown the verifier could not be had; --evidence DIR judges what it has measured")
		e.note("the verifier was asked for its attestations: %s", stepText(err))
		return
	}
	e.pushed = a
	e.x.Evidence.Source = attestationText(a.judged)
	e.x.Evidence.Attestation = &ExplainedAttestation{Index: a.judged.Index, Evaluation: a.judged.Evaluation, FailureReason: a.judged.FailureReason,
		Received: a.judged.EvidenceReceivedAt, Latest: a.latest.Index}
	e.check(PartAgent, CheckPassed, false, "it attests of its own accord (push model): the evidence is that of %s", e.x.Evidence.Source)
	e.takeAttestation(ctx)
}

// attestationText names an attestation and when its evidence came.
func attestationText(a *verifier.Attestation) string {
	text := fmt.Sprintf("attestation %d", a.Index)
	if a.Index < 0 {
		text = "the latest attestation"
	}
	if at := a.EvidenceReceivedAt; at != nil {
		text += " of " + at.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return text
}

// takeAttestation verifies the quote of an attestation, and takes the lists that
// came with it.
func (e *explainer) takeAttestation(ctx context.Context) {
	a := e.pushed
	item := verifier.Find(a.judged.Evidence, verifier.TypeTPMQuote)
	chosen, data := item.Chosen, item.Data
	e.mask = 0
	for _, n := range chosen.SelectedSubjects[chosen.HashAlgorithm] {
		if n >= 0 && n <= maxPCR {
			e.mask |= 1 << n
		}
	}
	if e.record == nil {
		e.check(PartQuote, CheckNotJudged, false, "without the registrar's record it cannot be verified: log and list are what the machine claims")
	} else {
		q := agent.Quote{Quote: "r" + data.Message + ":" + data.Signature + ":" + string(data.SubjectData), HashAlg: chosen.HashAlgorithm, SignAlg: chosen.SignatureScheme}
		e.note("the quote answers the challenge that the verifier drew for %s; that it drew it then, and for nothing else, is the verifier's word", attestationText(a.judged))
		if !e.verify(q, chosen.Challenge, false) {
			return
		}
	}
	e.takeBootLog(a.judged)
	e.takeIMAList(ctx)
}

// takeBootLog takes the boot log of an attestation, if it has one.
func (e *explainer) takeBootLog(a *verifier.Attestation) {
	item := verifier.Find(a.Evidence, verifier.TypeUEFILog)
	if item == nil || item.Data == nil || item.Data.Entries == nil || *item.Data.Entries == "" {
		return
	}
	log, err := base64.StdEncoding.DecodeString(*item.Data.Entries)
	if err != nil {
		e.find(policy.Finding{Check: checkLogEncoding, EventID: "internal.verifier.exception", Where: "the boot log",
			Message: "the boot log of " + attestationText(a) + " is not base64: " + err.Error()})
		return
	}
	e.evidence.log = log
}

// origin names where evidence comes from that the agent was not asked for, "" if
// it was.
func (e *explainer) origin() string {
	switch {
	case e.r.Evidence != nil:
		return e.r.Evidence.Origin
	case e.pushed != nil:
		return e.x.Evidence.Source
	}
	return ""
}

// concludePushed says what it comes to that the verifier holds a failure against
// an agent of the push model, and that failure, or a later one, was judged.
func (e *explainer) concludePushed() {
	x, a := e.x, e.pushed
	seen := "the verifier has refused " + attestationText(a.judged)
	if reason := failureText(a.judged.FailureReason); reason != "" {
		seen += " (" + reason + ")"
	}
	refusals := e.refusals()
	since := ""
	x.Answer = AnswerRefused
	if a.latest != a.judged {
		x.Answer, since = AnswerRecovered, fmt.Sprintf("; %s has passed since, but the verifier takes a failure back only when the agent is enrolled anew", attestationText(a.latest))
	}
	switch {
	case a.judged.Evaluation != verifier.EvaluationFail && len(refusals) > 0:
		x.Answer, x.Summary = AnswerRefused, "the verifier holds an earlier failure against it, of which it has nothing any longer; what it shows now is refused too: "+e.findingText(refusals)
	case a.judged.Evaluation != verifier.EvaluationFail:
		x.Answer = AnswerRecovered
		x.Summary = "the verifier holds an earlier failure against it, which it takes back only when the agent is enrolled anew; " + attestationText(a.judged) + " would be accepted"
	case len(refusals) > 0:
		x.Summary = seen + ": " + e.findingText(refusals) + since
	case since != "" && e.settled():
		x.Summary = seen + ", and what was shown there would be accepted now" + since
	case since != "":
		x.Summary = seen + ", and does not say why" + since
	case e.settled():
		x.Answer = AnswerUndetermined
		x.Summary = seen + ", and does not say why; all that was shown there is accepted here"
		e.unexplainedRefusal()
	default:
		x.Answer = AnswerUndetermined
		x.Summary = seen + ", and does not say why; " + e.unjudged("")
	}
}

// unexplainedRefusal says what makes a verifier refuse evidence in which nothing
// is found.
func (e *explainer) unexplainedRefusal() {
	e.note("what can be between the two: a policy that has changed since; another measured_boot_policy_name than example; keys for file signatures; a clock of the TPM that has gone back")
	if e.pushed.stoodStill {
		e.note("PCR 10 is the same as in the attestation that passed before, although the IMA list was sent anew: Keylime 7.14.3 takes that for a quote that does not progress (ima.quote_progress), which happens to a machine that measures the same after each boot; a file that is used after the boot ends it, and enrolling it anew takes the failure back")
	}
}

// failureText says what a reason of failure means, "" for none.
func failureText(reason string) string {
	switch reason {
	case "":
		return ""
	case verifier.ReasonBrokenChain:
		return "the evidence does not hold together"
	case verifier.ReasonPolicy:
		return "a policy is not satisfied"
	}
	return quoted(reason)
}

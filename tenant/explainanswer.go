package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
)

// conclude orders what was found and says what it comes to.
func (e *explainer) conclude() {
	x := e.x
	parts := []string{PartAgent, PartQuote, PartTPM, PartLog, PartBoot, PartFiles}
	slices.SortStableFunc(x.Checks, func(a, b ExplainedCheck) int { return slices.Index(parts, a.Name) - slices.Index(parts, b.Name) })
	if x.Event != nil && !x.Event.Earlier {
		slices.SortStableFunc(x.Findings, func(a, b policy.Finding) int { return int(nearness(e.event, a) - nearness(e.event, b)) })
		x.Event.Explained = len(x.Findings) > 0 && nearness(e.event, x.Findings[0]) == sameEvent
	}
	switch x.Verifier.Health {
	case HealthFailed:
		if e.pushed != nil {
			e.concludePushed()
			break
		}
		e.failed()
	case HealthStopped:
		x.Answer = AnswerStopped
		x.Summary = "the verifier was told to stop attesting it; " + e.nowText()
	case HealthEnding:
		x.Answer, x.Summary = AnswerEnding, "the verifier is about to remove its enrolment"
	case HealthPending:
		e.notFailed(AnswerPending, x.Verifier.Reason, "the verifier has not judged it yet, and will refuse it: ")
	case HealthStale, HealthLate:
		e.notFailed(AnswerStale, x.Verifier.Reason, "no good quote comes any longer, and what it shows is refused: ")
		if x.Event != nil && x.Answer == AnswerRefused {
			e.note("a verifier that has seen a failure before keeps its event: a later failure shows neither there nor in the state, only in the age of the last good quote")
		}
	default:
		e.notFailed(AnswerHealthy, "the verifier attests it, and what it shows is accepted here too", "the verifier attests it, but what it shows is refused here: ")
		e.contradiction()
	}
	e.next()
}

// failed: the verifier has seen a failure.
func (e *explainer) failed() {
	x := e.x
	seen := "the verifier gave up, and does not say why"
	if x.Event != nil {
		words := x.Event.Words
		if rest, itself := strings.CutPrefix(words, "the verifier "); itself {
			words = "it " + rest
		}
		seen = "the verifier gave up because " + words
	}
	x.Answer = AnswerRefused
	switch refusals := e.refusals(); {
	case x.Event != nil && x.Event.Check == PartAgent && len(refusals) == 0 && e.x.Unreachable != nil:
		x.Answer, x.Summary = AnswerUnreachable, e.findingText(x.Findings)
		if len(x.Findings) == 0 {
			x.Answer, x.Summary = AnswerUndetermined, seen+"; "+e.unjudged(PartAgent)
		}
	case x.Event != nil && x.Event.Explained:
		x.Summary = e.findingText(x.Findings)
	case len(x.Findings) > 0 && nearness(e.event, x.Findings[0]) == sameCheck && len(refusals) > 0:
		x.Summary = seen + "; what it shows now is refused for something of the same kind: " + e.findingText(x.Findings)
	case len(refusals) > 0:
		x.Summary = seen + ", which nothing shows now; but it is refused for something else: " + e.findingText(refusals)
	case len(x.Findings) > 0: // it is not reached
		x.Answer = AnswerUndetermined
		x.Summary = seen + "; why, cannot be judged: " + e.findingText(x.Findings)
	case e.settled():
		x.Answer = AnswerRecovered
		x.Summary = seen + "; what it shows now would be accepted"
	default:
		x.Answer = AnswerUndetermined
		x.Summary = seen + "; " + e.unjudged(e.eventCheck())
	}
}

// eventCheck is the check that the event belongs to, "" if unknown.
func (e *explainer) eventCheck() string {
	if e.x.Event == nil {
		return ""
	}
	return e.x.Event.Check
}

// refusals are the findings about what the agent shows, not about that it
// cannot be reached.
func (e *explainer) refusals() []policy.Finding {
	return slices.DeleteFunc(slices.Clone(e.x.Findings), func(f policy.Finding) bool {
		return f.Check == checkUnreachable || f.Check == checkAddress || f.Check == checkRefuses
	})
}

// settled says that what failed then was judged now, by a quote; where nobody
// says what failed, everything that is demanded.
func (e *explainer) settled() bool {
	part := e.eventCheck()
	judged := false
	for _, c := range e.x.Checks {
		switch {
		case c.Name == part:
			return c.Outcome == CheckPassed && (c.Proven || c.Name == PartAgent)
		case part == "" && c.Outcome == CheckNotJudged:
			return false
		case part == "" && c.Name == PartQuote:
			judged = c.Outcome == CheckPassed
		}
	}
	return judged
}

// unjudged says why a check could not be made.
func (e *explainer) unjudged(part string) string {
	for _, c := range e.x.Checks {
		switch {
		case part != "" && c.Name != part, part == "" && c.Outcome != CheckNotJudged:
		case c.Outcome == CheckPassed:
			return "what is claimed now would be accepted, but no quote proves it"
		case c.Outcome == CheckNotDemanded:
			return fmt.Sprintf("that is not checked any longer (%s: %s)", c.Name, c.Detail)
		default:
			return fmt.Sprintf("whether that is still so could not be judged (%s: %s)", c.Name, c.Detail)
		}
	}
	return "whether that is still so could not be judged"
}

// notFailed: the verifier has not seen a failure, or not since.
func (e *explainer) notFailed(good Answer, goodText, badText string) {
	x := e.x
	if refusals := e.refusals(); len(refusals) > 0 {
		x.Answer, x.Summary = AnswerRefused, badText+e.findingText(refusals)
		return
	}
	if len(x.Findings) > 0 {
		x.Answer, x.Summary = AnswerUnreachable, e.findingText(x.Findings)
		return
	}
	x.Answer, x.Summary = good, goodText
	if good == AnswerHealthy && e.x.Evidence.Quote != "verified" {
		x.Summary = "the verifier attests it; here it could not be judged"
	}
}

// contradiction says why a verifier may attest what is refused here.
func (e *explainer) contradiction() {
	boot, other := 0, 0
	for _, f := range e.refusals() {
		if checkOfEvent(f.EventID) == PartBoot {
			boot++
		} else {
			other++
		}
	}
	switch {
	case boot > 0:
		e.note("the verifier may not enforce measured-boot policies (measured_boot_policy_name = accept-all, the default), or judge the boot only once (measured_boot_evaluate = once); its API tells neither")
	case other > 0 && e.pushed != nil:
		e.note("the policies may have changed since the verifier judged %s", attestationText(e.pushed.judged))
	case other > 0:
		e.note("it may have changed since the verifier's last quote: ask again in a few seconds")
	}
}

// findingText is the first finding in a few words, and how many more there are.
func (e *explainer) findingText(findings []policy.Finding) string {
	if len(findings) == 0 {
		return "nothing was found"
	}
	text := brief(findings[0])
	if more := len(findings) - 1; more > 0 {
		text += fmt.Sprintf("; %d more", more)
	}
	return text
}

// brief says what a finding is about and where, and leaves values to the
// finding itself. Failures of policies are said in the words of their event.
func brief(f policy.Finding) string {
	text := f.Message
	switch checkOfEvent(f.EventID) {
	case PartBoot, PartFiles, PartLog, PartTPM:
		text = DescribeEvent(f.EventID)
	}
	var at []string
	if f.Where != "" && !strings.Contains(text, f.Where) && checkOfEvent(f.EventID) != PartAgent {
		at = append(at, printable(f.Where))
		if f.PCR != nil {
			at = append(at, fmt.Sprintf("PCR %d", *f.PCR))
		}
		switch {
		case f.Event == nil:
		case checkOfEvent(f.EventID) == PartFiles:
			at = append(at, fmt.Sprintf("line %d", *f.Event))
		default:
			at = append(at, fmt.Sprintf("event %d", *f.Event))
		}
	}
	if at == nil {
		return text
	}
	return text + ": " + strings.Join(at, ", ")
}

// nowText says what comes of what the agent shows now.
func (e *explainer) nowText() string {
	switch refusals := e.refusals(); {
	case len(refusals) > 0:
		return "what it shows now would be refused: " + e.findingText(refusals)
	case len(e.x.Findings) > 0:
		return e.findingText(e.x.Findings)
	case e.x.Evidence.Quote == "verified":
		return "what it shows now would be accepted"
	}
	return "what it shows now could not be judged"
}

// Failure is what an explanation stands for, nil for an agent that is well or is
// still to be attested. Errors: *[RefusedError], *[WaitError], or why the agent
// is not reached, in a *[StepError].
func (x *Explanation) Failure() error {
	switch x.Answer {
	case AnswerHealthy, AnswerPending, AnswerEnding:
		return nil
	case AnswerStale:
		return &WaitError{ID: x.ID, Cause: "agent " + x.ID + ": " + x.Summary}
	case AnswerUnreachable:
		var step *StepError
		if errors.As(x.Unreachable, &step) {
			return x.Unreachable
		}
		return &StepError{Step: StepQuote, ID: x.ID, Err: x.Unreachable}
	}
	refused := &RefusedError{ID: x.ID, State: x.Verifier.State, Cause: x.Summary}
	if x.Verifier.Push {
		refused.State = "" // the state of an agent that nobody asks
	}
	if x.Event != nil {
		refused.EventID = x.Event.ID
	}
	return refused
}

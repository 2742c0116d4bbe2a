package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
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
	seen := "the verifier does not say why it failed"
	if x.Event != nil {
		seen = "the verifier has seen that " + x.Event.Words
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
	if len(x.Findings) > 0 && good != AnswerHealthy {
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
	case other > 0:
		e.note("it may have changed since the verifier's last quote: ask again in a few seconds")
	}
}

// findingText is the first finding, and how many more there are.
func (e *explainer) findingText(findings []policy.Finding) string {
	if len(findings) == 0 {
		return "nothing was found"
	}
	text := findings[0].Message
	if where := findings[0].Where; where != "" && !strings.Contains(text, where) && len(where) < quoteLimit {
		text = printable(where) + ": " + text
	}
	if more := len(findings) - 1; more > 0 {
		text += fmt.Sprintf("; %d more", more)
	}
	return text
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

// update is the command that enrols the agent anew with what is known of its
// enrolment, and a tpm_policy.
func (e *explainer) update(tpm string) []string {
	command := []string{"keylime_tenant", "update", e.r.ID}
	add := func(p heldPolicy, option string) {
		switch p.Source {
		case PolicyFile, PolicyOwn:
			command = append(command, option, p.file)
		case PolicyOnly:
			command = append(command, option+"-name", p.Name)
		}
	}
	if tpm == "" {
		tpm = tpmText(e.tpm, 0, "")
	}
	if tpm != "" {
		command = append(command, "--tpm-policy", tpm)
	}
	add(e.files, "--runtime-policy")
	add(e.boot, "--mb-policy")
	if push(e.agent) {
		command = append(command, "--push-model")
	}
	return command
}

// step adds something to do, once.
func (e *explainer) step(command []string, format string, args ...any) {
	if command != nil && slices.ContainsFunc(e.x.Next, func(s NextStep) bool { return slices.Equal(s.Command, command) }) {
		return
	}
	e.x.Next = append(e.x.Next, NextStep{Text: fmt.Sprintf(format, args...), Command: command})
}

// next says what to do.
func (e *explainer) next() {
	x, id := e.x, e.r.ID
	reactivate := []string{"keylime_tenant", "reactivate", id}
	switch x.Answer {
	case AnswerStopped:
		if push(e.agent) {
			e.step(reactivate, "let the verifier attest it again")
			return
		}
		e.step(e.update(""), "enrol it anew, with all that it was enrolled with (payload and keys are not known here)")
	case AnswerRecovered:
		e.recovered(reactivate)
	case AnswerStale:
		e.step([]string{"keylime_tenant", "status", id}, "see that the verifier that has it (%s at %s) runs and reaches it; while it is idle its record grows old", printable(e.agent.VerifierID), printable(e.agent.VerifierIP))
		if !push(e.agent) {
			e.step(reactivate, "make the verifier ask it again")
		}
	case AnswerUndetermined:
		for _, c := range x.Checks {
			if c.Outcome == CheckNotJudged && c.Name == PartBoot && !e.boot.known() {
				e.step(nil, "explain again with --mb-policy FILE, the policy that it was enrolled with")
			}
			if c.Outcome == CheckNotJudged && c.Name == PartFiles && !e.files.known() {
				e.step(nil, "explain again with --runtime-policy FILE, the policy that it was enrolled with")
			}
		}
		if e.evidence.absent != "" {
			e.step(nil, "fetch %s and %s from the machine into a directory and explain again with --evidence DIR", FileBootLog, FileIMAList)
		}
	}
	if len(x.Findings) > 0 && x.Answer != AnswerStopped {
		e.nextOfFindings(reactivate)
	}
}

// recovered says what helps an agent that is good again.
func (e *explainer) recovered(reactivate []string) {
	switch e.eventCheck() {
	case PartQuote:
		e.step(e.update(""), "the verifier goes on using the AK that the agent had when it was enrolled: if the agent has got a new TPM or AK since, enrol it anew")
	case PartAgent:
		e.note("this tenant reaches it, and the verifier did not: a firewall between the two, a machine that was off, or a TLS certificate that is newer than the enrolment (then update enrols it anew)")
	}
	e.step(reactivate, "let the verifier attest it again")
}

// nextOfFindings says how changes can be undone or accepted.
func (e *explainer) nextOfFindings(reactivate []string) {
	var boot, files, enrol bool
	refusals := e.refusals()
	if len(refusals) == 0 {
		// It is not reached: what helps stands with the finding.
		e.step(nil, "%s", e.x.Findings[0].Remedy)
		if e.x.Verifier.Health == HealthFailed {
			e.step(reactivate, "then let the verifier attest it again")
		}
		return
	}
	for _, f := range refusals {
		switch command := f.Command; {
		case len(command) > 2 && command[1] == "policy" && command[2] == "merge" && command[3] == e.boot.file:
			boot = true
		case len(command) > 2 && command[1] == "policy" && command[2] == "merge":
			files = true
		case len(command) > 1 && command[1] == "update":
			enrol = true
		}
	}
	e.step(nil, "find out who has changed the machine, and why: only what was meant may be accepted")
	if boot {
		e.step([]string{"keylime_tenant", "policy", "merge", e.boot.file, e.evidence.logFile, "-o", e.boot.file}, "let the policy accept this boot as well")
		e.store(e.boot, MBKind, "--mb-policy")
	}
	if files {
		e.acceptFiles()
		e.store(e.files, RuntimeKind, "--runtime-policy")
	}
	if enrol {
		for _, f := range refusals {
			if len(f.Command) > 1 && f.Command[1] == "update" {
				e.step(e.update(e.acceptedTPM()), "enrol it anew with the values that PCRs have now, and with all that it was enrolled with (payload and keys are not known here)")
				return
			}
		}
	}
	if e.x.Verifier.Health == HealthFailed || e.x.Verifier.Health == HealthStale {
		e.step(reactivate, "let the verifier attest it again")
	}
}

// acceptedTPM is the tpm_policy that accepts all that was found.
func (e *explainer) acceptedTPM() string {
	values := map[int][]string{}
	for n, list := range e.tpm {
		values[n] = slices.Clone(list)
	}
	for _, f := range e.x.Findings {
		if f.Check == checkTPM {
			values[*f.PCR] = append(values[*f.PCR], f.Found...)
		}
	}
	return tpmText(values, 0, "")
}

// acceptFiles lets the runtime policy accept the files that were found: a few
// one by one, so that each is looked at, many by the list.
func (e *explainer) acceptFiles() {
	const few = 3
	var commands [][]string
	for _, f := range e.x.Findings {
		if (f.Check == runtime.CheckNotInPolicy || f.Check == runtime.CheckDigest) && f.Command != nil {
			commands = append(commands, f.Command)
		}
	}
	if len(commands) <= few {
		for _, command := range commands {
			e.step(command, "let the policy accept the file")
		}
		return
	}
	e.step([]string{"keylime_tenant", "policy", "merge", e.files.file, e.evidence.listFile, "-o", e.files.file},
		"let the policy accept all %d files, and all else in the list; each finding has the command for its file alone", len(commands))
}

// store brings a changed policy to the verifier.
func (e *explainer) store(p heldPolicy, kind PolicyKind, option string) {
	switch p.Source {
	case PolicyOwn, PolicyOnly:
		text := "give it to the verifier"
		if p.Source == PolicyOnly {
			text += ": every agent that refers to it is held against it then"
		}
		e.step([]string{"keylime_tenant", policyCommand(PolicyUpdate, kind), p.Name, option, p.file}, "%s", text)
	default:
		e.step(nil, "give it to the verifier: %s if it is stored there, else update with all that the agent was enrolled with", policyCommand(PolicyUpdate, kind))
	}
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
	if x.Event != nil {
		refused.EventID = x.Event.ID
	}
	return refused
}

package tenant

import (
	"fmt"
	"slices"

	"github.com/keylime/keylime-tenant/policy/runtime"
)

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
		switch {
		case e.r.Evidence != nil && e.eventCheck() == PartAgent:
			e.step(nil, "explain again without --evidence, to see whether the agent answers")
		case e.evidence.absent != "":
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

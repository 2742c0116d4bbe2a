package tenant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
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
		if len(e.refusals()) == 0 {
			e.enrolAnew("enrol it anew")
		}
	case AnswerRecovered:
		e.recovered(reactivate)
	case AnswerStale:
		if push(e.agent) {
			e.step(nil, "it attests itself (push model): see that the agent runs and reaches the verifier")
			break
		}
		e.step([]string{"keylime_tenant", "status", id}, "see that the verifier that has it (%s at %s) runs and reaches it; while it is idle its record grows old", printable(e.agent.VerifierID), printable(e.agent.VerifierIP))
		e.step(reactivate, "make the verifier ask it again")
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
	switch refusals := e.refusals(); {
	case len(refusals) > 0:
		e.nextOfRefusals(refusals, reactivate)
	case len(x.Findings) > 0 && x.Answer != AnswerStopped:
		// It is not reached.
		e.step(x.Findings[0].Command, "%s", x.Findings[0].Remedy)
		if x.Verifier.Health == HealthFailed && x.Findings[0].Command == nil {
			e.step(reactivate, "then let the verifier attest it again")
		}
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
	if push(e.agent) { // a reactivation takes no failure back; see Anew
		e.enrolAnew("enrol it anew")
		return
	}
	e.step(reactivate, "let the verifier attest it again")
}

// enrolAnew is the step that replaces the enrolment, whatever else there is.
func (e *explainer) enrolAnew(text string) {
	e.step(e.update(e.acceptedTPM()), "%s, with all that it was enrolled with (payload and keys are not known here)", text)
}

// acceptance is which parts of what was found a policy can be made to accept.
type acceptance struct {
	boot, files, registers bool
	// create is the command that makes another boot policy, nil for none.
	create []string
	// remedies are of what no policy accepts.
	remedies []string
}

func (e *explainer) acceptanceOf(refusals []policy.Finding) (a acceptance) {
	for _, f := range refusals {
		verb := ""
		if len(f.Command) > 2 {
			verb = f.Command[1] + " " + f.Command[2]
		}
		switch {
		case verb == "policy merge" && f.Command[3] == e.boot.file:
			a.boot = true
		case verb == "policy merge":
			a.files = true
		case verb == "policy create":
			a.create = f.Command
		case strings.HasPrefix(verb, "update "):
			a.registers = true
		}
	}
	for _, f := range refusals {
		// Another boot policy settles what no change to the present one does.
		settled := a.create != nil && checkOfEvent(f.EventID) == PartBoot
		if f.Command == nil && f.Remedy != "" && !settled && !slices.Contains(a.remedies, f.Remedy) {
			a.remedies = append(a.remedies, f.Remedy)
		}
	}
	return a
}

// nextOfRefusals says how changes can be undone or accepted.
func (e *explainer) nextOfRefusals(refusals []policy.Finding, reactivate []string) {
	const most = 3 // remedies; the findings have all
	a := e.acceptanceOf(refusals)
	for _, remedy := range a.remedies[:min(len(a.remedies), most)] {
		e.step(nil, "%s", remedy)
	}
	if a.boot || a.files || a.registers || a.create != nil {
		e.step(nil, "find out who has changed the machine, and why: only what was meant may be accepted")
	}
	health := e.x.Verifier.Health
	gaveUp := health == HealthFailed || health == HealthStale
	enrol := a.registers || e.x.Answer == AnswerStopped || gaveUp && push(e.agent)
	switch {
	case a.create != nil:
		e.step(a.create, "make another policy from this boot, if it is meant to be so")
		e.boot.file = e.inDir(fileNewMBPolicy)
	case a.boot:
		e.step([]string{"keylime_tenant", "policy", "merge", e.boot.file, e.evidence.logFile, "-o", e.boot.file}, "let the policy accept this boot as well")
	}
	// Enrolling anew brings a policy of the agent's own along, not one by name.
	if (a.boot || a.create != nil) && (!enrol || e.boot.Source == PolicyOnly) {
		e.store(e.boot, MBKind, "--mb-policy")
	}
	if a.files {
		e.acceptFiles()
	}
	if a.files && (!enrol || e.files.Source == PolicyOnly) {
		e.store(e.files, RuntimeKind, "--runtime-policy")
	}
	switch text := "enrol it anew"; {
	case a.registers:
		e.enrolAnew(text + " with the values that PCRs have now")
	case enrol:
		e.enrolAnew(text)
	case gaveUp:
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
		"let the policy accept all %d files, and all else in the list (-o json has the command for each file alone)", len(commands))
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

package tenant

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
)

// readLog reads the boot log.
func (e *explainer) readLog() {
	if len(e.evidence.log) == 0 {
		return
	}
	e.x.Files = append(e.x.Files, EvidenceFile{FileBootLog, e.evidence.log})
	log, err := eventlog.Parse(e.evidence.log)
	if err == nil && e.evidence.quoted {
		_, err = log.Replay(e.evidence.proven.Bank())
	}
	if err != nil {
		f := policy.Finding{Check: measuredboot.CheckLog, EventID: "measured_boot.parser.tpm2_eventlog.error", Where: "the boot log"}
		var known *eventlog.Error
		if errors.As(err, &known) {
			bare := *known
			bare.Hint, f.Remedy = "", known.Hint
			err = &bare
		}
		f.Message = "the boot log cannot be read: " + err.Error()
		var bank *eventlog.BankError
		if errors.As(err, &bank) {
			f.Check, f.EventID = measuredboot.CheckBank, "measured_boot.parser.invalid_pcrs_hashes"
			f.Remedy = "switch the bank on in the firmware's setup, or let the agent quote another one (tpm_hash_alg)"
		}
		e.find(f)
		return
	}
	e.log = log
	n := len(log.Events)
	e.x.Evidence.BootEvents = &n
}

// compareLog holds the boot log against the registers.
func (e *explainer) compareLog() {
	bootPolicy := e.boot.Source != PolicyNone && !(e.boot.known() && measuredboot.IsEmpty(e.boot.text))
	switch why := e.why(); {
	case e.mask&1 == 0 && !bootPolicy:
		e.check(PartLog, CheckNotDemanded, false, "the verifier does not ask for PCR 0")
	case why != "":
		e.check(PartLog, CheckNotJudged, false, "%s", why)
	case len(e.evidence.log) == 0 && e.origin() != "":
		e.check(PartLog, CheckNotJudged, false, "there is no boot log in %s", e.origin())
	case len(e.evidence.log) == 0 && !bootPolicy:
		e.check(PartLog, CheckNotDemanded, false, "the agent sends none, and without a measured-boot policy none is needed")
	case len(e.evidence.log) == 0:
		e.find(policy.Finding{Check: checkNoLog, EventID: "pcr_validation.unused_pcr_0", PCR: policy.Int(0), Where: "the boot log",
			Message: "the agent sends no boot log, and there is a measured-boot policy",
			Remedy:  "let the agent read /sys/kernel/security/tpm0/binary_bios_measurements (measuredboot_ml_path), as root"})
		e.check(PartLog, CheckRefused, e.evidence.quoted, "the agent sends no boot log")
	case e.log == nil:
		e.check(PartLog, CheckRefused, false, "it cannot be read")
	case !e.evidence.quoted:
		e.check(PartLog, CheckNotJudged, false, "%d events%s", len(e.log.Events), e.proof())
	case !bootPolicy:
		e.check(PartLog, CheckNotDemanded, true, "%d events; without a measured-boot policy they are not held against the PCRs", len(e.log.Events))
	default:
		findings := measuredboot.ComparePCRs(e.log, e.evidence.proven.Bank(), e.evidence.pcrs())
		for _, f := range findings {
			e.find(f)
		}
		if len(findings) > 0 {
			e.check(PartLog, CheckRefused, true, "%d events do not lead to the quoted PCRs", len(e.log.Events))
			return
		}
		e.check(PartLog, CheckPassed, true, "%d events lead to the quoted PCRs", len(e.log.Events))
	}
}

// judgeBoot evaluates the measured-boot policy.
func (e *explainer) judgeBoot() {
	if name, is := strings.CutPrefix(e.event, ofBootPolicy); is && name != examplePolicy {
		e.note("the verifier judges boots by its policy %s, whose rules are not known here: the judgement is that of %q, the one of Keylime itself", quoted(name), examplePolicy)
	}
	text := e.boot.text
	switch why := e.why(); {
	case e.boot.Source == PolicyNone:
		e.check(PartBoot, CheckNotDemanded, false, "there is none")
		return
	case !e.boot.known():
		e.check(PartBoot, CheckNotJudged, false, "it is not known: give it with --mb-policy FILE")
		return
	case json.Valid(text) && measuredboot.IsEmpty(text):
		e.check(PartBoot, CheckNotDemanded, false, "it is empty: every boot is accepted")
		return
	case why != "":
		e.check(PartBoot, CheckNotJudged, false, "%s", why)
		return
	}
	p, err := measuredboot.Parse(text)
	if err != nil {
		f := policy.Finding{Check: measuredboot.CheckPolicy, EventID: ofBootPolicy + examplePolicy, Where: "the measured-boot policy",
			Message: "the measured-boot policy cannot be used: " + err.Error(), Remedy: "make a new one from the machine's boot log",
			Command: []string{"keylime_tenant", "policy", "create", "measured-boot", e.evidence.logFile, "-o", e.inDir(fileNewMBPolicy)}}
		if !json.Valid(text) {
			f.EventID = "pcr_validation.invalid_mb_policy"
		}
		e.find(f)
		e.check(PartBoot, CheckRefused, e.evidence.quoted, "it cannot be used")
		return
	}
	refused := 0
	if missing := e.missingPCRs(); missing != nil {
		missing.Command = e.update(tpmText(e.tpm, 0, ""))
		e.find(*missing)
		refused++
	}
	if e.log == nil {
		if refused > 0 {
			e.check(PartBoot, CheckRefused, e.evidence.quoted, "the quote lacks PCRs that it needs")
			return
		}
		e.check(PartBoot, CheckNotJudged, false, "there is no boot log that could be judged")
		return
	}
	verdict := p.Evaluate(e.log, measuredboot.EvaluateOptions{PolicyName: e.boot.file, LogName: e.evidence.logFile})
	for _, f := range verdict.Findings {
		if len(f.Command) > 2 && f.Command[2] == "create" {
			f.Command = append(f.Command, "-o", e.inDir(fileNewMBPolicy))
		}
		e.find(f)
		refused++
	}
	for _, w := range verdict.Warnings {
		e.note("%s", w)
	}
	if refused > 0 {
		e.check(PartBoot, CheckRefused, e.evidence.quoted, "the boot differs from all that it accepts%s", e.proof())
		return
	}
	e.check(PartBoot, CheckPassed, e.evidence.quoted, "the boot is one that it accepts%s", e.proof())
}

// missingPCRs is the finding about registers that the verifier does not ask
// for although its policy needs them.
func (e *explainer) missingPCRs() *policy.Finding {
	if e.agent.HasMBRefstate == 0 || !e.evidence.quoted {
		return nil
	}
	asked := e.evidence.pcrs()
	maps.DeleteFunc(asked, func(n int, _ []byte) bool { return e.mask&(1<<n) == 0 })
	return measuredboot.MissingPCRs(asked)
}

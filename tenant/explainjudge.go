package tenant

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

const (
	eventViolation = "ima.validation.tomtou"
	ofBootPolicy   = "measured_boot.policy_"
	examplePolicy  = "example"
	// maxFileFindings bounds the findings about files.
	maxFileFindings = 1000
)

// judge judges what was had, in the order of PROTOCOL.md 6.4. Errors are those
// of the context and of a list that cannot be read.
func (e *explainer) judge(ctx context.Context) error {
	e.readLog()
	if err := e.judgeFiles(ctx); err != nil {
		return err
	}
	e.compareLog()
	e.judgeTPM()
	e.judgeBoot()
	return nil
}

// why says why something cannot be judged for want of evidence, "" if there is
// evidence.
func (e *explainer) why() string {
	switch {
	case e.evidence.absent != "":
		return e.evidence.absent
	case e.evidence.refused:
		return "what comes with a refused quote proves nothing"
	}
	return ""
}

// proof marks what is judged without a quote.
func (e *explainer) proof() string {
	if e.evidence.quoted {
		return ""
	}
	return " (as claimed: no quote proves it)"
}

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

// judgeFiles holds the IMA list against PCR 10 and the runtime policy.
func (e *explainer) judgeFiles(ctx context.Context) error {
	list := e.evidence.list
	if list != nil {
		n := bytes.Count(list, []byte{'\n'})
		e.x.Evidence.IMALines = &n
		e.x.Files = append(e.x.Files, EvidenceFile{FileIMAList, list})
	}
	skip := func(outcome CheckOutcome, format string, args ...any) error {
		e.check(PartFiles, outcome, false, format, args...)
		return nil
	}
	switch why := e.why(); {
	case e.mask&imaMask == 0 && e.r.RuntimePolicy == nil:
		return skip(CheckNotDemanded, "the verifier does not ask for PCR 10")
	case why != "":
		return skip(CheckNotJudged, "%s", why)
	case list == nil && e.r.Evidence != nil:
		return skip(CheckNotJudged, "there is no IMA list in %s", e.r.Evidence.Origin)
	case list == nil:
		e.find(policy.Finding{Check: checkNoList, EventID: "pcr_validation.unused_pcr_10", PCR: policy.Int(imaPCR), Where: "the IMA list",
			Message: "the agent sends no IMA list, and files are to be judged",
			Remedy:  "switch IMA on (ima_policy= on the kernel command line) and let the agent read the list (ima_ml_path)"})
		return skip(CheckRefused, "the agent sends no IMA list")
	case !e.files.known():
		return skip(CheckNotJudged, "the policy is not known: give it with --runtime-policy FILE")
	}
	evaluator, err := e.evaluator()
	if err != nil {
		e.find(policy.Finding{Check: "ima.policy", EventID: "internal.verifier.exception", Where: "the runtime policy",
			Message: "the runtime policy cannot be used: " + err.Error(), Remedy: "keylime_tenant policy lint shows what is wrong with it",
			Command: []string{"keylime_tenant", "policy", "lint", e.files.file}})
		return skip(CheckRefused, "the policy cannot be used")
	}
	verdict, err := evaluator.Evaluate(ctx, nil, e.measured())
	if err != nil {
		if interrupted(ctx) != nil {
			return interrupted(ctx)
		}
		e.find(policy.Finding{Check: runtime.CheckEntry, EventID: "ima.parser.entry", Where: "the IMA list", Message: "the IMA list cannot be read: " + err.Error()})
		return skip(CheckRefused, "the IMA list cannot be read")
	}
	e.fileVerdict(verdict)
	return nil
}

// evaluator judges as a verifier does, its defects included: the question is
// what it has seen. Violations are sorted out afterwards.
func (e *explainer) evaluator() (*runtime.Evaluator, error) {
	p, err := parseRuntime(e.files.text)
	if err != nil {
		return nil, err
	}
	return runtime.NewEvaluator(p, runtime.Options{Keyring: e.r.Keyring, Compat: true, MaxFindings: maxFileFindings})
}

// measured is the IMA list with what the quote says of it.
func (e *explainer) measured() runtime.Evidence {
	m := runtime.Evidence{List: bytes.NewReader(e.evidence.list)}
	if value, quoted := e.evidence.proven.PCR(imaPCR); quoted {
		m.PCR10, m.Bank = value, e.evidence.proven.Bank()
	}
	// A verifier has a boot log only if it asks for PCR 0 (PROTOCOL.md 11.5).
	if e.log != nil && (e.mask&1 != 0 || e.r.Evidence != nil) {
		for _, bank := range e.log.Banks {
			if values, err := e.log.BootAggregates(bank); err == nil {
				m.BootAggregates = append(m.BootAggregates, values...)
			}
		}
	}
	return m
}

// fileVerdict takes up what the evaluation of the IMA list has found.
func (e *explainer) fileVerdict(v policy.Verdict) {
	violations, refused := 0, 0
	for _, f := range v.Findings {
		if f.Check == runtime.CheckViolation && e.event != eventViolation {
			violations++
			continue
		}
		f.Command = e.allow(f)
		e.find(f)
		refused++
	}
	if violations > 0 {
		e.note("%d entries of the IMA list are violations: files that were open for writing while they were measured; verifiers accept them unless ignore_tomtou_errors is True", violations)
	}
	for _, w := range v.Warnings {
		e.note("%s", w)
	}
	if refused > 0 && e.r.Keyring == nil && bytes.Contains(e.evidence.list, []byte(" ima-sig ")) {
		e.note("keys that were given beside the runtime policy (--signature-verification-key) are not shown by the verifier; --verification-key FILE lets them count here")
	}
	lines := fmt.Sprintf("%d lines of the IMA list%s", *e.x.Evidence.IMALines, e.proof())
	if refused > 0 {
		e.check(PartFiles, CheckRefused, e.evidence.quoted, "%d of %s", refused, lines)
		return
	}
	e.check(PartFiles, CheckPassed, e.evidence.quoted, "%s", lines)
}

// allow is the command that lets the runtime policy accept what a finding is
// about, nil where no policy should.
func (e *explainer) allow(f policy.Finding) []string {
	switch f.Check {
	case runtime.CheckNotInPolicy, runtime.CheckDigest:
		if len(f.Found) == 1 {
			return []string{"keylime_tenant", "policy", "merge", e.files.file, "--allow", f.Found[0] + "  " + f.Where, "-o", e.files.file}
		}
	}
	return nil
}

// compareLog holds the boot log against the registers.
func (e *explainer) compareLog() {
	bootPolicy := e.boot.Source != PolicyNone && !(e.boot.known() && measuredboot.IsEmpty(e.boot.text))
	switch why := e.why(); {
	case e.mask&1 == 0 && !bootPolicy:
		e.check(PartLog, CheckNotDemanded, false, "the verifier does not ask for PCR 0")
	case why != "":
		e.check(PartLog, CheckNotJudged, false, "%s", why)
	case len(e.evidence.log) == 0 && e.r.Evidence != nil:
		e.check(PartLog, CheckNotJudged, false, "there is no boot log in %s", e.r.Evidence.Origin)
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

// judgeTPM holds the registers against tpm_policy.
func (e *explainer) judgeTPM() {
	demanded := slices.DeleteFunc(slices.Sorted(maps.Keys(e.tpm)), func(n int) bool { return n == imaPCR || n == dataPCR })
	switch {
	case e.tpmErr != nil:
		e.check(PartTPM, CheckNotJudged, false, "it cannot be read: %v", e.tpmErr)
		return
	case len(demanded) == 0:
		e.check(PartTPM, CheckNotDemanded, false, "it names no PCR")
		return
	case !e.evidence.quoted:
		why := e.why()
		if why == "" {
			why = "no quote proves the values of PCRs"
		}
		e.check(PartTPM, CheckNotJudged, false, "%s", why)
		return
	}
	before := len(e.x.Findings)
	var missing []string
	for _, n := range demanded {
		value, quoted := e.evidence.proven.PCR(n)
		found := hex.EncodeToString(value)
		switch {
		case !quoted:
			missing = append(missing, strconv.Itoa(n))
		case !slices.Contains(e.tpm[n], found):
			e.find(policy.Finding{Check: checkTPM, EventID: fmt.Sprintf("pcr_validation.invalid_pcr_%d", n), PCR: policy.Int(n), Where: fmt.Sprintf("PCR %d", n),
				Expected: e.tpm[n], Found: []string{found},
				Message: fmt.Sprintf("PCR %d has a value that tpm_policy does not accept%s", n, zeroText(value)),
				Remedy:  "find out what extends this PCR; a reboot sets it back. If the value is meant, enrol the agent anew with it, and with all else that it was enrolled with",
				Command: e.update(tpmText(e.tpm, n, found))})
		}
	}
	if missing != nil {
		e.find(policy.Finding{Check: checkTPMMissing, EventID: "pcr_validation.missing_pcrs", Where: "the quote", Expected: missing,
			Message: "the quote lacks PCRs that tpm_policy names: " + strings.Join(missing, ", "),
			Remedy:  "the mask of the tpm_policy does not fit its PCRs: enrol the agent anew", Command: e.update(tpmText(e.tpm, 0, ""))})
	}
	if len(e.x.Findings) > before {
		e.check(PartTPM, CheckRefused, true, "of %s demanded", pcrList(demanded))
		return
	}
	e.check(PartTPM, CheckPassed, true, "%s as demanded", pcrList(demanded))
}

// zeroText says of a register that it is as after a boot.
func zeroText(value []byte) string {
	if len(bytes.Trim(value, "\x00")) == 0 {
		return ": nothing has extended it since the boot"
	}
	return ""
}

func pcrList(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return "PCR " + strings.Join(words, ", ")
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
			Command: []string{"keylime_tenant", "policy", "create", "measured-boot", e.evidence.logFile}}
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
		if len(f.Command) > 2 && f.Command[2] == "merge" {
			f.Command = append(f.Command, "-o", e.boot.file)
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

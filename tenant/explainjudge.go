package tenant

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

const (
	eventViolation = "ima.validation.tomtou"
	ofBootPolicy   = "measured_boot.policy_"
	examplePolicy  = "example"
	// maxFileFindings bounds the findings about files.
	maxFileFindings = 1000
)

// judge judges what was had, in the order of PROTOCOL.md 6.4. The only error is
// the end of the context.
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

// judgeFiles holds the IMA list against PCR 10 and the runtime policy.
func (e *explainer) judgeFiles(ctx context.Context) error {
	list := e.evidence.list
	if list != nil {
		n := bytes.Count(list, []byte{'\n'})
		if len(list) > 0 && list[len(list)-1] != '\n' {
			n++
		}
		e.x.Evidence.IMALines = &n
		e.x.Files = append(e.x.Files, EvidenceFile{e.listName(), list})
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
	case list == nil && e.origin() != "":
		return skip(CheckNotJudged, "there is no IMA list in %s", e.origin())
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
	verdict, err := evaluator.Evaluate(ctx, e.listState(), e.measured())
	if err != nil {
		if interrupted(ctx) != nil {
			return interrupted(ctx)
		}
		e.find(policy.Finding{Check: runtime.CheckEntry, EventID: "ima.parser.entry", Where: "the IMA list", Message: "the IMA list cannot be judged: " + err.Error()})
		return skip(CheckRefused, "the IMA list cannot be judged")
	}
	e.fileVerdict(verdict)
	return nil
}

// evaluator judges as a verifier does, its defects included: the question is
// what it has seen. Violations are sorted out afterwards.
func (e *explainer) evaluator() (*runtime.Evaluator, error) {
	if e.past != nil {
		return e.past.evaluator(e.files.text)
	}
	p, err := parseRuntime(e.files.text)
	if err != nil {
		return nil, err
	}
	return runtime.NewEvaluator(p, runtime.Options{Keyring: e.r.Keyring, Compat: true, MaxFindings: maxFileFindings})
}

// measured is the IMA list with what the quote says of it.
func (e *explainer) measured() runtime.Evidence {
	m := runtime.Evidence{List: bytes.NewReader(e.evidence.list)}
	if value, quoted := e.evidence.proven.PCR(imaPCR); quoted && !e.listUnproven() {
		m.PCR10, m.Bank = value, e.evidence.proven.Bank()
	}
	// A verifier has a boot log only if it asks for PCR 0 (PROTOCOL.md 11.5).
	if e.log != nil && (e.mask&1 != 0 || e.origin() != "") {
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
	proven, proof := e.evidence.quoted && !e.listUnproven(), e.proof()
	if e.listUnproven() {
		proof = " (as claimed: the beginning of the list is missing, so that the quote cannot prove them)"
	}
	lines := fmt.Sprintf("%d lines of the IMA list%s", *e.x.Evidence.IMALines, proof)
	if refused > 0 {
		e.check(PartFiles, CheckRefused, proven, "%d of %s", refused, lines)
		return
	}
	e.check(PartFiles, CheckPassed, proven, "%s", lines)
}

// listName is the name under which the IMA list is kept: another one for a part,
// which would be taken for the whole list otherwise.
func (e *explainer) listName() string {
	if e.pushed != nil && e.pushed.list.first > 0 {
		return fmt.Sprintf("%s.from-line-%d", FileIMAList, e.pushed.list.first+1)
	}
	return FileIMAList
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
	var missing []string
	var bad []int
	for _, n := range demanded {
		value, quoted := e.evidence.proven.PCR(n)
		found := hex.EncodeToString(value)
		switch {
		case !quoted:
			missing = append(missing, strconv.Itoa(n))
		case !slices.Contains(e.tpm[n], found):
			bad = append(bad, n)
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
	switch {
	case missing != nil:
		e.check(PartTPM, CheckRefused, true, "PCR %s not quoted", strings.Join(missing, ", "))
		return
	case bad != nil:
		e.check(PartTPM, CheckRefused, true, "not as demanded: %s", pcrList(bad))
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

package tenant

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

// Names of the rules that Keylime brings for boots, beside examplePolicy.
const (
	bootAcceptAll = "accept-all"
	bootRejectAll = "reject-all"
)

// judgeRest holds a verified quote against the boot log, the registers demanded
// and the rules for boots.
func (p *replayer) judgeRest(e *explainer, a *durable.Attestation) {
	name := a.MBPolicyName
	if name == "" {
		name = p.rules.BootPolicy
	}
	if name == "" {
		name = bootAcceptAll
	}
	e.compareLog()
	broken := e.boot.known() && (!json.Valid(e.boot.text) || string(bytes.TrimSpace(e.boot.text)) == "null")
	demanded := e.boot.known() && !broken && !measuredboot.IsEmpty(e.boot.text)
	if demanded && name != examplePolicy {
		e.compareOthers()
	}
	e.judgeTPM()
	if e.tpmErr != nil {
		e.find(policy.Finding{Check: CheckRecordPolicy, Where: "tpm_policy", Message: "tpm_policy cannot be read: " + e.tpmErr.Error()})
	}
	switch {
	case broken:
		e.find(policy.Finding{Check: CheckRecordPolicy, EventID: "pcr_validation.invalid_mb_policy", Where: "the measured-boot policy",
			Message: "the measured-boot policy is no JSON object"})
	case !demanded:
	case name == examplePolicy:
		if !p.rules.BootOnce || a.Count == 0 {
			e.judgeBoot()
		}
	case name == bootRejectAll:
		e.find(policy.Finding{Check: measuredboot.CheckPolicy, EventID: ofBootPolicy + bootRejectAll, Where: "the measured-boot policy",
			Message: "the verifier judges boots by the policy reject-all, which refuses each"})
	case name == bootAcceptAll:
		e.note("boots were judged by the rules accept-all, as the verifier is configured: log and PCRs have to agree, and the policy is not looked at; --boot-rules example judges by it")
	default:
		e.find(policy.Finding{Check: CheckRecordJudged, EventID: ofBootPolicy + name, Where: "the measured-boot policy", Expected: []string{bootAcceptAll, examplePolicy}, Found: []string{name},
			Message: fmt.Sprintf("the verifier judges boots by its policy %s, whose rules are not known here, so that no boot can be accepted", quoted(name)),
			Remedy:  "keylime_attest of Keylime itself knows the policies of measured_boot_imports"})
	}
	e.nothingOpen()
}

// otherBootPCRs are registers that a verifier compares with the log unless its
// rules for boots name fewer.
func otherBootPCRs() []int { return []int{11, 12, 13, 15} }

// compareOthers holds the boot log against the registers that are compared only
// by rules that do not name theirs.
func (e *explainer) compareOthers() {
	if e.log == nil {
		return // told already
	}
	bank := e.evidence.proven.Bank()
	replayed, err := e.log.Replay(bank)
	if err != nil {
		return // told already
	}
	for _, n := range otherBootPCRs() {
		value, quoted := e.evidence.proven.PCR(n)
		if !quoted || bytes.Equal(bytes.TrimLeft(value, "\x00"), bytes.TrimLeft(replayed[n], "\x00")) {
			continue
		}
		expected := replayed[n]
		if expected == nil {
			expected = make([]byte, len(value))
		}
		e.find(policy.Finding{Check: measuredboot.CheckPCR, EventID: fmt.Sprintf("measured_boot.invalid_pcr_%d", n), PCR: policy.Int(n), Where: fmt.Sprintf("PCR %d", n),
			Expected: []string{hex.EncodeToString(expected)}, Found: []string{hex.EncodeToString(value)},
			Message: fmt.Sprintf("the boot log gives PCR %d another value than the TPM has", n),
			Remedy:  "the verifier's measured_boot_policy_name = example does not compare this PCR, which is extended while the machine runs"})
	}
}

// nothingOpen refuses a record of which something was not judged, if nothing
// else has refused it: what is not judged is not good.
func (e *explainer) nothingOpen() {
	if len(e.x.Findings) > 0 {
		return
	}
	for _, c := range e.x.Checks {
		if c.Outcome == CheckNotJudged {
			e.find(policy.Finding{Check: CheckRecordJudged, Where: "the record", Message: fmt.Sprintf("the %s was not judged: %s", c.Name, c.Detail)})
		}
	}
}

package verifier

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// imaPCR is the register that IMA extends.
const imaPCR = 10

// bootPolicyName is the name of the measured-boot policy that is enforced.
const bootPolicyName = "example"

// tpmPolicy is what tpm_policy demands: the mask to ask for, and the values
// that registers may have.
type tpmPolicy struct {
	mask   string
	values map[int][]string
}

// parseTPMPolicy reads tpm_policy (PROTOCOL.md 10.3). A policy without a mask
// has an empty one.
func parseTPMPolicy(text string) (tpmPolicy, error) {
	p := tpmPolicy{values: map[int][]string{}}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		return p, fmt.Errorf("tpm_policy: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "mask" {
			if err := json.Unmarshal(keys[key], &p.mask); err != nil {
				return p, fmt.Errorf("tpm_policy: mask: %w", err)
			}
			continue
		}
		n, err := strconv.Atoi(key)
		if err != nil || n < 0 {
			return p, fmt.Errorf("tpm_policy: %.50q is not the number of a register", key)
		}
		var values []string
		if err := json.Unmarshal(keys[key], &values); err != nil {
			return p, fmt.Errorf("tpm_policy: register %d: %w", n, err)
		}
		p.values[n] = values
	}
	return p, nil
}

// rules are what one agent is judged by.
type rules struct {
	tpm tpmPolicy
	// boot is the text of the measured-boot policy, nil for null.
	boot *string
	// runtime makes the judge of IMA lists, when one is first needed.
	runtime func() (*runtime.Evaluator, error)
}

// evidence is what an agent shows beside its quote. Nothing in it is believed
// before it fits the quote.
type evidence struct {
	// list is the IMA list, nil if there is none; log the boot log in base64.
	list, log *string
	// ima is the state of the list, nil for a list that stands alone.
	ima *runtime.State
}

// judge holds a verified quote and its evidence against the rules, in the order
// of PROTOCOL.md 6.4, and returns every failure; none means a good quote.
// PCR 16 has been checked with the quote.
func (r rules) judge(ctx context.Context, q quote.Verified, ev evidence) ([]event, error) {
	var events []event
	log, failures := parseLog(ev.log, q.Bank())
	events = append(events, failures...)

	settled := map[int]bool{16: true}
	if value, quoted := q.PCR(imaPCR); quoted {
		settled[imaPCR] = true
		failures, err := r.judgeIMA(ctx, value, q.Bank(), log, ev)
		if err != nil {
			return nil, err
		}
		events = append(events, failures...)
	}
	bootPolicy, unusable := r.bootPolicy()
	if bootPolicy != nil && (log != nil || ev.log == nil) {
		events = append(events, r.compareLog(q, log, settled)...)
	}
	for _, n := range q.PCRs() {
		if !settled[n] {
			events = append(events, r.listed(q, n)...)
		}
	}
	if missing := r.unquoted(q); len(missing) > 0 {
		events = append(events, event{ofPCR + "missing_pcrs", missingPCRs{"PCRs are missing in quote", missing}})
	}
	switch {
	case unusable != nil:
		events = append(events, *unusable)
	case bootPolicy != nil:
		events = append(events, judgeBoot(bootPolicy, q, log)...)
	}
	return events, nil
}

type missingPCRs struct {
	Context string `json:"context"`
	Data    []int  `json:"data"`
}

// parseLog reads the boot log; log is nil if there is none, or a broken one.
func parseLog(encoded *string, bank string) (log *eventlog.Log, failures []event) {
	if encoded == nil || *encoded == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, []event{{ofBoot + "parser.log.base64decode", message{Message: err.Error()}}}
	}
	if log, err = eventlog.Parse(data); err != nil {
		return nil, []event{{ofBoot + "parser.tpm2_eventlog.error", message{Message: err.Error()}}}
	}
	if _, err := log.Replay(bank); err != nil {
		return nil, []event{{ofBoot + "parser.invalid_pcrs_hashes", message{Message: err.Error()}}}
	}
	return log, nil
}

// judgeIMA holds the IMA list against PCR 10 and the runtime policy.
func (r rules) judgeIMA(ctx context.Context, pcr []byte, bank string, log *eventlog.Log, ev evidence) ([]event, error) {
	if ev.list == nil {
		return []event{{ofPCR + "unused_pcr_10", message{Message: "IMA PCR in policy, but no measurement list provided"}}}, nil
	}
	var aggregates []string
	if log != nil {
		for _, bank := range log.Banks {
			values, err := log.BootAggregates(bank)
			if err != nil {
				continue // a bank that cannot be computed allows nothing
			}
			aggregates = append(aggregates, values...)
		}
	}
	evaluator, err := r.runtime()
	if err != nil {
		return nil, fmt.Errorf("runtime policy: %w", err)
	}
	verdict, err := evaluator.Evaluate(ctx, ev.ima, runtime.Evidence{
		List: strings.NewReader(*ev.list), PCR10: pcr, Bank: bank, BootAggregates: aggregates})
	if err != nil {
		return nil, fmt.Errorf("evaluating the IMA list: %w", err)
	}
	if verdict.Accepted {
		return nil, nil
	}
	events := ofFindings(verdict.Findings, "ima.pcr_mismatch")
	if len(events) == 0 {
		events = []event{{"ima.pcr_mismatch", message{Message: "the IMA list was refused"}}}
	}
	return events, nil
}

// bootPolicy is the measured-boot policy, nil if nothing is to be checked. A
// text that is no JSON, or no policy, is the failure.
func (r rules) bootPolicy() (*measuredboot.Policy, *event) {
	if r.boot == nil {
		return nil, nil
	}
	text := []byte(*r.boot)
	if len(text) > 0 && (!json.Valid(text) || strings.TrimSpace(*r.boot) == "null") {
		return nil, &event{ofPCR + "invalid_mb_policy", message{Message: "the measured-boot policy is not valid JSON"}}
	}
	if measuredboot.IsEmpty(text) {
		return nil, nil
	}
	p, err := measuredboot.Parse(text)
	if err != nil {
		return nil, &event{ofBoot + "policy_" + bootPolicyName, bootRefused{"Boot attestation failed", bootPolicyName, "policy evaluation failed: " + err.Error()}}
	}
	if p.IsEmpty() {
		return nil, nil
	}
	return p, nil
}

// compareLog holds the registers of the boot against what replaying the log
// gives, and against tpm_policy.
func (r rules) compareLog(q quote.Verified, log *eventlog.Log, settled map[int]bool) []event {
	var events []event
	var replayed map[int][]byte
	if log != nil {
		replayed, _ = log.Replay(q.Bank()) // parseLog has seen that it can be
	}
	for _, n := range measuredboot.RelevantPCRs() {
		value, quoted := q.PCR(n)
		if !quoted || settled[n] {
			continue
		}
		settled[n] = true
		if log == nil {
			events = append(events, event{fmt.Sprintf("%sunused_pcr_%d", ofPCR, n),
				message{Message: fmt.Sprintf("Measured Boot PCR %d in policy, but no measurement list provided", n)}})
			continue
		}
		if got, want := significant(value), significant(replayed[n]); got != want {
			events = append(events, event{fmt.Sprintf("%sinvalid_pcr_%d", ofBoot, n),
				compared{"SHA256 boot event log PCR value does not match", got, want}})
		}
		events = append(events, r.listed(q, n)...)
	}
	return events
}

// significant is a register's value in hex without leading zeros, as upstream
// compares it: a register that the log does not name counts as zero.
func significant(value []byte) string {
	text := strings.TrimLeft(hex.EncodeToString(value), "0")
	if text == "" {
		return "0"
	}
	return text
}

// listed holds one quoted register against tpm_policy.
func (r rules) listed(q quote.Verified, n int) []event {
	allowed, named := r.tpm.values[n]
	if !named {
		return nil
	}
	value, _ := q.PCR(n)
	got := hex.EncodeToString(value)
	if slices.Contains(allowed, got) {
		return nil
	}
	return []event{{fmt.Sprintf("%sinvalid_pcr_%d", ofPCR, n), compared{"PCR value is not in allowlist", got, allowed}}}
}

// unquoted are the registers that tpm_policy names and the quote lacks.
func (r rules) unquoted(q quote.Verified) []int {
	var missing []int
	for _, n := range slices.Sorted(maps.Keys(r.tpm.values)) {
		if _, quoted := q.PCR(n); !quoted {
			missing = append(missing, n)
		}
	}
	return missing
}

// judgeBoot evaluates the measured-boot policy.
func judgeBoot(p *measuredboot.Policy, q quote.Verified, log *eventlog.Log) []event {
	var missing []int
	for _, n := range measuredboot.RelevantPCRs() {
		if _, quoted := q.PCR(n); !quoted {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return []event{{ofBoot + "missing_pcrs", missingPCRs{"PCRs specified for policy example not in quote", missing}}}
	}
	if log == nil {
		return nil // told already, register by register
	}
	verdict := p.Evaluate(log, measuredboot.EvaluateOptions{})
	if verdict.Accepted {
		return nil
	}
	reasons := make([]string, 0, len(verdict.Findings))
	for _, f := range verdict.Findings {
		reasons = append(reasons, f.Message)
	}
	return []event{{ofBoot + "policy_" + bootPolicyName, bootRefused{"Boot attestation failed", bootPolicyName, strings.Join(reasons, "; ")}}}
}

// bootRefused is the context of a boot that the policy refuses.
type bootRefused struct {
	Context string `json:"context"`
	Policy  string `json:"policy"`
	Reason  string `json:"reason"`
}

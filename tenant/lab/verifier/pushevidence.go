package verifier

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// debugPCR is quoted of an agent of whom no policy demands a register: upstream
// asks such an agent for nothing, and so never attests it.
const debugPCR = 16

// choose says what an agent is to show, out of what it can: the registers that
// its policies need, and the logs that explain them. As upstream it does not look
// at the mask of tpm_policy. The caller holds the lock.
func (s *Server) choose(e *enrolled, a *attestation, offer wire.Offer, challenge string) error {
	x := e.Push.visit.examiner
	registers := map[int]bool{}
	for n, values := range x.rules.tpm.values {
		if len(values) > 0 {
			registers[n] = true
		}
	}
	boot := x.rules.boot != nil && *x.rules.boot != ""
	files := e.Record.HasRuntimePolicy != 0
	if boot {
		for n := range 24 {
			if measuredboot.Mask&(1<<n) != 0 {
				registers[n] = true
			}
		}
	}
	if files {
		registers[imaPCR] = true
	}
	if len(registers) == 0 {
		registers[debugPCR] = true
	}
	a.registers = slices.Sorted(maps.Keys(registers))
	certification, err := chooseQuote(e.Request, offer, a.registers)
	if err != nil {
		return err
	}
	certification.Chosen.Challenge = challenge
	a.Evidence = []wire.Evidence{*certification}
	if boot {
		log := wire.Find(offer.Supported, wire.TypeUEFILog)
		if log == nil || log.Capabilities == nil || !slices.Contains(log.Capabilities.Formats, wire.FormatBinary) {
			return errors.New("evidence_supported must contain a log item of type 'uefi_log' with format 'application/octet-stream' per agent policy")
		}
		a.Evidence = append(a.Evidence, wire.Evidence{Class: wire.ClassLog, Type: wire.TypeUEFILog, Capabilities: log.Capabilities,
			Chosen: &wire.ChosenParameters{Format: wire.FormatBinary}})
	}
	if !files {
		return nil
	}
	list := wire.Find(offer.Supported, wire.TypeIMALog)
	switch {
	case list == nil || list.Capabilities == nil || !slices.Contains(list.Capabilities.Formats, wire.FormatText) ||
		list.Capabilities.SupportsPartialAccess == nil || !*list.Capabilities.SupportsPartialAccess:
		return errors.New("evidence_supported must contain a log item of type 'ima_log' with format 'text/plain' and which supports partial access per agent policy")
	case list.Capabilities.EntryCount == nil:
		return errors.New("evidence_supported: entry_count is required for ima_log evidence")
	case offer.SystemInfo.BootTime == nil:
		return errors.New("system_info: boot_time is required")
	}
	booted := offer.SystemInfo.BootTime.Unix()
	if x.rebooted(&booted) {
		x.ima.Reset()
	}
	first := x.ima.NextEntry
	if first > *list.Capabilities.EntryCount {
		return fmt.Errorf("evidence_supported: entry_count must be greater than or equal to the calculated starting offset of '%d'", first)
	}
	a.Evidence = append(a.Evidence, wire.Evidence{Class: wire.ClassLog, Type: wire.TypeIMALog, Capabilities: list.Capabilities,
		Chosen: &wire.ChosenParameters{StartingOffset: &first, Format: wire.FormatText}})
	return nil
}

// chooseQuote settles with which key and algorithms registers are to be quoted.
func chooseQuote(request wire.AddRequest, offer wire.Offer, registers []int) (*wire.Evidence, error) {
	item := wire.Find(offer.Supported, wire.TypeTPMQuote)
	if item == nil || item.Capabilities == nil {
		return nil, errors.New("evidence_supported must contain a certification item of type 'tpm_quote' per agent policy")
	}
	c := item.Capabilities
	for _, key := range c.CertificationKeys {
		for _, scheme := range request.AcceptTPMSigningAlgs {
			if !slices.Contains(c.SignatureSchemes, scheme) || !allows(key.AllowedSchemes, scheme) || strings.HasPrefix(scheme, "rsa") != (key.KeyAlgorithm == "rsa") {
				continue
			}
			for _, hash := range request.AcceptTPMHashAlgs {
				has := c.AvailableSubjects[hash]
				lacks := slices.ContainsFunc(registers, func(n int) bool { return !slices.Contains(has, n) })
				if !slices.Contains(c.HashAlgorithms, hash) || !allows(key.AllowedHashes, hash) || has == nil || lacks {
					continue
				}
				selected := wire.Subjects{}
				for bank := range c.AvailableSubjects {
					selected[bank] = nil
				}
				selected[hash] = registers
				return &wire.Evidence{Class: wire.ClassCertification, Type: wire.TypeTPMQuote, Capabilities: c,
					Chosen: &wire.ChosenParameters{SignatureScheme: scheme, HashAlgorithm: hash, SelectedSubjects: selected, CertificationKey: &key}}, nil
			}
		}
	}
	return nil, errors.New("evidence_supported must have 'tpm_quote' with capabilities which are valid and satisfy agent policy (check keys, schemes, hashes and PCRs)")
}

// allows says that a restriction, none if it is nil, lets an algorithm pass.
func allows(restriction []string, algorithm string) bool {
	return restriction == nil || slices.Contains(restriction, algorithm)
}

// complete says whether evidence has all that was asked for, and counts its
// entries.
func complete(asked wire.Evidence, data *wire.EvidenceData) error {
	switch asked.Type {
	case wire.TypeTPMQuote:
		blob, err := base64.StdEncoding.DecodeString(string(data.SubjectData))
		if err != nil {
			return errors.New("evidence_collected: subject_data must be valid binary")
		}
		pcrs, err := quote.ParsePCRBlob(blob)
		if err != nil {
			return fmt.Errorf("evidence_collected: subject_data: %w", err)
		}
		for _, n := range asked.Chosen.SelectedSubjects[asked.Chosen.HashAlgorithm] {
			if !slices.ContainsFunc(pcrs.Selections, func(in quote.Selection) bool {
				return in.Bank == asked.Chosen.HashAlgorithm && slices.Contains(in.PCRs, n)
			}) {
				return errors.New("evidence_collected: subject_data must contain at least the PCRs requested")
			}
		}
		data.Meta = readably(pcrs)
	case wire.TypeIMALog:
		n := 0
		if data.Entries != nil {
			n = strings.Count(*data.Entries, "\n")
		}
		data.EntryCount = &n
		if want := *asked.Capabilities.EntryCount - *asked.Chosen.StartingOffset; n < want {
			return fmt.Errorf("evidence_collected: entries must contain at least %d entries based on the total reported log length and chosen starting offset", want)
		}
	}
	return nil
}

// readably is what upstream adds to the evidence of a quote: the registers as it
// reads them.
func readably(blob quote.PCRBlob) json.RawMessage {
	values := blob.Values
	banks := map[string]map[string]string{}
	for _, selection := range blob.Selections {
		banks[selection.Bank] = map[string]string{}
		for _, n := range selection.PCRs {
			if len(values) == 0 {
				return nil // not reached: the reader has counted them
			}
			banks[selection.Bank][strconv.Itoa(n)] = "0x" + hex.EncodeToString(values[0])
			values = values[1:]
		}
	}
	text, err := json.Marshal(map[string]any{"pcrs": banks})
	if err != nil {
		return nil
	}
	return text
}

// judgePushed judges the evidence of an attestation by the same rules as a quote
// that was asked for, and keeps what comes of it.
func (s *Server) judgePushed(e *enrolled, a *attestation) {
	x := e.Push.visit.examiner
	events := x.judgePushed(s.ctx, a)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Push.visit.busy = false
	if s.agents[e.ID] != e || s.ctx.Err() != nil {
		return // deleted, or the end has come meanwhile
	}
	s.came(e)
	a.Stage = wire.StageComplete
	if len(events) > 0 {
		a.Evaluation = wire.EvaluationFail
		s.refuse(e, events)
	} else {
		a.Evaluation = wire.EvaluationPass
		// hash_alg and its like stay empty, as upstream leaves them.
		e.Record.AttestationCount++
		e.Record.LastSuccessfulAttestation = e.Record.LastReceivedQuote
		s.extend(e.ID)
	}
	e.Push.drop()
}

// judgePushed holds evidence against the rules; no event means that it is good.
func (x *examiner) judgePushed(ctx context.Context, a *attestation) []event {
	certification := wire.Find(a.Evidence, wire.TypeTPMQuote)
	chosen, data := certification.Chosen, certification.Data
	verified, err := quote.Verify(
		quote.Untrusted{Quote: "r" + data.Message + ":" + data.Signature + ":" + string(data.SubjectData), HashAlg: chosen.HashAlgorithm, SignAlg: chosen.SignatureScheme},
		quote.Expect{AK: x.ak, Nonce: chosen.Challenge, DecodedNonce: true, AcceptHash: x.request.AcceptTPMHashAlgs, AcceptSign: x.request.AcceptTPMSigningAlgs,
			Clock: x.clock, Selection: a.registers})
	if err != nil {
		return []event{ofQuoteError(err)}
	}
	// The next list begins where the last good one ended, also after a failure.
	state := x.ima
	shown := evidence{ima: &state}
	if log := wire.Find(a.Evidence, wire.TypeUEFILog); log != nil {
		shown.log = log.Data.Entries
	}
	if list := wire.Find(a.Evidence, wire.TypeIMALog); list != nil {
		if shown.list = list.Data.Entries; shown.list == nil {
			empty := ""
			shown.list = &empty
		}
	}
	events, err := x.rules.judge(ctx, verified, shown)
	if err != nil {
		return []event{internalEvent("exception", err)}
	}
	clock := verified.Clock()
	x.clock = &clock
	if len(events) == 0 {
		x.ima = state
	}
	return events
}

// drop forgets an attestation that passed between two others of its boot, as
// upstream does, and the oldest of too many failures.
func (p *pushed) drop() {
	if n := len(p.Attestations); n >= 3 {
		last, before, first := p.Attestations[n-1], p.Attestations[n-2], p.Attestations[n-3]
		if last.Evaluation == wire.EvaluationPass && before.Evaluation == wire.EvaluationPass && sameTime(before.AttestationRecord, first.AttestationRecord) {
			p.Attestations = slices.Delete(p.Attestations, n-2, n-1)
		}
	}
	failed := 0
	for i := len(p.Attestations) - 1; i >= 0; i-- {
		if p.Attestations[i].Evaluation != wire.EvaluationFail {
			continue
		}
		if failed++; failed > keptFailures {
			p.Attestations = slices.Delete(p.Attestations, i, i+1)
		}
	}
}

func sameTime(a, b wire.AttestationRecord) bool {
	x, y := a.SystemInfo.BootTime, b.SystemInfo.BootTime
	return x == y || x != nil && y != nil && x.Equal(*y)
}

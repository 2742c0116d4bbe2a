package agent

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// Versions that the Rust agent reports of its evidence.
const (
	tpmVersion     = "2.0"
	bootLogVersion = "2.1"
)

// errShrunk: the machine was booted between offer and evidence.
var errShrunk = errors.New("the machine has been booted since it made its offer")

// offer says what the agent can show (PROTOCOL.md 2.4): a quote by its AK in the
// bank of the AK's hash, the boot log, and the IMA list from any line on.
func (a *Agent) offer() verifier.Offer {
	shown := a.machine.shown()
	a.overlay(&shown)
	items := []verifier.Evidence{{Class: verifier.ClassCertification, Type: verifier.TypeTPMQuote, Capabilities: a.quoting()}}
	no, yes := false, true
	if shown.Log != nil {
		c := &verifier.Capabilities{EvidenceVersion: bootLogVersion, SupportsPartialAccess: &no, Appendable: &no, Formats: []string{verifier.FormatBinary}}
		if log, err := eventlog.Parse(shown.Log); err == nil {
			n := len(log.Events)
			c.EntryCount = &n
		}
		items = append(items, verifier.Evidence{Class: verifier.ClassLog, Type: verifier.TypeUEFILog, Capabilities: c})
	}
	if shown.IMA != nil {
		n := bytes.Count(shown.IMA, []byte{'\n'})
		items = append(items, verifier.Evidence{Class: verifier.ClassLog, Type: verifier.TypeIMALog, Capabilities: &verifier.Capabilities{
			EntryCount: &n, SupportsPartialAccess: &yes, Appendable: &yes, Formats: []string{verifier.FormatText}}})
	}
	booted := time.Unix(shown.Booted, 0).UTC()
	return verifier.Offer{Supported: items, SystemInfo: verifier.SystemInfo{BootTime: &booted}}
}

// quoting says what the TPM can quote. The AK signs with one scheme and one
// hash, whose bank it quotes.
func (a *Agent) quoting() *verifier.Capabilities {
	tpm := a.machine.tpm
	all := make([]int, maxPCR+1)
	for n := range all {
		all[n] = n
	}
	banks := verifier.Subjects{}
	for _, bank := range softtpm.Banks() {
		banks[bank] = all
	}
	algorithm, bits := tpm.AKAlg()
	return &verifier.Capabilities{
		ComponentVersion: tpmVersion, SignatureSchemes: []string{tpm.SignAlg()}, HashAlgorithms: softtpm.Banks(), AvailableSubjects: banks,
		CertificationKeys: []verifier.CertificationKey{{KeyClass: "asymmetric", KeyAlgorithm: algorithm, KeySize: bits, ServerIdentifier: "ak",
			LocalIdentifier: base64.StdEncoding.EncodeToString(tpm.AKName()), PublicB64: base64.StdEncoding.EncodeToString(tpm.AKPublic()),
			AllowedSchemes: []string{tpm.SignAlg()}, AllowedHashes: []string{tpm.HashAlg()}}},
	}
}

// show collects what the verifier has asked for, in its order: everything of one
// moment, so that the lists lead to the registers.
func (a *Agent) show(requested []verifier.Evidence) ([]verifier.Evidence, error) {
	certification := verifier.Find(requested, verifier.TypeTPMQuote)
	if certification == nil || certification.Chosen == nil {
		return nil, errors.New("the verifier asks for no quote: it has no policy for this agent that a quote could satisfy")
	}
	chosen := certification.Chosen
	nonce, err := base64.StdEncoding.DecodeString(chosen.Challenge)
	if err != nil || len(nonce) == 0 {
		return nil, fmt.Errorf("the verifier's challenge %.50q is not base64", chosen.Challenge)
	}
	shown, quoted, err := a.machine.certify(nonce, chosen.SelectedSubjects[a.machine.tpm.HashAlg()])
	if err != nil {
		return nil, err
	}
	a.overlay(&shown)
	items := make([]verifier.Evidence, 0, len(requested))
	for _, r := range requested {
		item := verifier.Evidence{Class: r.Class, Type: r.Type}
		switch r.Type {
		case verifier.TypeTPMQuote:
			item.Data = quoted
		case verifier.TypeUEFILog:
			text := base64.StdEncoding.EncodeToString(shown.Log)
			item.Data = &verifier.EvidenceData{Entries: &text}
		case verifier.TypeIMALog:
			if item.Data, err = imaEntries(shown.IMA, r.Chosen); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("the verifier asks for %.50q, which this agent does not offer", r.Type)
		}
		items = append(items, item)
	}
	return items, nil
}

// imaEntries is the part of the list that was asked for.
func imaEntries(list []byte, chosen *verifier.ChosenParameters) (*verifier.EvidenceData, error) {
	first, count := 0, -1
	if chosen != nil && chosen.StartingOffset != nil {
		first = *chosen.StartingOffset
	}
	if chosen != nil && chosen.EntryCount != nil {
		count = *chosen.EntryCount
	}
	rest, from := fromEntry(list, max(first, 0))
	if from != max(first, 0) {
		return nil, errShrunk
	}
	if count >= 0 {
		rest = firstEntries(rest, count)
	}
	text, n := string(rest), bytes.Count(rest, []byte{'\n'})
	return &verifier.EvidenceData{EntryCount: &n, Entries: &text}, nil
}

// firstEntries is the list up to the end of its nth line.
func firstEntries(list []byte, n int) []byte {
	end := 0
	for range n {
		i := bytes.IndexByte(list[end:], '\n')
		if i < 0 {
			return list
		}
		end += i + 1
	}
	return list[:end]
}

// shown is what the machine shows without a quote.
func (m *Machine) shown() Shown {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Shown{Boot: m.boot, Booted: m.booted}
}

// certify quotes registers in the bank of the AK's hash, none but those asked
// for: the push model has no transport key that PCR 16 could bind.
func (m *Machine) certify(nonce []byte, registers []int) (Shown, *verifier.EvidenceData, error) {
	if slices.ContainsFunc(registers, func(n int) bool { return n < 0 || n > maxPCR }) {
		return Shown{}, nil, fmt.Errorf("the verifier asks for registers %v, and there is none above %d", registers, maxPCR)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	attest, signature, blob, err := m.tpm.Quote(nonce, registers, m.tpm.HashAlg())
	if err != nil {
		return Shown{}, nil, fmt.Errorf("quoting: %w", err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return Shown{Boot: m.boot, Booted: m.booted},
		&verifier.EvidenceData{Message: b64(attest), Signature: b64(signature), SubjectData: verifier.Blob(b64(blob))}, nil
}

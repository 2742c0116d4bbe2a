package tenant

import (
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// checkOfEvent is the check that a verifier's event belongs to (PROTOCOL.md
// 13), "" for an event that belongs to none. The longest prefix rules.
func checkOfEvent(id string) string {
	best, part := "", ""
	for prefix, of := range map[string]string{
		"internal.verifier.not_reachable":         PartAgent,
		"internal.verifier.no_":                   PartAgent,
		"internal.verifier.version_not_supported": PartAgent,
		"qoute_validation.":                       PartQuote,
		"pcr_validation.missing_pcr_16":           PartQuote,
		"pcr_validation.invalid_pcr_16":           PartQuote,
		"pcr_validation.unused_pcr_10":            PartFiles,
		"pcr_validation.unused_pcr_":              PartLog,
		"pcr_validation.invalid_pcr_":             PartTPM,
		"pcr_validation.missing_pcrs":             PartTPM,
		"pcr_validation.invalid_mb_policy":        PartBoot,
		"measured_boot.parser":                    PartLog,
		"measured_boot.invalid_pcr_":              PartLog,
		"measured_boot.missing_pcrs":              PartBoot,
		ofBootPolicy:                              PartBoot,
		"ima.":                                    PartFiles,
	} {
		if strings.HasPrefix(id, prefix) && len(prefix) > len(best) {
			best, part = prefix, of
		}
	}
	return part
}

// closeness says how near a finding is to an event.
type closeness int

const (
	sameEvent closeness = iota // it is what the verifier has seen
	sameCheck                  // it belongs to the same check
	unrelated
)

// families are prefixes of events that differ in detail only: by the name of
// the verifier's boot policy, or by the tool that reads the log.
func families() []string {
	return []string{ofBootPolicy, "measured_boot.parser.", eventUnreachable, "pcr_validation.unused_pcr_"}
}

// nearness holds a finding against an event.
func nearness(event string, f policy.Finding) closeness {
	switch {
	case event == "":
		return unrelated
	case event == f.EventID,
		// A wrong signature shows as a missing register (PROTOCOL.md 6.2).
		event == "pcr_validation.missing_pcr_16" && f.Check == checkQuote+string(quote.CheckSignature):
		return sameEvent
	}
	for _, family := range families() {
		if strings.HasPrefix(event, family) && strings.HasPrefix(f.EventID, family) && checkOfEvent(event) == checkOfEvent(f.EventID) {
			return sameEvent
		}
	}
	if part := checkOfEvent(event); part != "" && part == checkOfEvent(f.EventID) {
		return sameCheck
	}
	return unrelated
}

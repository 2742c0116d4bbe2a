package tenant

import "strings"

// eventWords says in words what a verifier's event id means (PROTOCOL.md 13).
// The longest prefix rules.
func eventWords() map[string]string {
	return map[string]string{
		"qoute_validation.quote_validation":         "the quote is not genuine: its signature, nonce, register digest or clock is wrong",
		"qoute_validation.invalid_data":             "the agent's answer lacks parts of a quote",
		"qoute_validation.no_pubkey":                "the agent did not send its transport key",
		"qoute_validation.invalid_hash_alg":         "the agent's hash algorithm is not accepted",
		"qoute_validation.invalid_enc_alg":          "the agent's encryption algorithm is not accepted",
		"qoute_validation.invalid_sign_alg":         "the agent's signing algorithm is not accepted",
		"qoute_validation.invalid_ima_entry_nb":     "the agent sent another part of its IMA list than was asked for",
		"qoute_validation":                          "the quote is not valid",
		"pcr_validation.missing_pcr_16":             "the quote lacks PCR 16, which binds the agent's transport key",
		"pcr_validation.invalid_pcr_16":             "PCR 16 does not bind the agent's transport key",
		"pcr_validation.unused_pcr_10":              "PCR 10 was quoted, but the agent sent no IMA list",
		"pcr_validation.unused_pcr_":                "PCR # was quoted, but the agent sent no boot log",
		"pcr_validation.invalid_pcr_":               "PCR # does not have a value that tpm_policy accepts",
		"pcr_validation.missing_pcrs":               "the quote lacks registers that tpm_policy names",
		"pcr_validation.invalid_mb_policy":          "the measured-boot policy on the verifier is not valid",
		"measured_boot.invalid_pcr_":                "PCR # does not match the boot log",
		"measured_boot.missing_pcrs":                "the quote lacks registers that the measured-boot policy needs",
		"measured_boot.policy_":                     "the boot log does not satisfy the measured-boot policy",
		"measured_boot.parser":                      "the verifier cannot read the boot log",
		"measured_boot":                             "measured boot does not satisfy the policy",
		"ima.parser.entry":                          "the IMA list has a line that Keylime does not understand",
		"ima.validation.ima_pcr":                    "the IMA list was made for another register than 10",
		"ima.validation.tomtou":                     "a file was open for writing while it was measured",
		"ima.validation.ima_hash":                   "a line of the IMA list does not match its own hash",
		"ima.validation.ima-ng.not_in_allowlist":    "a file was used that the runtime policy does not list",
		"ima.validation.ima-ng.runtime_policy_hash": "a file was used whose content the runtime policy does not accept",
		"ima.validator.ima-sig.invalid_signature":   "a file has a signature that no verification key accepts",
		"ima.invalid_key":                           "a key was measured that Keylime does not understand",
		"ima.pcr_mismatch":                          "the IMA list does not match PCR 10",
		"ima.quote_progress":                        "the IMA list and PCR 10 do not advance together",
		"ima":                                       "the IMA list does not satisfy the runtime policy",
		"internal.verifier.not_reachable_v":         "the verifier could not give the agent its share of the key",
		"internal.verifier.not_reachable":           "the verifier cannot reach the agent",
		"internal.verifier.no_quote":                "the agent refused to give the verifier a quote",
		"internal.verifier.no_v":                    "the agent refused its share of the key",
		"internal.verifier.version_not_supported":   "agent and verifier have no API version in common",
		"internal.verifier.exception":               "the verifier failed while it judged the quote; its log says more",
		"internal":                                  "the verifier failed",
	}
}

// DescribeEvent says in words what a verifier's last_event_id means, "" for an
// id that is empty. An id that nobody has described is repeated, quoted.
func DescribeEvent(id string) string {
	if id == "" {
		return ""
	}
	best, words := "", ""
	for prefix, text := range eventWords() {
		if strings.HasPrefix(id, prefix) && len(prefix) > len(best) {
			best, words = prefix, text
		}
	}
	if words == "" {
		return "event " + quoted(id)
	}
	if strings.Contains(words, "#") {
		number := id[len(best):]
		if end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			number = number[:end]
		}
		if number == "" || len(number) > 2 {
			return "event " + quoted(id)
		}
		words = strings.ReplaceAll(words, "#", number)
	}
	return words
}

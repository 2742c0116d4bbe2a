package quote

// EventID is the id that a Keylime verifier gives the same failure (PROTOCOL.md
// 4.10, step 6; 6.1, 6.4 and 13; the first component is misspelt on the wire).
//
// A verifier of upstream shows a wrong signature as
// pcr_validation.missing_pcr_16 (PROTOCOL.md 6.2); this is the id that it is
// meant to have.
func (c Check) EventID() string {
	switch c {
	case CheckFormat, CheckAK:
		return "internal.verifier.exception"
	case CheckAcceptedHash:
		return "qoute_validation.invalid_hash_alg"
	case CheckAcceptedEnc:
		return "qoute_validation.invalid_enc_alg"
	case CheckAcceptedSign:
		return "qoute_validation.invalid_sign_alg"
	case CheckTransportKey:
		return "qoute_validation.no_pubkey"
	case CheckPCR16Missing:
		return "pcr_validation.missing_pcr_16"
	case CheckPCRMissing:
		return "pcr_validation.missing_pcrs"
	case CheckPCR16Binding:
		return "pcr_validation.invalid_pcr_16"
	}
	return "qoute_validation.quote_validation"
}

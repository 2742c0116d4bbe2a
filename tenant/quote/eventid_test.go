package quote_test

import (
	"testing"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// TestEventID: each check has the id under which a verifier would report it.
func TestEventID(t *testing.T) {
	t.Parallel()
	const base = "qoute_validation.quote_validation"
	for check, want := range map[quote.Check]string{
		quote.CheckFormat: "internal.verifier.exception", quote.CheckAK: "internal.verifier.exception",
		quote.CheckAcceptedHash: "qoute_validation.invalid_hash_alg", quote.CheckAcceptedEnc: "qoute_validation.invalid_enc_alg",
		quote.CheckAcceptedSign: "qoute_validation.invalid_sign_alg", quote.CheckTransportKey: "qoute_validation.no_pubkey",
		quote.CheckPCR16Missing: "pcr_validation.missing_pcr_16", quote.CheckPCR16Binding: "pcr_validation.invalid_pcr_16",
		quote.CheckPCRMissing: "pcr_validation.missing_pcrs",
		quote.CheckSignature:  base, quote.CheckNonce: base, quote.CheckPCRDigest: base, quote.CheckClockTime: base, quote.CheckScheme: base,
	} {
		if got := check.EventID(); got != want {
			t.Errorf("%s: %s, want %s", check, got, want)
		}
	}
}

package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/policy"
)

// TestAttestReasons: what scripts look for in the output of keylime_attest, for
// each part of the evidence.
func TestAttestReasons(t *testing.T) {
	t.Parallel()
	for check, want := range map[string][]attestReason{
		"ima.not-in-policy": {{loggerIMA, pylog.Warning, "File not found in allowlist: /x"}, {loggerIMA, pylog.Error, "IMA ERRORS: Some entries couldn't be validated. Number of failures: 1."}},
		"ima.digest":        {{loggerIMA, pylog.Warning, "why"}, {loggerIMA, pylog.Error, "IMA ERRORS: Some entries couldn't be validated. Number of failures: 1."}},
		"quote.signature":   {{loggerTPM, pylog.Error, "Error verifying quote: why [cryptography.exceptions.InvalidSignature]"}},
		"quote.nonce":       {{loggerTPM, pylog.Error, "Error verifying quote: why"}},
		"quote.clock-reset": {{loggerTPM, pylog.Error, "why"}},
		"tpm-policy.pcr":    {{loggerTPM, pylog.Error, "why"}},
		"measured-boot.pcr": {{loggerBoot, pylog.Error, "why"}},
		"record.ak":         {{loggerReplay, pylog.Error, "why"}},
	} {
		got := attestReasons([]policy.Finding{{Check: check, Where: "/x", Message: "why"}})
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(attestReason{})); diff != "" {
			t.Errorf("%s: %s", check, diff)
		}
	}
	if got := attestReasons(nil); got != nil {
		t.Errorf("%v", got)
	}
}

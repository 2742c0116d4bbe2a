package tenant

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// TestEKRequire: what vouches for an EK under each rule, and what refuses it.
func TestEKRequire(t *testing.T) {
	t.Parallel()
	public, err := ek.ParsePublic(newWorld(t).machine.tpm.EKPublic())
	if err != nil {
		t.Fatal(err)
	}
	hash, other := public.KeyHash(), strings.Repeat("0a", 32)
	const none = "(no file)"
	noCert := func(w *world, _ *EKRules) { w.record.EKCert = nil }
	noStore := func(_ *world, r *EKRules) { r.StoreDir = emptyDir }
	for _, test := range []struct {
		name    string
		require EKRequire
		pins    string
		arrange func(*world, *EKRules)
		want    EKOutcome
		check   ek.Check
	}{
		{"chain asks for no pin", EKChain, none, nil, EKByCertificate, ""},
		{"pin asks for no certificate", EKPinned, hash + " " + testID, noCert, EKByPin, ""},
		{"pin with a script", EKPinned, hash, func(_ *world, r *EKRules) { r.Script, r.WorkDir = "/bin/true", "/" }, EKByPinScript, ""},
		{"pin missing", EKPinned, other, nil, "", ek.CheckPin},
		{"pin of the id for another EK", EKPinned, hash + "\n" + other + " " + testID, nil, "", ek.CheckPinOther},
		{"list missing", EKPinned, none, nil, "", ek.CheckPinList},
		{"list malformed", EKPinned, "x", nil, "", ek.CheckPinList},
		{"both", EKBoth, hash, nil, EKByCertPin, ""},
		{"both, whatever require_ek_cert says", EKBoth, hash, func(w *world, r *EKRules) { w.record.EKCert, r.RequireCert = nil, false }, "", ek.CheckNoCertificate},
		{"both with a script", EKBoth, hash, func(_ *world, r *EKRules) { r.Script, r.WorkDir = "/bin/true", "/" }, EKByAll, ""},
		{"both, pin missing", EKBoth, other, nil, "", ek.CheckPin},
		{"both, chain missing", EKBoth, hash, noStore, "", ek.CheckStore},
		{"either by pin", EKEither, hash, noStore, EKByPin, ""},
		{"either by chain", EKEither, other, nil, EKByCertificate, ""},
		{"either by chain without a list", EKEither, none, nil, EKByCertificate, ""},
		{"either by chain with an empty list", EKEither, "# nothing\n", nil, EKByCertificate, ""},
		{"either, but the id is bound to another EK", EKEither, other + " " + testID, nil, "", ek.CheckPinOther},
		{"either, but the list is malformed", EKEither, "x", nil, "", ek.CheckPinList},
		{"neither", EKEither, other, noCert, "", ek.CheckNoCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tenant := w.tenant(t)
			tenant.EK.Require, tenant.EK.PinFile = test.require, filepath.Join(t.TempDir(), "pins")
			if test.pins != none {
				if err := os.WriteFile(tenant.EK.PinFile, []byte(test.pins), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.arrange != nil {
				test.arrange(w, &tenant.EK)
			}
			outcome, err := tenant.VerifyEK(context.Background(), w.record)
			if outcome != test.want || (err != nil) != (test.check != "") || err != nil && !isEKCheck(test.check)(err) {
				t.Errorf("%q, %v", outcome, err)
			}
			var step *StepError
			if err != nil && test.pins != "x" && (!errors.As(err, &step) || step.Step != StepVerifyEK || step.Hint == "") {
				t.Errorf("no hint: %v", err)
			}
			pinned := slices.Contains(w.log, "EKPinFound")
			if wantPinned := strings.Contains(string(test.want), "pin"); test.check == "" && pinned != wantPinned {
				t.Errorf("told %q", w.log)
			}
			// Add goes by the same rule.
			result, addErr := tenant.Add(context.Background(), goodAdd())
			if (addErr == nil) != (err == nil) || addErr == nil && result.EK != test.want {
				t.Errorf("add: %v, %v", result, addErr)
			}
		})
	}
}

package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// EKRules say how the endorsement key of an agent is vouched for.
type EKRules struct {
	// RequireCert demands a certificate that leads to one of StoreDir
	// (require_ek_cert).
	RequireCert bool
	// Compat checks certificates as leniently as the Python tenant does
	// (ek_check = compat); it is told as a [Warning].
	Compat bool
	// StoreDir is the directory of trusted certificates (tpm_cert_store).
	StoreDir string
	// Script is asked too, "" for none (ek_check_script). WorkDir is its
	// working directory and where a relative path is looked up, Env its
	// environment as "NAME=value" without the variables of PROTOCOL.md 9.
	Script, WorkDir string
	Env             []string
	// AllowEmulator accepts the word "emulator" in place of a certificate
	// (KEYLIME_TEST).
	AllowEmulator bool
}

// EKOutcome says what vouched for an endorsement key.
type EKOutcome string

// The outcomes of an EK check that did not fail.
const (
	EKByCertificate EKOutcome = "certificate"
	EKByScript      EKOutcome = "script"
	EKByBoth        EKOutcome = "certificate and script"
	EKByNobody      EKOutcome = "unchecked"
	EKEmulator      EKOutcome = "emulator"
)

// emulatorCert stands in for the certificate of an emulated TPM.
const emulatorCert = "emulator"

// checkEK says what vouches for the TPM that the registrar has bound the AK
// to. It checks, in this order:
//
//   - the registered EK can be read;
//   - with RequireCert: there is a certificate, it is for this very EK, and
//     it leads to a certificate of the store (see [ek.Store.Verify]);
//   - with a script: it ends with exit code 0.
//
// Without either it is told as [EKUnchecked]. Errors: *[ek.VerificationError],
// *[ek.ScriptError], or that of a record that cannot be read.
func (t *Tenant) checkEK(ctx context.Context, a *registrar.Agent) (EKOutcome, error) {
	tpm, err := base64.StdEncoding.DecodeString(a.EKTPM)
	if err != nil {
		return "", &ek.VerificationError{Check: ek.CheckPublic, Err: errors.New("the registrar's ek_tpm is not base64")}
	}
	var outcome EKOutcome
	if t.EK.RequireCert {
		if outcome, err = t.checkEKCert(a, tpm); err != nil {
			return "", err
		}
	}
	if t.EK.Script == "" {
		if outcome == "" {
			t.emit(EKUnchecked{ID: a.ID})
			return EKByNobody, nil
		}
		return outcome, nil
	}
	if err := t.askEKScript(ctx, a, tpm); err != nil {
		return "", err
	}
	if outcome == EKByCertificate {
		return EKByBoth, nil
	}
	return EKByScript, nil
}

func (t *Tenant) checkEKCert(a *registrar.Agent, tpm []byte) (EKOutcome, error) {
	refuse := func(check ek.Check, cause string) error {
		return &ek.VerificationError{Check: check, StoreDir: t.EK.StoreDir, Err: errors.New(cause)}
	}
	if a.EKCert == nil || *a.EKCert == "" {
		return "", refuse(ek.CheckNoCertificate, "the registrar holds no EK certificate of this agent, and require_ek_cert demands one")
	}
	if *a.EKCert == emulatorCert {
		if t.EK.AllowEmulator {
			return EKEmulator, nil
		}
		return "", refuse(ek.CheckCertificate, "it says \"emulator\", which counts in test mode only")
	}
	der, err := base64.StdEncoding.DecodeString(*a.EKCert)
	if err != nil {
		return "", refuse(ek.CheckCertificate, "the registrar's ekcert is not base64")
	}
	store, err := ek.LoadStore(t.EK.StoreDir)
	if err != nil {
		return "", err
	}
	for _, s := range store.Skipped() {
		t.emit(EKSkipped(s))
	}
	if t.EK.Compat {
		t.emit(Warning{Kind: WarnEKCompat, ID: a.ID, Object: "ek_check", Text: "EK certificates are checked as leniently as by the Python tenant (ek_check = compat)",
			Hint: "ek_check = strict checks the whole chain, dates and the key"})
	}
	verified, err := store.Verify(der, tpm, ek.Options{Now: t.now(), Compat: t.EK.Compat})
	if err != nil {
		return "", err
	}
	if waived := verified.Waived(); waived != nil {
		t.emit(Warning{Kind: WarnEKCompat, ID: a.ID, Object: "ek_check", Text: fmt.Sprintf("a strict check would refuse this EK: %v", waived)})
	}
	t.emit(EKVerified{ID: a.ID, Issuer: verified.Issuer()})
	return EKByCertificate, nil
}

func (t *Tenant) askEKScript(ctx context.Context, a *registrar.Agent, tpm []byte) error {
	public, err := ek.ParsePublic(tpm)
	if err != nil {
		return &ek.VerificationError{Check: ek.CheckPublic, Err: err}
	}
	script := ek.Script{
		Path: t.EK.Script, WorkDir: t.EK.WorkDir, Env: t.EK.Env, StoreDir: t.EK.StoreDir,
		AgentID: a.ID, EKPEM: public.PEM, EKTPMB64: a.EKTPM, ProvKeysJSON: string(a.ProviderKeys),
	}
	if a.EKCert != nil {
		script.EKCertB64 = *a.EKCert
	}
	t.emit(EKScriptStarted{ID: a.ID, Path: t.EK.Script})
	output, err := ek.RunScript(ctx, script)
	var failed *ek.ScriptError
	if err != nil && errors.As(err, &failed) {
		output = failed.Output
	}
	if err == nil || len(output) > 0 {
		t.emit(EKScriptOutput{ID: a.ID, Output: output})
	}
	return err
}

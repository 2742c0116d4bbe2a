package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"

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
	// Require is what has to vouch for an EK (ek_require); "" is [EKChain].
	Require EKRequire
	// PinFile is the list of pinned EKs (ek_pin_file).
	PinFile string
	// AllowEmulator accepts the word "emulator" in place of a certificate
	// (KEYLIME_TEST).
	AllowEmulator bool
}

// EKRequire says what has to vouch for an endorsement key, besides a script.
type EKRequire string

// What can be required.
const (
	// EKChain: its certificate, if RequireCert.
	EKChain EKRequire = "chain"
	// EKPinned: a pin in PinFile. A certificate is not asked for, so that TPMs
	// without one, as some clouds have them, can be used.
	EKPinned EKRequire = "pin"
	// EKBoth: certificate and pin, whatever RequireCert says.
	EKBoth EKRequire = "both"
	// EKEither: a pin, or else the certificate, whatever RequireCert says.
	EKEither EKRequire = "either"
)

// EKOutcome says what vouched for an endorsement key.
type EKOutcome string

// The outcomes of an EK check that did not fail.
const (
	EKByCertificate EKOutcome = "certificate"
	EKByPin         EKOutcome = "pin"
	EKByScript      EKOutcome = "script"
	EKByCertPin     EKOutcome = "certificate and pin"
	EKByBoth        EKOutcome = "certificate and script"
	EKByPinScript   EKOutcome = "pin and script"
	EKByAll         EKOutcome = "certificate, pin and script"
	EKByNobody      EKOutcome = "unchecked"
	EKEmulator      EKOutcome = "emulator"
)

// andScript is an outcome after the script has agreed.
func (o EKOutcome) andScript() EKOutcome {
	switch o {
	case EKByCertificate:
		return EKByBoth
	case EKByPin:
		return EKByPinScript
	case EKByCertPin:
		return EKByAll
	}
	return EKByScript
}

// emulatorCert stands in for the certificate of an emulated TPM.
const emulatorCert = "emulator"

// checkEK says what vouches for the TPM that the registrar has bound the AK
// to. It checks, in this order:
//
//   - the registered EK can be read;
//   - with RequireCert: there is a certificate, it is for this very EK, and
//     it leads to a certificate of the store (see [ek.Store.Verify]);
//   - with Require: instead, or besides, the EK is pinned (see
//     [ek.Pins.Verify]);
//   - with a script: it ends with exit code 0.
//
// Without either it is told as [EKUnchecked]. Errors: *[ek.VerificationError],
// *[ek.ScriptError], or that of a record that cannot be read.
func (t *Tenant) checkEK(ctx context.Context, a *registrar.Agent) (EKOutcome, error) {
	tpm, err := base64.StdEncoding.DecodeString(a.EKTPM)
	if err != nil {
		return "", &ek.VerificationError{Check: ek.CheckPublic, Err: errors.New("the registrar's ek_tpm is not base64")}
	}
	outcome, err := t.vouched(a, tpm)
	if err != nil {
		return "", err
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
	return outcome.andScript(), nil
}

// VerifyEK checks the EK of an agent by the rules of [Tenant.EK], as [Tenant.Add]
// does. The agent is not asked for a quote: that it holds this EK is the word of
// the registrar. Errors: *[StepError] with a hint, around *[ek.VerificationError],
// *[RefusedError] (the script's), or *[ek.ScriptError] for a script that cannot be
// asked.
func (t *Tenant) VerifyEK(ctx context.Context, a *registrar.Agent) (EKOutcome, error) {
	outcome, err := t.checkEK(ctx, a)
	if err != nil {
		return "", &StepError{Step: StepVerifyEK, ID: a.ID, Err: refusedByScript(a.ID, err), Hint: t.ekHint(a.ID, err)}
	}
	return outcome, nil
}

// refusedByScript makes a script's no a refusal of the agent. A script that
// cannot be asked says nothing about the agent, and an interrupt stays one.
func refusedByScript(id string, err error) error {
	var script *ek.ScriptError
	if errors.As(err, &script) && (script.Kind == ek.ScriptRefused || script.Kind == ek.ScriptKilled) {
		return &RefusedError{ID: id, Cause: "the EK script does not vouch for its TPM: " + script.Error(), Err: err}
	}
	return err
}

// ekHint says what to do about an EK that is refused.
func (t *Tenant) ekHint(id string, err error) string {
	var script *ek.ScriptError
	if errors.As(err, &script) && (script.Kind == ek.ScriptNotFound || script.Kind == ek.ScriptNotRun) {
		return "ek_check_script names it: keylime_tenant config show ek_check_script says where that is set"
	}
	var refused *ek.VerificationError
	if !errors.As(err, &refused) {
		return ""
	}
	switch refused.Check {
	case ek.CheckNoCertificate:
		return "a TPM without a certificate can be pinned (keylime_tenant ek pin add " + id + ", ek_require = pin), or checked by an ek_check_script with require_ek_cert = False"
	case ek.CheckChain, ek.CheckStore:
		hint := "get the issuer's certificate from the TPM's maker and trust it: keylime_tenant ek trust add FILE"
		if len(refused.IssuerURLs) > 0 {
			hint += "; the EK certificate says that it is at " + refused.IssuerURLs[0]
		}
		return hint
	case ek.CheckPin, ek.CheckPinList:
		return "if this is the right TPM: keylime_tenant ek pin add " + id
	case ek.CheckPinOther:
		return "was the machine's TPM or board replaced? if so: keylime_tenant ek pin remove " + id + ", then keylime_tenant ek pin add " + id
	}
	return ""
}

// vouched asks certificate and pin, as [EKRules.Require] says; "" if neither is
// required.
func (t *Tenant) vouched(a *registrar.Agent, tpm []byte) (EKOutcome, error) {
	switch t.EK.Require {
	case EKPinned:
		return t.checkEKPin(a, tpm)
	case EKBoth:
		outcome, err := t.checkEKCert(a, tpm)
		if err != nil {
			return "", err
		}
		if _, err := t.checkEKPin(a, tpm); err != nil {
			return "", err
		}
		if outcome == EKEmulator { // the word vouches for nothing
			return EKByPin, nil
		}
		return EKByCertPin, nil
	case EKEither:
		outcome, err := t.checkEKPin(a, tpm)
		if err == nil || PinDecides(err) {
			return outcome, err
		}
		outcome, certErr := t.checkEKCert(a, tpm)
		if certErr != nil {
			return "", fmt.Errorf("%w; and %w", certErr, err)
		}
		return outcome, nil
	}
	if !t.EK.RequireCert {
		return "", nil
	}
	return t.checkEKCert(a, tpm)
}

// PinDecides says that what is wrong with a pin cannot be made good by a
// certificate: the list binds the agent to another EK, or cannot be read, so
// that it might.
func PinDecides(err error) bool {
	var refused *ek.VerificationError
	if !errors.As(err, &refused) {
		return true
	}
	nothing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, ek.ErrNoPins)
	return refused.Check != ek.CheckPin && !(refused.Check == ek.CheckPinList && nothing)
}

func (t *Tenant) checkEKPin(a *registrar.Agent, tpm []byte) (EKOutcome, error) {
	pins, err := ek.LoadPins(t.EK.PinFile)
	if err != nil {
		return "", err
	}
	pin, err := pins.Verify(tpm, a.ID)
	if err != nil {
		return "", err
	}
	t.emit(EKPinFound{ID: a.ID, Path: pins.Path(), Pin: pin})
	return EKByPin, nil
}

func (t *Tenant) checkEKCert(a *registrar.Agent, tpm []byte) (EKOutcome, error) {
	refuse := func(check ek.Check, cause string) error {
		return &ek.VerificationError{Check: check, StoreDir: t.EK.StoreDir, Err: errors.New(cause)}
	}
	if a.EKCert == nil || *a.EKCert == "" {
		return "", refuse(ek.CheckNoCertificate, "the registrar holds no EK certificate of this agent, and one is demanded")
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

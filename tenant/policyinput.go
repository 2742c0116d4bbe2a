package tenant

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// PolicyInput says what an agent is held against, or what a stored policy is
// made of. Files and downloads have been read by the caller; nil and "" mean
// that there is none.
type PolicyInput struct {
	// Runtime is a runtime policy: plain JSON, or a DSSE envelope.
	Runtime *Input
	// RuntimeName names a runtime policy on the verifier: alone, one that is
	// there; with Runtime or Allowlist, the name to store it under.
	RuntimeName string
	// Checksum is the SHA-256 of Runtime in hex.
	Checksum string
	// SignatureKey is the EC public key in PEM that must have signed Runtime.
	SignatureKey *Input
	// Allowlist is a list of an old form, which is converted.
	Allowlist *Input
	// Exclude is a list of Python regular expressions of paths that nobody
	// checks; it becomes part of Runtime or Allowlist.
	Exclude *Input
	// MeasuredBoot is a reference state; MeasuredBootName as RuntimeName.
	MeasuredBoot     *Input
	MeasuredBootName string
	// TPM is the tpm_policy, JSON (see [ParseTPMPolicy]).
	TPM string
	// IMAKeys check file signatures in the IMA list.
	IMAKeys []KeyInput
}

// KeyInput is a key that checks file signatures: a certificate, public key or
// unencrypted private key.
type KeyInput struct {
	Key Input
	// Signature is a detached signature of the key file by SignatureKey; nil
	// if none is asked for.
	Signature, SignatureKey *Input
}

// checkedPolicies are policies that have passed every check that needs no
// server, in the form in which the verifier takes them.
type checkedPolicies struct {
	tpm  TPMPolicy
	mask PolicyMask

	// runtime is the policy file as it is sent, nil for none; its payload is
	// the policy inside it, which is the same unless it is signed.
	runtime, payload []byte
	runtimeName      string
	runtimeKey       []byte
	// measuredBoot is JSON, nil for none.
	measuredBoot     *string
	measuredBootName string
	// imaKeys is a JSON keyring, "" for none.
	imaKeys string
}

// demandNothing says that the agent is held against nothing but its own quote.
func (p checkedPolicies) demandNothing() bool {
	return len(p.tpm.pcrs) == 0 && p.runtime == nil && p.runtimeName == "" && p.measuredBoot == nil && p.measuredBootName == ""
}

// tpmWire is the tpm_policy with its mask.
func (p checkedPolicies) tpmWire() string { return p.tpm.wire(p.mask.Final) }

// runtimeWire and runtimeKeyWire are the base64 forms, "" for none.
func (p checkedPolicies) runtimeWire() string {
	return base64.StdEncoding.EncodeToString(p.runtime)
}

func (p checkedPolicies) runtimeKeyWire() string {
	return base64.StdEncoding.EncodeToString(p.runtimeKey)
}

// notes are events about the input of a request. They are told when the Python
// tenant tells them, which is after the first requests.
type notes []Event

func (n *notes) add(e Event) { *n = append(*n, e) }

// policyCheck is one run over a PolicyInput.
type policyCheck struct {
	t *Tenant
	// id is the agent concerned, "" for a policy that is only stored.
	id     string
	in     PolicyInput
	accept []string
	compat bool
	notes  *notes
}

// checkPolicies checks policies as far as that is possible without a server.
// accept are the hash algorithms that quotes may use. Every error is an
// *InvalidError.
func (t *Tenant) checkPolicies(id string, in PolicyInput, accept []string, compat bool, n *notes) (checkedPolicies, error) {
	c := policyCheck{t: t, id: id, in: in, accept: accept, compat: compat, notes: n}
	var p checkedPolicies
	for _, check := range []func(*checkedPolicies) error{c.names, c.tpm, c.imaKeys, c.runtime, c.measuredBoot} {
		if err := check(&p); err != nil {
			return checkedPolicies{}, err
		}
	}
	return p, nil
}

func (c policyCheck) warn(kind WarningKind, object, text, hint string) {
	c.notes.add(Warning{Kind: kind, ID: c.id, Object: object, Text: text, Hint: hint})
}

func (c policyCheck) names(p *checkedPolicies) error {
	for _, name := range []string{c.in.RuntimeName, c.in.MeasuredBootName} {
		if name == "" {
			continue
		}
		if err := CheckPolicyName(name); err != nil {
			return err
		}
	}
	p.runtimeName, p.measuredBootName = c.in.RuntimeName, c.in.MeasuredBootName
	return nil
}

// tpm reads the tpm_policy and computes the mask (PROTOCOL.md 10.2).
func (c policyCheck) tpm(p *checkedPolicies) error {
	text := c.in.TPM
	if text == "" {
		text = "{}"
	}
	policy, valuesErr, err := readTPMPolicy(text)
	if err != nil {
		return err
	}
	p.tpm = policy
	p.mask = PolicyMask{FromPolicy: policy.Mask(), MeasuredBoot: c.in.MeasuredBoot != nil}
	p.mask.Final = p.mask.FromPolicy
	if c.in.Runtime != nil || c.in.RuntimeName != "" || c.in.Allowlist != nil || len(c.in.IMAKeys) > 0 {
		p.mask.Final |= imaMask
	}
	if c.in.MeasuredBoot != nil || c.in.MeasuredBootName != "" {
		p.mask.Final |= mbMask
		// Whose register it is comes before what stands in it: a suite looks
		// for this text (TENANT-CLI.md D).
		if err := c.owners(policy); err != nil {
			return err
		}
	}
	if valuesErr != nil {
		return valuesErr
	}
	if bad := policy.Unsatisfiable(c.accept); c.accept != nil && len(bad) > 0 {
		cause := fmt.Sprintf("PCR %d: no digest belongs to an accepted hash algorithm (%s)", bad[0], strings.Join(c.accept, ", "))
		if !c.compat {
			return &InvalidError{Kind: InvalidTPMPolicy, Object: "tpm_policy", Cause: cause,
				Hint: "give the register's value in a bank that accept_tpm_hash_algs names, or change that option"}
		}
		c.warn(WarnUnsatisfiable, "tpm_policy", "tpm_policy: "+cause, "")
	}
	return nil
}

// owners refuses registers that measured boot will use: the verifier would not
// compare them with tpm_policy.
func (c policyCheck) owners(policy TPMPolicy) error {
	for _, pcr := range policy.PCRs() {
		if mbMask&(1<<pcr) == 0 {
			continue
		}
		classic := fmt.Sprintf("WARNING: PCR %d is specified in \"tpm_policy\", but will in fact be used by measured boot. Please remove it from policy", pcr)
		if c.compat && c.in.MeasuredBoot == nil {
			c.warn(WarnPCROwner, "tpm_policy", classic, freePCRHint)
			continue
		}
		return &InvalidError{Kind: PCROwned, Object: "tpm_policy", Hint: freePCRHint, Classic: classic,
			Cause: fmt.Sprintf("PCR %d belongs to measured boot here: its value would not be compared", pcr)}
	}
	return nil
}

func (c policyCheck) imaKeys(p *checkedPolicies) error {
	if len(c.in.IMAKeys) == 0 {
		return nil
	}
	c.warn(WarnDeprecated, "--signature-verification-key", "keys given beside a runtime policy are deprecated",
		"put them into the policy: keylime-policy create runtime --add-ima-signature-verification-key FILE")
	var ring runtime.Keyring
	for _, key := range c.in.IMAKeys {
		if err := c.keySignature(key); err != nil {
			return err
		}
		if err := ring.Add(key.Key.Name, key.Key.Content); err != nil {
			return &InvalidError{Kind: InvalidKeyFile, Object: "signature verification key " + key.Key.Name, Err: err,
				Hint: "it must be a certificate, a public key or an unencrypted private key (RSA or EC; PEM or DER)"}
		}
	}
	p.imaKeys = ring.String()
	return nil
}

// keySignature checks the detached signature of a key file, if there is one.
func (c policyCheck) keySignature(key KeyInput) error {
	object := "signature verification key " + key.Key.Name
	switch {
	case key.Signature == nil && key.SignatureKey == nil:
		return nil
	case key.SignatureKey == nil:
		return &InvalidError{Kind: InvalidSignature, Object: object, Cause: "its signature " + key.Signature.Name + " has no key that could check it",
			Hint:    "add --signature-verification-key-sig-key FILE",
			Classic: fmt.Sprintf("A gpg key is missing for key signature file '%s'", key.Signature.Name)}
	case key.Signature == nil:
		return &InvalidError{Kind: InvalidSignature, Object: object, Cause: "there is a key that checks signatures, " + key.SignatureKey.Name + ", but no signature",
			Hint: "add --signature-verification-key-sig FILE"}
	}
	err := verifyDetached(key.Key.Content, key.Signature.Content, key.SignatureKey.Content, c.t.now())
	if err != nil {
		c.notes.add(SignatureRefused{Name: key.Key.Name, Err: err})
		return &InvalidError{Kind: InvalidSignature, Object: object, Err: err, Cause: "signature " + key.Signature.Name + " is refused: " + err.Error(),
			Classic: fmt.Sprintf("IMA file signing key signature verification failed for %q against signature %q using key %q", key.Key.Name, key.Signature.Name, key.SignatureKey.Name)}
	}
	c.notes.add(SignatureVerified{Name: key.Key.Name, Key: true})
	return nil
}

// measuredBoot reads the reference state. Its content belongs to the verifier's
// evaluation policy, so only JSON is asked for (PROTOCOL.md 4.7, 10.6).
func (c policyCheck) measuredBoot(p *checkedPolicies) error {
	if c.in.MeasuredBoot == nil {
		if c.in.MeasuredBootName != "" {
			c.enforcement()
		}
		return nil
	}
	file := *c.in.MeasuredBoot
	text, err := pythonJSON(file.Content)
	if err != nil {
		return &InvalidError{Kind: InvalidMBPolicy, Object: "measured-boot policy " + file.Name, Cause: "not JSON: " + jsonCause(err), Err: err,
			Hint: "make one with create_mb_refstate LOG OUT"}
	}
	p.measuredBoot = &text
	if c.compat {
		return nil
	}
	object := "measured-boot policy " + file.Name
	if measuredboot.IsEmpty(file.Content) {
		c.warn(WarnPolicyOpen, object, object+" is empty: with it a verifier checks nothing of the boot", "")
		return nil
	}
	state, err := measuredboot.Parse(file.Content)
	switch {
	case err != nil: // another evaluation policy of the verifier may want it so
		c.warn(WarnPolicyOpen, object, object+" is not a reference state that Keylime's policy \"example\" can read: "+err.Error(), "")
	case len(state.Lacks()) > 0:
		c.warn(WarnPolicyOpen, object, object+" accepts no boot at all, since it lacks "+strings.Join(state.Lacks(), ", "), "")
	}
	c.enforcement()
	return nil
}

// enforcement tells what the API of the verifier does not (USERS.md 1.5).
func (c policyCheck) enforcement() {
	if c.compat {
		return
	}
	c.warn(WarnEnforcement, "measured-boot policy",
		"whether a measured-boot policy is enforced depends on measured_boot_policy_name on the verifier (by default accept-all: not enforced), which its API does not tell",
		"prove it on a machine of a lab with a spoiled copy of the policy")
}

// checkSum holds the policy file against the SHA-256 that the caller gave.
func (c policyCheck) checkSum() error {
	want := c.in.Checksum
	if want == "" {
		return nil
	}
	if c.in.Runtime == nil {
		return &InvalidError{Kind: InvalidChecksum, Object: "checksum of a runtime policy", Cause: "there is no runtime policy file that it could be of"}
	}
	sum := sha256.Sum256(c.in.Runtime.Content)
	got := hex.EncodeToString(sum[:])
	// The Python tenant compares letter by letter.
	if got == want || !c.compat && strings.EqualFold(got, want) {
		return nil
	}
	return &InvalidError{Kind: InvalidChecksum, Object: "runtime policy " + c.in.Runtime.Name,
		Cause:   fmt.Sprintf("its SHA-256 is %s and should be %s", got, quoted(want)),
		Classic: fmt.Sprintf("Checksum of runtime policy does not match! Expected %s, Calculated %s", want, got)}
}

// unsealed is the policy inside a policy file: the file itself, or the payload
// of an envelope whose signature is good.
func (c policyCheck) unsealed(p *checkedPolicies) ([]byte, error) {
	file := *c.in.Runtime
	envelope := dsse.IsEnvelope(file.Content)
	refuse := func(cause, classic string, err error) error {
		return &InvalidError{Kind: InvalidSignature, Object: "runtime policy " + file.Name, Cause: cause, Err: err,
			Classic: fmt.Sprintf("Validation for runtime policy %s failed! Error: %s", file.Name, classic)}
	}
	switch {
	case !envelope && c.in.SignatureKey == nil:
		return file.Content, nil
	case !envelope:
		return nil, refuse("it is not signed, and --runtime-policy-sig-key demands a signature", "Runtime policy is not signed!", nil)
	case c.in.SignatureKey == nil:
		err := refuse("it is signed, and there is no key that could check the signature", "Runtime policy signature verification required but no key was given!", nil)
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			invalid.Hint = "add --runtime-policy-sig-key FILE, the public key in PEM"
		}
		return nil, err
	}
	payload, err := dsse.Verify(file.Content, c.in.SignatureKey.Content)
	if err != nil {
		c.notes.add(SignatureRefused{Name: file.Name, Envelope: true, Err: err})
		return nil, refuse("its signature is refused: "+err.Error(), "Runtime policy failed DSSE signature verification!", err)
	}
	c.notes.add(SignatureVerified{Name: file.Name})
	p.runtimeKey = slices.Clone(c.in.SignatureKey.Content)
	return payload, nil
}

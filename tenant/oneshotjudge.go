package tenant

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// bootRegisters are the registers that are quoted always.
const bootRegisters = uint32(0xffff)

// mask are the registers to quote.
func (s *oneshot) mask() uint32 {
	mask := bootRegisters | s.tpm.Mask()
	if s.r.RuntimePolicy == nil {
		mask &^= imaMask
	}
	return mask
}

func (s *oneshot) registers() []int {
	var pcrs []int
	for n := range maxPCR + 1 {
		if s.mask()&(1<<n) != 0 {
			pcrs = append(pcrs, n)
		}
	}
	return pcrs
}

// given is an input, nil for one without content: upstream's script takes an
// empty file for no policy.
func given(in *Input) *Input {
	if in == nil || len(bytes.TrimSpace(in.Content)) == 0 {
		return nil
	}
	return in
}

// policies refuses what is no policy, and tells what leaves much open.
func (s *oneshot) policies(context.Context) error {
	s.r.RuntimePolicy, s.r.MBPolicy, s.r.TPMPolicy = given(s.r.RuntimePolicy), given(s.r.MBPolicy), given(s.r.TPMPolicy)
	if s.r.RuntimePolicy == nil && s.r.MBPolicy == nil && s.r.TPMPolicy == nil {
		return &InvalidError{Kind: MissingPolicy, Cause: "there is no policy that this machine could be held against",
			Hint: "give at least one of --runtime-policy, --mb-policy and --tpm-policy"}
	}
	if err := s.tpmPolicy(); err != nil {
		return err
	}
	if err := s.runtimePolicy(); err != nil {
		return err
	}
	in := s.r.MBPolicy
	if in == nil {
		return nil
	}
	object := "measured-boot policy " + in.Name
	state, err := measuredboot.Parse(in.Content)
	switch {
	case json.Valid(in.Content) && measuredboot.IsEmpty(in.Content):
		s.note("%s is empty: nothing of the boot is checked", object)
	case err != nil:
		return &InvalidError{Kind: InvalidMBPolicy, Object: object, Cause: err.Error(), Err: err, Hint: "keylime_tenant policy create measured-boot LOG makes one"}
	case len(state.Lacks()) > 0:
		s.note("%s accepts no boot at all: it is incomplete", object)
	}
	return nil
}

// tpmPolicy reads the tpm_policy; a mask in it is passed over, as verifiers do.
func (s *oneshot) tpmPolicy() error {
	in := s.r.TPMPolicy
	if in == nil {
		return nil
	}
	text := in.Content
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) == nil && members["mask"] != nil {
		delete(members, "mask")
		var err error
		if text, err = json.Marshal(members); err != nil {
			return invalidTPM(err.Error(), err)
		}
	}
	var err error
	if s.tpm, err = ParseTPMPolicy(string(text)); err != nil {
		return err
	}
	if len(s.tpm.PCRs()) == 0 {
		s.note("%s names no PCR: nothing is checked by it", in.Name)
	}
	return nil
}

func (s *oneshot) runtimePolicy() error {
	in := s.r.RuntimePolicy
	if in == nil {
		return nil
	}
	object := "runtime policy " + in.Name
	refuse := func(err error) error {
		return &InvalidError{Kind: InvalidRuntimePolicy, Object: object, Err: err, Hint: "keylime_tenant policy lint " + in.Name + " shows what is wrong with it"}
	}
	p, err := parseRuntime(in.Content)
	if err != nil {
		return refuse(err)
	}
	if _, err := runtime.NewEvaluator(p, runtime.Options{Compat: true}); err != nil {
		return refuse(err)
	}
	if dsse.IsEnvelope(in.Content) {
		s.note("%s is signed; its signature is checked neither here nor by the verifier: keylime_tenant policy verify does", object)
	}
	if p.VerificationKeys != "" {
		s.note("the keys for signatures of files in %s count for nothing without enrolment: files are known by their digests alone", object)
	}
	for _, n := range p.Lint() {
		if n.Grave {
			s.note("%s: %s", object, n.Message)
		}
	}
	return nil
}

// judge judges what the TPM has quoted and the lists, as a verifier does, with
// the judge of [Tenant.Explain].
func (s *oneshot) judge(ctx context.Context) error {
	s.tell("judging what the TPM has quoted")
	s.logs.Quote = nil
	// No keys: a verifier has none for evidence without enrolment.
	e := &explainer{t: &Tenant{}, r: ExplainRequest{Evidence: s.logs, MBPolicy: s.r.MBPolicy, RuntimePolicy: s.r.RuntimePolicy, Keyring: &runtime.Keyring{}},
		x: &Explanation{Findings: []policy.Finding{}}, agent: &verifier.Agent{}, mask: s.mask(), tpm: s.tpm.values}
	e.evidence = evidence{proven: s.verified, quoted: true, log: s.logs.BootLog, list: s.logs.IMAList, logFile: s.logs.BootLogFile, listFile: s.logs.IMAListFile}
	e.x.Evidence = ExplainedEvidence{Source: s.logs.Origin, Quote: "verified", Bank: s.verified.Bank(), PCRs: map[string]string{}}
	for n, value := range e.evidence.pcrs() {
		e.x.Evidence.PCRs[strconv.Itoa(n)] = hex.EncodeToString(value)
	}
	hold := func(in *Input, kind PolicyKind) heldPolicy {
		if in == nil {
			return heldPolicy{ExplainedPolicy: ExplainedPolicy{Kind: kind, Source: PolicyNone}}
		}
		return heldPolicy{ExplainedPolicy: ExplainedPolicy{Kind: kind, Source: PolicyFile, Name: in.Name}, text: in.Content, file: in.Name}
	}
	e.boot, e.files = hold(s.r.MBPolicy, MBKind), hold(s.r.RuntimePolicy, RuntimeKind)
	if s.r.MBPolicy != nil {
		e.agent.HasMBRefstate = 1
	} else {
		e.mask &^= 1 // the boot log is of no interest then
	}
	e.check(PartQuote, CheckPassed, true, "signed by the AK that the TPM has just made (%s), %s", s.verified.AKAlgorithm(), registersText(s.verified))
	if err := e.judge(ctx); err != nil {
		return &StepError{Step: StepExplain, ID: "this machine", Err: err}
	}
	s.result.Checks, s.result.Evidence = e.x.Checks, e.x.Evidence
	s.result.Notes = append(s.result.Notes, e.x.Notes...)
	for i := range s.result.Checks {
		s.reword(&s.result.Checks[i])
	}
	for _, f := range e.x.Findings {
		s.result.Findings = append(s.result.Findings, s.advised(f))
	}
	return nil
}

// reword says of checks that nobody has asked for why that is so here.
func (s *oneshot) reword(c *ExplainedCheck) {
	if c.Outcome != CheckNotDemanded {
		return
	}
	switch {
	case c.Name == PartFiles:
		c.Detail = "no runtime policy is given"
	case (c.Name == PartBoot || c.Name == PartLog) && s.r.MBPolicy == nil:
		c.Detail = "no measured-boot policy is given"
	case c.Name == PartTPM && s.r.TPMPolicy == nil:
		c.Detail = "no tpm_policy is given"
	}
}

// advised gives a finding the advice that fits a machine that is not enrolled.
func (s *oneshot) advised(f policy.Finding) policy.Finding {
	if len(f.Command) > 1 && slices.Contains([]string{"update", "updateruntimepolicy", "updatembpolicy"}, f.Command[1]) {
		f.Command = nil
	}
	switch f.Check {
	case checkTPM:
		f.Remedy = fmt.Sprintf("find out what extends this PCR; a reboot sets it back. If the value is meant, put it into %s", s.r.TPMPolicy.Name)
	case checkTPMMissing:
		f.Remedy = "the TPM leaves out registers that it was asked for: look at its banks"
	}
	return f
}

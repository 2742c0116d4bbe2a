package tenant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/quote"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

// SchemaOneshot is the schema of a [OneshotResult].
const SchemaOneshot = "keylime_tenant/oneshot/v1"

// Quoter makes evidence of a TPM; *tpmdev.TPM is one.
type Quoter interface {
	Name() string
	Attest(ctx context.Context, r tpmdev.Request) (*tpmdev.Evidence, error)
}

// EvidenceVerifier gives a verdict on evidence; *verifier.Client is one.
type EvidenceVerifier interface {
	VerifyEvidence(ctx context.Context, data verifier.OneshotData) (*verifier.OneshotVerdict, *client.Reply, error)
}

// Oneshot attests the machine it runs on, once and without enrolment.
type Oneshot struct {
	// Verifier is asked for its verdict over Conn; nil judges here alone.
	Verifier EvidenceVerifier
	Conn     Connection
	// OpenTPM opens the TPM, when all that needs none is done. The function that
	// it returns closes it.
	OpenTPM func(ctx context.Context) (Quoter, func() error, error)
	// Logs reads the machine's lists: the IMA list if files is true, the boot log
	// if boot is; a log that is not there is nil. It is called twice: before
	// anything is done, to see that they can be had, and once the TPM has quoted,
	// so that what is measured in between is in the lists, not in the quote.
	Logs func(files, boot bool) (*MachineEvidence, error)
	// Tell is told what is being done; nil means nobody listens.
	Tell func(text string)
	// Now is the clock, Rand the source of the nonce; nil means the real ones.
	Now  func() time.Time
	Rand io.Reader
}

// OneshotRequest says what the machine is held against and how it quotes.
type OneshotRequest struct {
	// RuntimePolicy is JSON or a DSSE envelope, MBPolicy a reference state, and
	// TPMPolicy a tpm_policy in which a "mask" counts for nothing; nil for none.
	// At least one is needed.
	RuntimePolicy, MBPolicy, TPMPolicy *Input
	// TPM says how to quote; nonce and registers are chosen here.
	TPM tpmdev.Request
}

// OneshotResult is the outcome of a [Oneshot].
type OneshotResult struct {
	Schema string    `json:"schema"`
	Time   time.Time `json:"time"`
	// Accepted says that nobody who was asked has refused.
	Accepted bool `json:"accepted"`
	// Verifier is its verdict, nil if it was not asked.
	Verifier *OneshotVerdict `json:"verifier"`
	// Findings are what the judgement here refuses, in the order of a verifier.
	Findings []policy.Finding `json:"findings"`
	Checks   []ExplainedCheck `json:"checks"`
	// Notes tell what was left out, and what may mislead.
	Notes    []string          `json:"notes"`
	Evidence ExplainedEvidence `json:"evidence"`
	TPM      OneshotTPM        `json:"tpm"`
}

// OneshotVerdict is what the verifier says.
type OneshotVerdict struct {
	Address  string           `json:"address"`
	Valid    bool             `json:"valid"`
	Failures []OneshotFailure `json:"failures"`
	// Reply is the answer as received.
	Reply *client.Reply `json:"-"`
}

// OneshotFailure is one reason of the verifier.
type OneshotFailure struct {
	EventID string `json:"event_id"`
	// Words say what the event means.
	Words   string          `json:"words"`
	Context json.RawMessage `json:"context,omitempty"`
}

// OneshotTPM is what the TPM has made, so that others can check it too.
type OneshotTPM struct {
	Address string `json:"address"`
	// EK and AK are base64 of a TPM2B_PUBLIC. Nobody has seen whether they are in
	// the same TPM, or whether the EK is a TPM's.
	EK    string `json:"ek_tpm"`
	AK    string `json:"ak_tpm"`
	Quote string `json:"quote"`
	Nonce string `json:"nonce"`
	// HashAlg, EncAlg and SignAlg are the algorithms of the quote and its key.
	HashAlg string `json:"hash_alg"`
	EncAlg  string `json:"enc_alg"`
	SignAlg string `json:"sign_alg"`
}

// oneshot is one call of Run.
type oneshot struct {
	*Oneshot
	r        OneshotRequest
	tpm      TPMPolicy
	result   *OneshotResult
	evidence *tpmdev.Evidence
	logs     *MachineEvidence
	nonce    string
	verified quote.Verified
}

// Run checks the policies, quotes, verifies the quote with the AK that the TPM
// has just made, judges the machine as a verifier does, with everything that is
// refused, and then asks the verifier. Nothing is sent before all that has been
// done; a quote that is not good is not sent at all, since a verifier may
// mistake it (see verifier.Client.VerifyEvidence).
//
// Quoted are PCRs 0 to 15, and what tpm_policy names beyond. PCR 10 is left out
// without a runtime policy: a verifier would judge files by the empty policy
// then, and refuse every machine that measures any.
//
// It leaves nothing in the TPM and enrols nobody. What it does not prove: that
// AK and EK are in the same TPM, and that this is a real one.
//
// Errors: *[InvalidError] for policies and lists; *tpmdev.Error for the TPM;
// *quote.VerificationError for a quote that is not good; *[StepError] for the
// verifier. A machine that is refused is no error: see
// [OneshotResult.Refusal].
func (o *Oneshot) Run(ctx context.Context, r OneshotRequest) (*OneshotResult, error) {
	s := &oneshot{Oneshot: o, r: r, result: &OneshotResult{Schema: SchemaOneshot, Findings: []policy.Finding{}, Notes: []string{}}}
	for _, step := range []func(context.Context) error{s.policies, s.lists, s.reach, s.attest, s.lists, s.judge, s.ask} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	s.result.Time = time.Now()
	if o.Now != nil {
		s.result.Time = o.Now()
	}
	s.result.Accepted = len(s.result.Findings) == 0 && (s.result.Verifier == nil || s.result.Verifier.Valid)
	return s.result, nil
}

// CheckOneshot refuses a request whose policies are none, without doing anything.
// Errors are those of [Oneshot.Run].
func CheckOneshot(r OneshotRequest) error {
	s := &oneshot{Oneshot: &Oneshot{}, r: r, result: &OneshotResult{}}
	return s.policies(context.Background())
}

func (s *oneshot) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.result.Notes, text) {
		s.result.Notes = append(s.result.Notes, text)
	}
}

func (s *oneshot) tell(format string, args ...any) {
	if s.Tell != nil {
		s.Tell(fmt.Sprintf(format, args...))
	}
}

// StepOneshot is the step of a [Oneshot] that asks the verifier.
const StepOneshot Step = "asking the verifier for a verdict"

// reach sees that the verifier is there and knows the question, before the TPM
// is set to work.
func (s *oneshot) reach(ctx context.Context) error {
	if s.Verifier == nil {
		return nil
	}
	s.tell("asking the verifier for its versions")
	n, err := s.Conn.Negotiate(ctx)
	if err != nil {
		return s.failed(err, "")
	}
	switch client.KindOf(n.Err) {
	case client.Unreachable, client.TimedOut, client.ServerUntrusted, client.ClientRefused:
		return s.failed(n.Err, "")
	}
	if n.Version.Compare(verifier.OneshotVersion()) < 0 {
		return s.failed(fmt.Errorf("it speaks version %s of the API, and verdicts without enrolment came with %s", n.Version, verifier.OneshotVersion()),
			"--local judges the machine here; or enrol it: keylime_tenant add")
	}
	return nil
}

func (s *oneshot) failed(err error, hint string) error {
	return &StepError{Step: StepOneshot, ID: "verifier " + s.Conn.Addr(), Err: err, Hint: hint}
}

// attest has the TPM quote, and verifies what it has quoted.
func (s *oneshot) attest(ctx context.Context) (err error) {
	if s.nonce, err = payload.NewChallenge(s.Rand); err != nil {
		return fmt.Errorf("making a nonce: %w", err)
	}
	tpm, closeTPM, err := s.OpenTPM(ctx)
	if err != nil {
		return err
	}
	s.tell("%s: making an EK, an AK and a quote", tpm.Name())
	request := s.r.TPM
	request.Nonce, request.PCRs = s.nonce, s.registers()
	e, err := tpm.Attest(ctx, request)
	if err = errors.Join(err, closeTPM()); err != nil {
		return err
	}
	s.evidence = e
	b64 := base64.StdEncoding.EncodeToString
	s.result.TPM = OneshotTPM{Address: tpm.Name(), EK: b64(e.EK), AK: b64(e.AK), Quote: e.Quote, Nonce: s.nonce, HashAlg: e.HashAlg, EncAlg: e.AKAlg, SignAlg: e.SignAlg}
	s.verified, err = quote.Verify(quote.Untrusted{Quote: e.Quote, HashAlg: e.HashAlg, SignAlg: e.SignAlg, EncAlg: e.AKAlg},
		quote.Expect{AK: e.AK, Nonce: s.nonce, Selection: request.PCRs, AnyClock: true})
	if err != nil {
		return fmt.Errorf("what the TPM %s calls a quote is none, and was not sent: %w", tpm.Name(), err)
	}
	return nil
}

// lists reads the lists that the policies need.
func (s *oneshot) lists(context.Context) (err error) {
	files, boot := s.r.RuntimePolicy != nil, s.r.MBPolicy != nil || s.r.RuntimePolicy != nil
	if !files && !boot {
		s.logs = &MachineEvidence{Origin: "this machine"}
		return nil
	}
	if s.logs, err = s.Logs(files, boot); err != nil {
		return err
	}
	switch {
	case files && s.logs.IMAList == nil:
		// An empty list fits a PCR 10 that was never extended: a verifier would
		// call that valid, though no file was checked.
		return &InvalidError{Kind: InvalidFile, Object: "IMA list " + s.logs.IMAListFile, Cause: "it is not there, so there is nothing that the runtime policy could be held against",
			Hint: "switch IMA on (ima_policy=tcb on the kernel command line, securityfs mounted), or name the list: --ima-log FILE"}
	case s.r.MBPolicy != nil && s.logs.BootLog == nil:
		return &InvalidError{Kind: InvalidFile, Object: "boot log " + s.logs.BootLogFile, Cause: "it is not there, so there is nothing that the measured-boot policy could be held against",
			Hint: "the machine has to boot by UEFI with a TPM, and securityfs has to be mounted; or name the log: --boot-log FILE"}
	case !utf8.Valid(s.logs.IMAList):
		return &InvalidError{Kind: InvalidFile, Object: "IMA list " + s.logs.IMAListFile, Cause: "it is not UTF-8, and nothing else can be sent to a verifier",
			Hint: "a file with such a name was measured; the list in its ASCII form is wanted"}
	case files && len(strings.TrimSpace(string(s.logs.IMAList))) == 0:
		s.note("the IMA list is empty: no file was checked")
	case files && s.logs.BootLog == nil:
		s.note("there is no boot log: the runtime policy itself has to allow boot_aggregate")
	}
	return nil
}

// ask sends everything to the verifier.
func (s *oneshot) ask(ctx context.Context) error {
	if s.Verifier == nil {
		return nil
	}
	data := verifier.OneshotData{Quote: s.evidence.Quote, Nonce: s.nonce, HashAlg: s.evidence.HashAlg, TPMEK: s.result.TPM.EK, TPMAK: s.result.TPM.AK,
		IMAList: string(s.logs.IMAList), MBLog: base64.StdEncoding.EncodeToString(s.logs.BootLog)}
	if s.r.RuntimePolicy != nil {
		data.RuntimePolicy = string(s.r.RuntimePolicy.Content)
	}
	if s.r.MBPolicy != nil {
		data.MBPolicy = string(s.r.MBPolicy.Content)
	}
	if s.r.TPMPolicy != nil {
		data.TPMPolicy = s.tpm.wire(s.mask())
	}
	s.tell("verifier %s: asking for its verdict", s.Conn.Addr())
	verdict, reply, err := s.Verifier.VerifyEvidence(ctx, data)
	if err != nil {
		hint := ""
		var refused *client.Error
		if errors.As(err, &refused) && refused.HTTP >= 500 {
			hint = "the verifier's log says what it stumbled over; --local judges the machine here"
		}
		return s.failed(err, hint)
	}
	v := &OneshotVerdict{Address: s.Conn.Addr(), Valid: verdict.Valid, Failures: []OneshotFailure{}, Reply: reply}
	for _, f := range verdict.Failures {
		v.Failures = append(v.Failures, OneshotFailure{EventID: f.Type, Words: DescribeEvent(f.Type), Context: f.Context})
	}
	s.result.Verifier = v
	switch {
	case v.Valid && len(s.result.Findings) > 0:
		s.note("the verifier accepts what is refused here: it may not evaluate measured boot (measured_boot_evaluate, measured_boot_policy_name), or be of another release")
	case v.Valid && s.r.MBPolicy != nil:
		s.note("whether the verifier has evaluated the measured-boot policy is its configuration: as it is shipped, it compares the boot log with the PCRs alone; here it was evaluated")
	}
	return nil
}

// Refusal says why a machine is refused, "" if it is accepted.
func (r *OneshotResult) Refusal() string {
	switch {
	case r.Accepted:
		return ""
	case r.Verifier != nil && len(r.Verifier.Failures) > 0:
		return "the verifier refuses this machine: " + countedText(r.Verifier.Failures[0].Words, len(r.Verifier.Failures))
	case r.Verifier != nil && !r.Verifier.Valid:
		return "the verifier refuses this machine, and does not say why"
	case r.Verifier != nil:
		return "the verifier accepts this machine, but here it is refused: " + countedText(brief(r.Findings[0]), len(r.Findings))
	}
	return "this machine is refused: " + countedText(brief(r.Findings[0]), len(r.Findings))
}

// countedText is the first of several texts, and how many there are besides.
func countedText(first string, n int) string {
	if n > 1 {
		return fmt.Sprintf("%s; %d more", first, n-1)
	}
	return first
}

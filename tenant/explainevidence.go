package tenant

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// Checks of findings that no other package has.
const (
	checkUnreachable = "agent.unreachable" // nobody answers
	checkAddress     = "agent.address"     // it answers elsewhere than the verifier asks
	checkRefuses     = "agent.refuses"     // it answers, but gives no quote
	checkQuote       = "quote."            // and the name of the check of tenant/quote
	checkTPM         = "tpm-policy.pcr"
	checkTPMMissing  = "tpm-policy.missing-pcrs"
	checkNoLog       = "measured-boot.no-log"
	checkLogEncoding = "measured-boot.log"
	checkNoList      = "ima.no-list"
)

// Ids of a verifier for its own failures (PROTOCOL.md 13).
const (
	eventUnreachable = "internal.verifier.not_reachable"
	eventNoQuote     = "internal.verifier.no_quote"
)

// evidence is what was had of the machine.
type evidence struct {
	// asked says that the agent has answered, whatever it was.
	asked bool
	// proven is the quote, and quoted says that there is one.
	proven quote.Verified
	quoted bool
	// refused says that there was a quote, which was refused: nothing that came
	// with it is judged.
	refused bool
	// log and list are nil if there is none.
	log, list []byte
	// logFile and listFile are the paths by which commands call them.
	logFile, listFile string
	// absent says why there is neither.
	absent string
}

// pcrs are the registers of a verified quote.
func (v evidence) pcrs() map[int][]byte {
	values := map[int][]byte{}
	for _, n := range v.proven.PCRs() {
		values[n], _ = v.proven.PCR(n)
	}
	return values
}

func (e *explainer) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(e.x.Notes, text) {
		e.x.Notes = append(e.x.Notes, text)
	}
}

func (e *explainer) check(name string, outcome CheckOutcome, proven bool, format string, args ...any) {
	e.x.Checks = append(e.x.Checks, ExplainedCheck{Name: name, Outcome: outcome, Proven: proven, Detail: fmt.Sprintf(format, args...)})
}

func (e *explainer) find(f policy.Finding) { e.x.Findings = append(e.x.Findings, f) }

// gather gets evidence from files or from the agent, and verifies the quote.
func (e *explainer) gather(ctx context.Context) {
	e.evidence.logFile, e.evidence.listFile = e.inDir(FileBootLog), e.inDir(FileIMAList)
	switch {
	case e.r.Evidence != nil:
		e.fromFiles(e.r.Evidence)
	case push(e.agent):
		e.fromVerifier(ctx)
	case e.record == nil:
		e.absent("not asked: without the registrar's record its answer could not be verified")
	default:
		e.fromAgent(ctx)
	}
}

// absent notes that there is no evidence, for a reason that is no failure.
func (e *explainer) absent(why string) {
	e.evidence.absent = why
	e.check(PartAgent, CheckNotJudged, false, "%s", why)
	e.check(PartQuote, CheckNotJudged, false, "there is none")
}

// fromFiles takes what the caller has.
func (e *explainer) fromFiles(m *MachineEvidence) {
	e.x.Evidence.Source = m.Origin
	e.evidence.log, e.evidence.list = m.BootLog, m.IMAList
	if m.BootLogFile != "" {
		e.evidence.logFile = m.BootLogFile
	}
	if m.IMAListFile != "" {
		e.evidence.listFile = m.IMAListFile
	}
	e.check(PartAgent, CheckNotJudged, false, "not asked: the evidence is that of %s", m.Origin)
	switch {
	case m.Quote == nil:
		e.check(PartQuote, CheckNotJudged, false, "there is none in %s: log and list are what the machine claims", m.Origin)
	case e.record == nil:
		e.check(PartQuote, CheckNotJudged, false, "without the registrar's record it cannot be verified: log and list are what the machine claims")
	default:
		e.note("the quote in %s is of the time when it was saved: it says nothing of what the machine is now", m.Origin)
		e.verify(m.Quote.Quote, m.Quote.Nonce, m.Quote.Compressed)
	}
}

// accept takes what an agent has shown, if its quote proves it.
func (e *explainer) accept(a *shownByAgent) {
	if !e.verify(a.answer.Quote, a.nonce, a.compressed) {
		return
	}
	v := &e.evidence
	if a.answer.IMAList != nil {
		v.list = []byte(*a.answer.IMAList)
	}
	if a.answer.MBLog == nil || *a.answer.MBLog == "" {
		return
	}
	log, err := base64.StdEncoding.DecodeString(*a.answer.MBLog)
	if err != nil {
		e.find(policy.Finding{Check: checkLogEncoding, EventID: "internal.verifier.exception", Where: "the boot log",
			Message: "the agent sends a boot log that is not base64: " + err.Error()})
		return
	}
	v.log = log
}

// verify holds a quote against the AK that the registrar has, and keeps its
// values if it is good.
func (e *explainer) verify(q agent.Quote, nonce string, compressed bool) (good bool) {
	refuse := func(f policy.Finding) bool {
		e.evidence.refused, e.x.Evidence.Quote = true, "refused"
		e.find(f)
		e.check(PartQuote, CheckRefused, false, "%s", f.Message)
		return false
	}
	ak, err := base64.StdEncoding.DecodeString(e.record.AIKTPM)
	if err != nil || len(ak) == 0 {
		return refuse(policy.Finding{Check: checkQuote + string(quote.CheckAK), EventID: quote.CheckAK.EventID(), Where: "the registrar's record",
			Message: "the registrar's record has no AK that could verify a quote", Remedy: "start the agent anew, so that it registers"})
	}
	if data, err := json.MarshalIndent(SavedQuote{Quote: q, Nonce: nonce, Compressed: compressed}, "", "  "); err == nil {
		e.x.Files = append(e.x.Files, EvidenceFile{FileQuote, append(data, '\n')}, EvidenceFile{FileAK, []byte(e.record.AIKTPM + "\n")})
	}
	var asked []int
	for n := range maxPCR + 1 {
		if e.r.Evidence == nil && e.askedFor()&(1<<n) != 0 {
			asked = append(asked, n)
		}
	}
	// In the push model there is no transport key, and nobody asks for the
	// encryption algorithm; challenges are bytes.
	pushed := push(e.agent)
	acceptEnc := e.agent.AcceptTPMEncryptionAlgs
	if pushed && q.EncAlg == "" {
		acceptEnc = nil
	}
	verified, err := quote.Verify(quote.Untrusted{Quote: q.Quote, HashAlg: q.HashAlg, EncAlg: q.EncAlg, SignAlg: q.SignAlg, TransportKeyPEM: q.PubKeyPEM},
		quote.Expect{AK: ak, Nonce: nonce, DecodedNonce: pushed, AcceptHash: e.agent.AcceptTPMHashAlgs, AcceptEnc: acceptEnc,
			AcceptSign: e.agent.AcceptTPMSigningAlgs, BindTransportKey: q.PubKeyPEM != "" || e.r.Evidence == nil && !pushed, Selection: asked, Compressed: compressed,
			Clock: e.past.baseline()})
	if err != nil {
		return refuse(e.quoteFinding(err))
	}
	v := &e.evidence
	v.proven, v.quoted = verified, true
	shown := &e.x.Evidence
	shown.Quote, shown.Bank, shown.PCRs = "verified", verified.Bank(), map[string]string{}
	for n, value := range v.pcrs() {
		shown.PCRs[strconv.Itoa(n)] = hex.EncodeToString(value)
	}
	e.t.emit(QuoteVerified{ID: e.r.ID, Quote: verified})
	e.check(PartQuote, CheckPassed, true, "signed by the AK that the registrar holds (%s), %s", verified.AKAlgorithm(), registersText(verified))
	return true
}

// askedFor are the registers that a quote which was asked for must have.
func (e *explainer) askedFor() uint32 {
	if e.pushed != nil {
		return e.mask
	}
	return e.wanted()
}

func registersText(v quote.Verified) string {
	n := len(v.PCRs())
	if n == 1 {
		return "1 PCR of bank " + v.Bank()
	}
	return fmt.Sprintf("%d PCRs of bank %s", n, v.Bank())
}

// quoteFinding says why a quote is refused.
func (e *explainer) quoteFinding(err error) policy.Finding {
	f := policy.Finding{Check: checkQuote + "error", Where: "the quote", Message: err.Error(), Remedy: quoteHint(err, e.record.RegCount)}
	var refused *quote.VerificationError
	if !errors.As(err, &refused) {
		return f
	}
	f.Check, f.EventID = checkQuote+string(refused.Check), refused.Check.EventID()
	if refused.Expected != "" {
		f.Expected = []string{refused.Expected}
	}
	if refused.Found != "" {
		f.Found = []string{refused.Found}
	}
	switch refused.Check {
	case quote.CheckAcceptedHash, quote.CheckAcceptedEnc, quote.CheckAcceptedSign:
		f.Remedy = "let the agent use an algorithm that is accepted, or accept its algorithm: " + f.Remedy + ", and update enrols the agent with it"
	case quote.CheckPCRMissing:
		f.Remedy = "the agent leaves out registers that it was asked for: look at its version and its TPM's banks"
	}
	return f
}

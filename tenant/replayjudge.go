package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/durable"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// Checks that only records have.
const (
	// CheckRecord: it can be read, and has all that judging it needs.
	CheckRecord = "record.form"
	// CheckRecordAgent: it is of the agent under whose id it is kept.
	CheckRecordAgent = "record.agent"
	// CheckRecordAK: its AK was registered.
	CheckRecordAK = "record.ak"
	// CheckRecordSignature: its signature is of this record.
	CheckRecordSignature = "record.signature"
	// CheckRecordPolicy: its policies can be read.
	CheckRecordPolicy = "record.policy"
	// CheckRecordList: its part of the IMA list follows the one before.
	CheckRecordList = "record.ima-list-entry"
	// CheckRecordJudged: nothing was left without a judgement.
	CheckRecordJudged = "record.judged"
)

// ReplayComponent is the part of the evidence that a check is about.
func ReplayComponent(check string) string {
	room, name, _ := strings.Cut(check, ".")
	switch {
	case room == "quote" && strings.HasPrefix(name, "clock-"):
		return "clock"
	case room == "quote":
		return "quote"
	case room == "tpm-policy":
		return "registers"
	case room == "measured-boot":
		return "boot"
	case room == "ima", check == CheckRecordList:
		return "files"
	}
	return "record"
}

// ReplayedRecord is a record with the judgement on it.
type ReplayedRecord struct {
	// Number counts the agent's records from 1.
	Number int
	Time   time.Time
	// Stamp is the time as the verifier has written it, in its own zone.
	Stamp string
	// VerifierID, VerifierIP and VerifierPort are the verifier's.
	VerifierID, VerifierIP string
	VerifierPort           int
	// Before is the TPM's clock that the record tells of the quote before it, and
	// Clock that of its own quote, in milliseconds; 0 if not known.
	Before, Clock uint64
	// Missing are attestations between the record before and this one.
	Missing int
	// Findings are what is wrong with it; none: it is good.
	Findings []policy.Finding
	Notes    []string
}

// replayer judges the records of one agent, each by what the ones before it have
// shown.
type replayer struct {
	id    string
	rules ReplayRules
	keys  *RegisteredKeys
	past  replayedPast
	// ak is the key of the last good quote, bootTime that of the last record.
	ak       string
	bootTime int64
	// count is the count of quotes of the last record that tells one, -1 if there
	// is none.
	count int
}

// replayedPast is what records have shown that bears upon the next.
type replayedPast struct {
	ima   runtime.State
	clock *quote.Clock
	// keyring is ima_sign_verification_keys of the record, "" for none.
	keyring    string
	violations bool

	// made is the evaluator for these texts: most records have the same policy.
	made        *runtime.Evaluator
	madeErr     error
	text, rings string
}

// list is the state of the IMA list, nil for one that stands alone.
func (p *replayedPast) list() *runtime.State {
	if p == nil {
		return nil
	}
	return &p.ima
}

// baseline is the clock that the next quote has to be later than.
func (p *replayedPast) baseline() *quote.Clock {
	if p == nil {
		return nil
	}
	return p.clock
}

// evaluator judges IMA lists by a policy as a verifier does.
func (p *replayedPast) evaluator(text []byte) (*runtime.Evaluator, error) {
	if (p.made != nil || p.madeErr != nil) && p.text == string(text) && p.rings == p.keyring {
		return p.made, p.madeErr
	}
	p.text, p.rings = string(text), p.keyring
	p.made, p.madeErr = func() (*runtime.Evaluator, error) {
		parsed, err := parseRuntime(text)
		if err != nil {
			return nil, err
		}
		o := runtime.Options{Compat: true, MaxFindings: maxFileFindings, IgnoreToMToU: !p.violations}
		if p.keyring != "" {
			if o.Keyring, err = runtime.ParseKeyring(p.keyring); err != nil {
				return nil, fmt.Errorf("ima_sign_verification_keys: %w", err)
			}
		}
		return runtime.NewEvaluator(parsed, o)
	}()
	return p.made, p.madeErr
}

// prepare judges the records before the window that its first one builds upon,
// from the last whose IMA list begins with the first entry.
func (p *replayer) prepare(ctx context.Context, log durable.Log, chosen []int) error {
	p.past.violations, p.count = p.rules.Violations, -1
	if len(chosen) == 0 {
		return nil
	}
	from := chosen[0]
	for ; from > 0; from-- {
		raw, err := log.Read(ctx, from)
		var damage *durable.DamageError
		if err != nil && !errors.As(err, &damage) {
			return err
		}
		if err != nil {
			break
		}
		if a, err := durable.ParseAttestation(raw.Data); err != nil || firstEntry(a) == 0 {
			break
		}
	}
	for i := from; i < chosen[0]; i++ {
		if _, err := p.read(ctx, log, i); err != nil {
			return err
		}
	}
	return nil
}

// firstEntry is the entry of the IMA list that a record begins with.
func firstEntry(a *durable.Attestation) int {
	if a.Answer.IMAEntry == nil {
		return 0
	}
	return *a.Answer.IMAEntry
}

// read reads and judges a record. The only errors are those of reading and the
// end of the context.
func (p *replayer) read(ctx context.Context, log durable.Log, i int) (ReplayedRecord, error) {
	raw, err := log.Read(ctx, i)
	r := ReplayedRecord{Number: i + 1, Time: raw.Time}
	var damage *durable.DamageError
	if err != nil && !errors.As(err, &damage) {
		return r, err
	}
	var a *durable.Attestation
	if err == nil {
		a, err = durable.ParseAttestation(raw.Data)
	}
	if a != nil {
		r.Stamp, r.VerifierID, r.VerifierIP, r.VerifierPort = a.Stamp, a.VerifierID, a.VerifierIP, a.VerifierPort
		if a.Clock != nil {
			r.Before, r.Clock = a.Clock.Clock, a.Clock.Clock
		}
	}
	if err != nil {
		r.refuse(formFinding(err))
		return r, nil
	}
	return r, p.judge(ctx, &r, a)
}

func (r *ReplayedRecord) refuse(f policy.Finding) { r.Findings = append(r.Findings, f) }

// formFinding says why a record is none.
func formFinding(err error) policy.Finding {
	f := policy.Finding{Check: CheckRecord, Where: "the record", Message: "the record cannot be judged: " + err.Error()}
	var incomplete *durable.IncompleteError
	if errors.As(err, &incomplete) {
		f.Remedy = "signed_attributes in verifier.conf decides what a record keeps: leave it empty, or name there what is missing"
	}
	return f
}

// judge judges a record in the order of a verifier.
func (p *replayer) judge(ctx context.Context, r *ReplayedRecord, a *durable.Attestation) error {
	if a.AgentID != p.id {
		r.refuse(policy.Finding{Check: CheckRecordAgent, Where: "the record", Expected: []string{p.id}, Found: []string{a.AgentID},
			Message: "the record is kept as one of this agent, and says that it is of another"})
	}
	p.judgeAK(r, a)
	p.judgeSignature(r, a)
	p.baseline(a)
	if p.count >= 0 && a.Count > p.count+1 {
		r.Missing = a.Count - p.count - 1
	}
	p.count = a.Count
	e := p.explainer(a)
	before, bootTime := p.past.ima, p.bootTime
	continues := p.continues(r, a)
	answer := a.Answer
	if answer.PubKeyPEM == "" {
		answer.PubKeyPEM = a.PublicKey
	}
	e.accept(&shownByAgent{answer: &answer, nonce: a.Nonce, compressed: a.Version == "1.0"})
	if e.evidence.quoted {
		clock := e.evidence.proven.Clock()
		p.past.clock, p.ak, r.Clock = &clock, string(a.AK), clock.Clock
		if _, quoted := e.evidence.proven.PCR(imaPCR); quoted {
			e.mask |= imaMask // a verifier judges the list of whoever quotes PCR 10
		}
		e.readLog()
		if continues {
			if err := e.judgeFiles(ctx); err != nil {
				return &StepError{Step: StepReplay, ID: p.id, Err: err}
			}
		}
		p.judgeRest(e, a)
	}
	switch {
	case !e.evidence.quoted: // nobody has shown anything
		p.past.ima, p.bootTime = before, bootTime
	case !continues:
		p.past.ima.Reset()
	}
	for _, f := range e.x.Findings {
		// What commands would change are files that are not there.
		f.Command = nil
		if strings.HasPrefix(f.Check, checkQuote) {
			f.Remedy = ""
		}
		r.refuse(f)
	}
	if len(r.Findings) > 0 {
		r.Clock = r.Before // the clock of a record that is bad says nothing
	}
	r.Notes = append(r.Notes, e.x.Notes...)
	return nil
}

// judgeAK looks for the AK among those that were registered.
func (p *replayer) judgeAK(r *ReplayedRecord, a *durable.Attestation) {
	f := policy.Finding{Check: CheckRecordAK, Where: "the AK"}
	switch {
	case p.keys.active[string(a.AK)]:
		return
	case p.keys.others[string(a.AK)]:
		f.Message = "the AK was registered, but the agent has never shown that it belongs to the TPM of its EK"
	case p.keys.None():
		f.Message = "there is no record of a registration of the agent, so that nothing vouches for its AK"
		f.Remedy = "the registrar has to keep records too: durable_attestation_import and persistent_store_url in registrar.conf, and the agent registers when it is started anew"
	default:
		f.Message = "the agent has never registered the AK of this record"
	}
	r.refuse(f)
}

func (p *replayer) judgeSignature(r *ReplayedRecord, a *durable.Attestation) {
	if a.Signature == nil {
		return
	}
	whole, err := a.Signature.Verify()
	if err != nil {
		r.refuse(policy.Finding{Check: CheckRecordSignature, Where: "the record", Message: "the signature of the record does not count: " + err.Error()})
		return
	}
	r.Notes = append(r.Notes, signatureNote(a.Signature, "attestations", whole))
}

// baseline settles the clock that the quote must be later than: the last that
// was seen of this AK, or the one in the record, whichever is later.
func (p *replayer) baseline(a *durable.Attestation) {
	if p.ak != string(a.AK) {
		p.past.clock = nil
	}
	if a.Clock != nil && (p.past.clock == nil || laterClock(*a.Clock, *p.past.clock)) {
		clock := *a.Clock
		p.past.clock = &clock
	}
}

// laterClock says whether a is later than b.
func laterClock(a, b quote.Clock) bool {
	switch {
	case a.ResetCount != b.ResetCount:
		return a.ResetCount > b.ResetCount
	case a.RestartCount != b.RestartCount:
		return a.RestartCount > b.RestartCount
	}
	return a.Clock > b.Clock
}

// continues says whether the IMA list of a record can be judged: it begins with
// the first entry, or where the one before has ended.
func (p *replayer) continues(r *ReplayedRecord, a *durable.Attestation) bool {
	entry, expected := firstEntry(a), p.past.ima.NextEntry
	var bootTime int64
	if a.Answer.BootTime != nil {
		bootTime = *a.Answer.BootTime
	}
	rebooted := bootTime != p.bootTime
	p.bootTime = bootTime
	switch {
	case entry == 0:
		p.past.ima.Reset()
	case entry != expected:
		f := policy.Finding{Check: CheckRecordList, EventID: "qoute_validation.invalid_ima_entry_nb", Where: "the IMA list",
			Expected: []string{fmt.Sprintf("entry %d", expected)}, Found: []string{fmt.Sprintf("entry %d", entry)},
			Message: "the record has the list from another entry on than the records before it lead to: records are missing, or the agent has sent another part than it was asked for"}
		if expected == 0 {
			f.Message = fmt.Sprintf("the list begins with entry %d, and no good record before this one holds those before it", entry)
		}
		r.refuse(f)
		return false
	case rebooted:
		// A verifier lets this pass, and asks for the whole list next.
		r.Notes = append(r.Notes, "the machine was booted anew between a question and its answer: the files of that record are judged by the next one alone")
		return false
	}
	return true
}

// explainer judges one record; its parts are those of [Tenant.Explain].
func (p *replayer) explainer(a *durable.Attestation) *explainer {
	p.past.keyring = a.Keyring
	e := &explainer{t: &Tenant{}, past: &p.past, r: ExplainRequest{ID: p.id, Keyring: &runtime.Keyring{}},
		x:      &Explanation{Findings: []policy.Finding{}, Notes: []string{}, Evidence: ExplainedEvidence{Quote: "none"}},
		record: &registrar.Agent{Record: registrar.Record{AIKTPM: base64.StdEncoding.EncodeToString(a.AK)}}}
	// Verifiers keep records of agents that they ask alone, not of the push model.
	ip, port := "", 0
	e.agent = &verifier.Agent{ID: p.id, State: verifier.GetQuote, Record: verifier.Record{IP: &ip, Port: &port, TPMPolicy: a.TPMPolicy,
		AcceptTPMHashAlgs: a.AcceptHash, AcceptTPMEncryptionAlgs: a.AcceptEnc, AcceptTPMSigningAlgs: a.AcceptSign}}
	e.mask = maskOf(a.TPMPolicy)
	e.tpm, e.tpmErr = storedTPMPolicy(a.TPMPolicy)
	if p.rules.Violations {
		e.event = eventViolation
	}
	// A verifier without a policy has the empty one, which allows no file.
	e.files = recordedPolicy(RuntimeKind, a.RuntimePolicy)
	if !e.files.known() {
		e.files.text = runtime.Empty().Marshal()
	}
	if e.boot = recordedPolicy(MBKind, a.MBPolicy); e.boot.known() {
		e.agent.HasMBRefstate = 1
	}
	return e
}

// recordedPolicy is a policy as a record holds it.
func recordedPolicy(kind PolicyKind, text *string) heldPolicy {
	held := heldPolicy{ExplainedPolicy: ExplainedPolicy{Kind: kind, Source: PolicyNone}}
	if text != nil && *text != "" {
		held.Source, held.text, held.file = PolicyOwn, []byte(*text), "the recorded policy"
	}
	return held
}

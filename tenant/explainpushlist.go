package tenant

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// imaList is what could be put together of an IMA list, of which an agent of the
// push model shows a part each time.
type imaList struct {
	text string
	// first is the number of lines that are missing before it.
	first int
	// start is PCR 10 after those lines, proven by the quote of from; nil if
	// nothing says it.
	start []byte
	bank  string
	from  *verifier.Attestation
	// parts counts the attestations that it was put together from.
	parts int
}

// imaPart is the part of a list that one attestation has.
type imaPart struct {
	first, lines int
	text         string
}

// partOf is the part that an attestation has; ok is false if it has none.
func partOf(a *verifier.Attestation) (part imaPart, ok bool) {
	item := verifier.Find(a.Evidence, verifier.TypeIMALog)
	if item == nil || item.Data == nil {
		return imaPart{}, false
	}
	if c := item.Chosen; c != nil && c.StartingOffset != nil {
		part.first = max(*c.StartingOffset, 0)
	}
	if item.Data.Entries != nil {
		part.text = *item.Data.Entries
	}
	part.lines = strings.Count(part.text, "\n")
	return part, true
}

// from is the part from a line on, which lies in it.
func (p imaPart) from(line int) string {
	text := p.text
	for range line - p.first {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// sameBoot says that both are of one boot of the machine.
func sameBoot(a, b *verifier.Attestation) bool {
	x, y := a.SystemInfo.BootTime, b.SystemInfo.BootTime
	return x != nil && y != nil && x.Equal(*y)
}

// takeIMAList puts the IMA list of the attestation together from the parts that
// the verifier still has. Where its beginning is missing, the quote of the
// attestation before stands for it.
func (e *explainer) takeIMAList(ctx context.Context) {
	a := e.pushed
	last, ok := partOf(a.judged)
	if !ok {
		return
	}
	earlier, err := a.sameBoot(ctx, last.first)
	if err != nil {
		e.note("earlier parts of the IMA list could not be had: %s", stepText(err))
	}
	a.stoodStill = e.standsStill(ctx)
	lists := joined(last, earlier)
	a.list = lists[len(lists)-1]
	for i := len(lists) - 1; a.list.first > 0 && a.list.start == nil && i >= 0; i-- {
		if lists[i].startAfter(ctx, e, earlier); lists[i].start != nil {
			a.list = lists[i]
		}
	}
	e.evidence.list = []byte(a.list.text)
	if a.list.first == 0 {
		if a.list.parts > 1 {
			e.note("the IMA list was put together from the parts that %d attestations have", a.list.parts)
		}
		return
	}
	e.x.Evidence.Attestation.IMAFrom = &a.list.first
	lines := lineCount(a.list.text)
	if a.list.start != nil {
		e.note("of the IMA list the verifier still has %s, from line %d on: that part is judged against the PCR 10 that the quote of %s proves; what is before it, the verifier has judged",
			lines, a.list.first+1, attestationText(a.list.from))
		return
	}
	e.note("of the IMA list the verifier still has %s, from line %d on, and nothing that says what PCR 10 was before it: that part is what the machine claims, and what is before it cannot be judged",
		lines, a.list.first+1)
}

func lineCount(text string) string {
	if n := strings.Count(text, "\n"); n != 1 {
		return fmt.Sprintf("%d lines", n)
	}
	return "1 line"
}

// sameBoot are the earlier attestations of the same boot as the one judged,
// newest first, until one has the list from its beginning.
func (a *attestedTo) sameBoot(ctx context.Context, first int) ([]*verifier.Attestation, error) {
	if first == 0 {
		return nil, nil
	}
	var all []*verifier.Attestation
	take := func(index int) (done bool, err error) {
		found, err := a.at(ctx, index)
		if err != nil || found == nil || !hasEvidence(found) || !sameBoot(found, a.judged) {
			return false, err
		}
		all = append(all, found)
		part, ok := partOf(found)
		return ok && part.first == 0 && part.lines >= first, nil
	}
	// Of one boot the first attestation stays, and it is often the first of all.
	if done, err := take(0); done || err != nil {
		return all, err
	}
	for index := a.judged.Index - 1; index > 0 && a.asked < maxEarlier; index-- {
		if done, err := take(index); done || err != nil {
			return all, err
		}
	}
	return all, nil
}

// joined are the lists that can be put together from the parts that lead to the
// last one without a gap: that alone first, then each with a part more before it.
func joined(last imaPart, earlier []*verifier.Attestation) []imaList {
	lists := []imaList{{text: last.text, first: last.first, parts: 1}}
	for {
		list := lists[len(lists)-1]
		best, found := imaPart{}, false
		for _, a := range earlier {
			part, ok := partOf(a)
			if !ok || part.first >= list.first || part.first+part.lines < list.first || found && part.first >= best.first {
				continue
			}
			best, found = part, true
		}
		if !found {
			return lists
		}
		before := strings.TrimSuffix(best.text, best.from(list.first))
		lists = append(lists, imaList{text: before + list.text, first: best.first, parts: list.parts + 1})
	}
}

// startAfter looks for a quote that proves PCR 10 after the lines that are
// missing: that of an attestation that passed and whose part ended there.
func (l *imaList) startAfter(ctx context.Context, e *explainer, earlier []*verifier.Attestation) {
	for _, a := range earlier {
		part, ok := partOf(a)
		if !ok || a.Evaluation != verifier.EvaluationPass || part.first > l.first || part.first+part.lines < l.first || e.record == nil {
			continue
		}
		value, bank, proven := e.provenPCR10(a)
		// A list may be ahead of its quote: which line PCR 10 had come to, is sure
		// only if it leads on to the quote that is judged.
		if proven && (part.first+part.lines == l.first || e.leadsOn(ctx, bank, value, l.text)) {
			l.start, l.bank, l.from = value, bank, a
			return
		}
	}
}

// provenPCR10 is PCR 10 in the quote of an attestation, verified like any other.
func (e *explainer) provenPCR10(a *verifier.Attestation) (value []byte, bank string, proven bool) {
	item := verifier.Find(a.Evidence, verifier.TypeTPMQuote)
	ak, err := base64.StdEncoding.DecodeString(e.record.AIKTPM)
	if err != nil || item == nil || item.Chosen == nil || item.Data == nil {
		return nil, "", false
	}
	verified, err := quote.Verify(quote.Untrusted{Quote: "r" + item.Data.Message + ":" + item.Data.Signature + ":" + string(item.Data.SubjectData),
		HashAlg: item.Chosen.HashAlgorithm, SignAlg: item.Chosen.SignatureScheme},
		quote.Expect{AK: ak, Nonce: item.Chosen.Challenge, DecodedNonce: true})
	if err != nil {
		return nil, "", false
	}
	value, quoted := verified.PCR(imaPCR)
	return value, verified.Bank(), quoted
}

// leadsOn says that lines of the IMA list lead from a value of PCR 10 to the one
// that the quote proves.
func (e *explainer) leadsOn(ctx context.Context, bank string, start []byte, list string) bool {
	value, quoted := e.evidence.proven.PCR(imaPCR)
	evaluator, err := runtime.NewEvaluator(runtime.Empty(), runtime.Options{Compat: true})
	if err != nil || !quoted || bank != e.evidence.proven.Bank() {
		return false
	}
	verdict, err := evaluator.Evaluate(ctx, runtime.Resume(1, bank, start), runtime.Evidence{List: strings.NewReader(list), PCR10: value, Bank: bank})
	return err == nil && !slices.ContainsFunc(verdict.Findings, func(f policy.Finding) bool { return f.Check == runtime.CheckPCRMismatch })
}

// lookBack bounds how many attestations before a failed one are looked at.
const lookBack = 3

// standsStill says that a failed attestation has lines of the IMA list although
// its PCR 10 is that of the attestation which passed before.
func (e *explainer) standsStill(ctx context.Context) bool {
	a := e.pushed
	now, quoted := e.evidence.proven.PCR(imaPCR)
	part, ok := partOf(a.judged)
	if !quoted || !ok || part.lines == 0 || a.judged.Evaluation != verifier.EvaluationFail {
		return false
	}
	for back := range lookBack {
		before, err := a.at(ctx, a.judged.Index-1-back)
		if err != nil {
			return false
		}
		if before == nil || before.Evaluation != verifier.EvaluationPass {
			continue
		}
		value, _, proven := e.provenPCR10(before)
		return proven && bytes.Equal(value, now)
	}
	return false
}

// listState is from where on the IMA list is judged, nil for its beginning.
func (e *explainer) listState() *runtime.State {
	if e.pushed == nil || e.pushed.list.first == 0 {
		return e.past.list()
	}
	l := e.pushed.list
	return runtime.Resume(l.first, l.bank, l.start)
}

// listUnproven says that no quote can stand behind the part of the IMA list that
// there is.
func (e *explainer) listUnproven() bool {
	return e.pushed != nil && e.pushed.list.first > 0 && e.pushed.list.start == nil
}

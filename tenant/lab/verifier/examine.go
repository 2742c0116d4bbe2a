package verifier

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/keylime/keylime-tenant/client/agent"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// examiner judges the quotes of one agent, each by what the ones before it have
// shown. It makes no difference to it whether the agent was asked or came by
// itself.
type examiner struct {
	request wire.AddRequest
	// push: the agent comes by itself, and the mask of tpm_policy counts for
	// nothing.
	push  bool
	ak    []byte
	rules rules

	// nk is the transport key that the last good quote bound.
	nk       string
	clock    *quote.Clock
	ima      runtime.State
	bootTime *int64
}

// prepare reads everything that judging needs; the texts are the policies of
// the agent, nil for none.
func (x *examiner) prepare(runtimeText, bootText *string) (err error) {
	if x.ak, err = base64.StdEncoding.DecodeString(x.request.AKTPM); err != nil {
		return fmt.Errorf("ak_tpm: %w", err)
	}
	if x.rules.tpm, err = parseTPMPolicy(x.request.TPMPolicy); err != nil {
		return err
	}
	if x.rules.tpm.mask == "" && !x.push {
		return errors.New("tpm_policy: there is no mask")
	}
	x.rules.boot = bootText
	x.rules.runtime = sync.OnceValues(func() (*runtime.Evaluator, error) {
		return newEvaluator(runtimeText, x.request.IMASignVerificationKeys)
	})
	return nil
}

// newEvaluator makes the judge of IMA lists; no text means the empty policy.
func newEvaluator(text *string, keys string) (*runtime.Evaluator, error) {
	p := runtime.Empty()
	if text != nil {
		var err error
		if p, err = runtime.ParsePolicy([]byte(*text)); err != nil {
			return nil, err
		}
	}
	var o runtime.Options
	if keys != "" {
		ring, err := runtime.ParseKeyring(keys)
		if err != nil {
			return nil, err
		}
		o.Keyring = ring
	}
	return runtime.NewEvaluator(p, o)
}

// outcome is how one attestation ended.
type outcome struct {
	// again: the agent did not answer in a way that says anything; try again.
	again error
	// events are the failures; none and no again is a good round.
	events []event
	// neutral: neither good nor bad.
	neutral bool
}

// good says that the quote was accepted.
func (o outcome) good() bool { return o.again == nil && len(o.events) == 0 && !o.neutral }

// judge checks an answer to a request (PROTOCOL.md 4.10, step 6, and section
// 6).
func (x *examiner) judge(ctx context.Context, q *agent.IntegrityQuote, request agent.IntegrityRequest) outcome {
	refuse := func(events ...event) outcome { return outcome{events: events} }
	key := q.PubKeyPEM
	if key == "" {
		key = x.nk
	}
	if key == "" {
		return refuse(event{ofQuote + "no_pubkey", message{Message: "the agent has not sent its public key"}})
	}
	if q.IMAEntry != nil {
		switch *q.IMAEntry {
		case 0:
			x.ima.Reset()
		case request.IMAEntry:
		default:
			return refuse(event{ofQuote + "invalid_ima_entry_nb",
				compared{Context: "the agent sent another part of the IMA list than was asked for", Got: fmt.Sprint(*q.IMAEntry), Expected: request.IMAEntry}})
		}
	}
	if x.rebooted(q.BootTime) {
		x.ima.Reset()
		if request.IMAEntry > 0 {
			return outcome{neutral: true} // the list begins anew, and so do we
		}
	}
	verified, err := quote.Verify(quote.Untrusted{Quote: q.Quote.Quote, HashAlg: q.HashAlg, EncAlg: q.EncAlg, SignAlg: q.SignAlg, TransportKeyPEM: key},
		quote.Expect{AK: x.ak, Nonce: request.Nonce, AcceptHash: x.request.AcceptTPMHashAlgs, AcceptEnc: x.request.AcceptTPMEncryptionAlgs,
			AcceptSign: x.request.AcceptTPMSigningAlgs, BindTransportKey: true, Clock: x.clock})
	if err != nil {
		return refuse(ofQuoteError(err))
	}
	events, err := x.rules.judge(ctx, verified, evidence{list: q.IMAList, log: q.MBLog, ima: &x.ima})
	if err != nil {
		return refuse(internalEvent("exception", err))
	}
	if len(events) > 0 {
		return refuse(events...)
	}
	clock := verified.Clock()
	x.clock, x.nk = &clock, verified.TransportKeyPEM()
	return outcome{}
}

// rebooted says whether the agent tells of another boot than before.
func (x *examiner) rebooted(now *int64) bool {
	before := x.bootTime
	x.bootTime = now
	return before != nil && (now == nil || *before != *now)
}

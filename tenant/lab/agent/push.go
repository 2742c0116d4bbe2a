package agent

import (
	"context"
	"strconv"
	"strings"
	"time"

	wire "github.com/keylime/keylime-tenant/client/agent"
)

// defaultAttestEvery is the time between two attestations.
const defaultAttestEvery = 2 * time.Second

// Attestor is the verifier to which an agent of the push model attests itself.
// The lab's hands evidence over within one process: upstream's session protocol
// (PROTOCOL.md 2.4) is not spoken.
type Attestor interface {
	// Challenge says what the agent is to show, with a fresh nonce. An error
	// means that nothing is wanted now.
	Challenge(id string) (wire.IntegrityRequest, error)
	// Attest judges what it shows. An error means that it was not accepted.
	Attest(ctx context.Context, id string, q *wire.IntegrityQuote) error
}

// attest attests the agent again and again until it is closed. What becomes of
// it, the verifier tells: a real agent learns little, and goes on in any case.
func (a *Agent) attest(to Attestor, every time.Duration) {
	if every <= 0 {
		every = defaultAttestEvery
	}
	a.work.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			a.attestOnce(to)
			select {
			case <-a.workCtx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// attestOnce shows the verifier what it wants to see, if it wants anything.
func (a *Agent) attestOnce(to Attestor) {
	request, err := to.Challenge(a.id)
	if err != nil {
		return // not added yet, most of the time
	}
	mask, err := strconv.ParseUint(strings.TrimPrefix(request.Mask, "0x"), 16, 32)
	if err != nil {
		a.logf("the verifier asks for registers %.50q, which is no hex number of 32 bits", request.Mask)
		return
	}
	q, err := a.evidence(request.Nonce, uint32(mask), request.IMAEntry, versions[len(versions)-1])
	if err != nil {
		a.logf("no evidence: %v", err)
		return
	}
	q.PubKeyPEM = a.nkPEM
	if err := to.Attest(a.workCtx, a.id, &q); err != nil && a.workCtx.Err() == nil {
		a.logf("the verifier has not accepted the evidence: %.300v", err)
	}
}

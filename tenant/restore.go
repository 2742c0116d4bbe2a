package tenant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// restore puts the old enrolment back, as far as the verifier lets.
func (e *enrolment) restore(ctx context.Context, report *UndoneError) {
	t, id := e.t, e.plan.ID
	left := func(err error) {
		report.Left = append(report.Left, Leftover{Command: []string{"keylime_tenant", "add", id},
			What: fmt.Sprintf("agent %s is not attested any more: putting its old enrolment back failed (%v)", id, err)})
	}
	found, err := t.look(ctx, id)
	switch {
	case err != nil:
		left(err)
		return
	case found != nil && found.State != verifier.Terminated:
		e.undone(report, "the old enrolment is still there")
		return
	case found != nil:
		if err := t.waitGone(ctx, id); err != nil {
			left(err)
			return
		}
	}
	if err := e.postOld(ctx); err != nil {
		left(err)
		return
	}
	e.undone(report, "the old enrolment was put back")
	t.emit(Warning{Kind: WarnRestored, ID: id, Object: "agent " + id,
		Text: "agent " + id + " has its old enrolment again; the verifier attests it from the start"})
	if e.old.agent.State == verifier.TenantQuoteFailed {
		if _, err := t.Verifier.Stop(ctx, id); err != nil {
			report.Left = append(report.Left, Leftover{What: fmt.Sprintf("agent %s was stopped before and is attested now: stopping it failed (%v)", id, err)})
		}
	}
	lost := slices.Clone(e.old.lost)
	switch o := e.old.agent; {
	case o.V == nil:
	case e.old.weaker:
		lost = append(lost, "its share of the payload's key, which must not be had for less than before")
	case e.uGiven && o.AttestationCount == 0:
		lost = append(lost, "its old payload, if the agent had not opened it yet: the agent has been given the new one since")
	}
	for _, what := range lost {
		text := "not put back: " + what
		t.emit(Warning{Kind: WarnIncomplete, ID: id, Object: "agent " + id, Text: text, Hint: "keylime_tenant update " + id + " with all its options completes it"})
		report.Left = append(report.Left, Leftover{What: text})
	}
}

// postOld posts the old enrolment, until the verifier has taken it.
func (e *enrolment) postOld(ctx context.Context) error {
	t, id, request := e.t, e.plan.ID, e.oldRequest()
	for try := 1; ; try++ {
		_, err := t.Verifier.Add(ctx, id, request)
		if err == nil {
			return nil
		}
		if client.KindOf(err) == client.Conflict && try > 1 {
			// An earlier try may have arrived although its answer did not.
			if found, lookErr := t.look(ctx, id); lookErr == nil && found != nil && found.State != verifier.Terminated {
				return nil
			}
		}
		if try >= undoTries || !passing(err) && client.KindOf(err) != client.Conflict {
			return err
		}
		if ended := t.sleep(ctx, undoPause); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// oldRequest is the request that makes the old enrolment again.
func (e *enrolment) oldRequest() verifier.AddRequest {
	o := e.old.agent
	r := verifier.AddRequest{
		V: o.V, CloudagentIP: o.IP, VerifierIP: o.VerifierIP, VerifierPort: o.VerifierPort, TPMPolicy: o.TPMPolicy,
		RuntimePolicyName: e.old.runtimeName, MBPolicy: e.old.measuredBoot, MBPolicyName: e.old.measuredBootName, Metadata: o.MetaData,
		AcceptTPMHashAlgs: list(o.AcceptTPMHashAlgs), AcceptTPMEncryptionAlgs: list(o.AcceptTPMEncryptionAlgs), AcceptTPMSigningAlgs: list(o.AcceptTPMSigningAlgs),
		AKTPM: e.record.AIKTPM, MTLSCert: e.record.MTLSCert, SupportedVersion: e.polledVersion().String(),
	}
	if o.Port != nil {
		port := verifier.Port(*o.Port)
		r.CloudagentPort = &port
	}
	if e.old.runtime != nil {
		r.RuntimePolicy = base64.StdEncoding.EncodeToString([]byte(*e.old.runtime))
	}
	if e.old.weaker {
		r.V = nil
		if e.old.runtime == nil && e.old.runtimeName == "" {
			r.TPMPolicy = withoutIMA(o.TPMPolicy)
		}
	}
	return r
}

// maskOf is the mask in a tpm_policy as a verifier shows it, 0 if there is
// none.
func maskOf(tpmPolicy string) uint32 {
	var policy struct {
		Mask string `json:"mask"`
	}
	if json.Unmarshal([]byte(tpmPolicy), &policy) != nil {
		return 0
	}
	mask, err := strconv.ParseUint(policy.Mask, 0, 32)
	if err != nil {
		return 0
	}
	return uint32(mask)
}

// withoutIMA takes PCR 10 out of the mask of a tpm_policy: with it, and without
// a runtime policy, every quote would be refused. A text that cannot be changed
// is returned as it is.
func withoutIMA(tpmPolicy string) string {
	var policy map[string]json.RawMessage
	if json.Unmarshal([]byte(tpmPolicy), &policy) != nil || policy["mask"] == nil {
		return tpmPolicy
	}
	policy["mask"] = fmt.Appendf(nil, `"0x%x"`, maskOf(tpmPolicy)&^imaMask)
	changed, err := json.Marshal(policy)
	if err != nil {
		return tpmPolicy
	}
	return string(changed)
}

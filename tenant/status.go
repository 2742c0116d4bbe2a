package tenant

import (
	"context"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// RegistrarStatus reads the registrar's record of an agent.
//
// Errors: *[InvalidError], *[NotFoundError] (also for an agent that has not
// finished its registration), *[StepError].
func (t *Tenant) RegistrarStatus(ctx context.Context, id string) (*RegistrarAgent, error) {
	if err := CheckAgentID(id); err != nil {
		return nil, err
	}
	if err := t.askRegistrar(ctx); err != nil {
		return nil, &StepError{Step: StepRegistrar, ID: id, Err: err}
	}
	record, _, err := t.Registrar.Agent(ctx, id)
	if client.KindOf(err) == client.NotFound {
		return nil, &NotFoundError{What: "agent", Name: id, Server: ServerRegistrar, Err: err,
			Hint: "start the agent so that it registers; keylime_tenant reglist shows the ids that are registered"}
	}
	if err != nil {
		return nil, &StepError{Step: StepRegistrar, ID: id, Err: err}
	}
	t.emit(RegistrarStatus{ID: id, Raw: record.Raw})
	return registrarAgent(record), nil
}

// RegistrarList lists the agents that the registrar holds, also those that
// have not finished their registration. Errors: *[StepError].
func (t *Tenant) RegistrarList(ctx context.Context) (*AgentList, error) {
	if err := t.askRegistrar(ctx); err != nil {
		return nil, &StepError{Step: StepList, ID: ServerRegistrar, Err: err}
	}
	ids, reply, err := t.Registrar.Agents(ctx)
	if err != nil {
		return nil, &StepError{Step: StepList, ID: ServerRegistrar, Err: err}
	}
	t.emit(RegistrarList{Reply: reply})
	return &AgentList{IDs: list(ids), Reply: reply}, nil
}

// RegistrarDelete makes the registrar forget an agent. The verifier goes on
// attesting it. Errors: *[InvalidError]; *[NotFoundError], which is told as
// [RegistrarDeleted] too; *[StepError].
func (t *Tenant) RegistrarDelete(ctx context.Context, id string) (*RegistrarDeleteResult, error) {
	if err := CheckAgentID(id); err != nil {
		return nil, err
	}
	if err := t.askRegistrar(ctx); err != nil {
		return nil, &StepError{Step: StepRegDelete, ID: id, Err: err}
	}
	reply, err := t.Registrar.Delete(ctx, id)
	if client.KindOf(err) == client.NotFound {
		t.emit(RegistrarDeleted{ID: id, Absent: true, Reply: replyOf(err)})
		return nil, &NotFoundError{What: "agent", Name: id, Server: ServerRegistrar, Err: err, Hint: "keylime_tenant reglist shows the ids that are registered"}
	}
	if err != nil {
		return nil, &StepError{Step: StepRegDelete, ID: id, Err: err}
	}
	t.emit(RegistrarDeleted{ID: id, Reply: reply})
	return &RegistrarDeleteResult{ID: id, Reply: reply}, nil
}

// VerifierStatus reads the verifier's record of an agent. Errors:
// *[InvalidError]; *[NotFoundError], which is told as [NotEnrolled] too;
// *[StepError].
func (t *Tenant) VerifierStatus(ctx context.Context, id string) (*VerifierAgent, error) {
	if err := CheckAgentID(id); err != nil {
		return nil, err
	}
	found, err := t.verifierStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	return verifierAgent(found, t.now()), nil
}

// verifierStatus reads and tells the verifier's record.
func (t *Tenant) verifierStatus(ctx context.Context, id string) (*verifier.Agent, error) {
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepStatus, ID: id, Err: err}
	}
	found, reply, err := t.Verifier.Agent(ctx, id)
	if client.KindOf(err) == client.NotFound {
		t.emit(NotEnrolled{ID: id})
		return nil, &NotFoundError{What: "agent", Name: id, Server: ServerVerifier, Err: err, Hint: "keylime_tenant add " + id + " enrols it"}
	}
	if err != nil {
		return nil, &StepError{Step: StepStatus, ID: id, Err: err}
	}
	t.emit(VerifierStatus{ID: id, Agent: found, Reply: reply})
	return found, nil
}

// Status reads what both servers hold of an agent, the registrar first. When
// the registrar's part was read and the verifier's was not, the result holds
// the first part beside the error. Errors as of [Tenant.RegistrarStatus] and
// [Tenant.VerifierStatus].
func (t *Tenant) Status(ctx context.Context, id string) (*StatusResult, error) {
	registered, err := t.RegistrarStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	result := &StatusResult{ID: id, Registrar: registered}
	result.Verifier, err = t.VerifierStatus(ctx, id)
	return result, err
}

// VerifierList lists the agents of one verifier, of all with verifierID "". A
// verifier that answers 404 has none, which is told as [NoAgents]. Errors:
// *[StepError].
func (t *Tenant) VerifierList(ctx context.Context, verifierID string) (*AgentList, error) {
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	ids, reply, err := t.Verifier.Agents(ctx, verifierID)
	if client.KindOf(err) == client.NotFound {
		t.emit(NoAgents{})
		return &AgentList{IDs: []string{}, Reply: replyOf(err)}, nil
	}
	if err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	t.emit(VerifierList{Reply: reply})
	return &AgentList{IDs: list(ids), Reply: reply}, nil
}

// Bulk reads the records of all agents of one verifier, of all with verifierID
// "". Errors: *[StepError].
func (t *Tenant) Bulk(ctx context.Context, verifierID string) (*BulkResult, error) {
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	agents, reply, err := t.Verifier.Bulk(ctx, verifierID)
	if err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	t.emit(VerifierBulk{Agents: agents, Reply: reply})
	result := &BulkResult{Agents: make([]*VerifierAgent, 0, len(agents)), Reply: reply}
	now := t.now()
	for i := range agents {
		result.Agents = append(result.Agents, verifierAgent(&agents[i], now))
	}
	return result, nil
}

// ReactivateRequest asks the verifier to attest an agent again.
type ReactivateRequest struct {
	ID string
	// NoCheck does not read the verifier's record before.
	NoCheck bool
}

// Reactivate asks the verifier to attest an agent again that has failed. For
// one that was stopped the verifier says yes and does nothing (PROTOCOL.md
// 4.5), which is told as a [Warning]; Update helps there, and for a failure in
// the push model too. Errors:
// *[InvalidError], *[NotFoundError], *[StepError].
func (t *Tenant) Reactivate(ctx context.Context, r ReactivateRequest) (*SwitchResult, error) {
	if err := CheckAgentID(r.ID); err != nil {
		return nil, err
	}
	result := &SwitchResult{ID: r.ID}
	if r.NoCheck {
		if err := t.askVerifier(ctx); err != nil {
			return nil, &StepError{Step: StepReactivate, ID: r.ID, Err: err}
		}
	} else {
		found, err := t.verifierStatus(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		result.Before, result.Push, result.BeforeStatus = saidState(found), push(found), found.AttestationStatus
		if found.State == verifier.TenantQuoteFailed {
			t.emit(Warning{Kind: WarnStopped, ID: r.ID, Object: "agent " + r.ID,
				Text: "agent " + r.ID + " was stopped: a verifier in pull mode agrees to reactivate it, and does nothing",
				Hint: "keylime_tenant update " + r.ID + " starts its attestation again"})
		}
	}
	if _, err := t.Verifier.Reactivate(ctx, r.ID); err != nil {
		return nil, &StepError{Step: StepReactivate, ID: r.ID, Err: err}
	}
	t.emit(Reactivated{ID: r.ID})
	return result, nil
}

// Stop tells the verifier to attest an agent no longer, but to keep its
// record. An agent of the push model goes on attesting itself. Errors: *[InvalidError], *[StepError].
func (t *Tenant) Stop(ctx context.Context, id string) (*SwitchResult, error) {
	if err := CheckAgentID(id); err != nil {
		return nil, err
	}
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepStop, ID: id, Err: err}
	}
	if _, err := t.Verifier.Stop(ctx, id); err != nil {
		return nil, &StepError{Step: StepStop, ID: id, Err: err}
	}
	t.emit(Stopped{ID: id})
	return &SwitchResult{ID: id, Push: t.verifierVersion.Gone}, nil
}

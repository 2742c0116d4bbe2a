package verifier

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	wire "github.com/keylime/keylime-tenant/client/verifier"
)

const (
	// evidenceLife is how long the evidence of an attestation may take
	// (challenge_lifetime of upstream).
	evidenceLife = 30 * time.Minute
	// keptFailures bounds the failed attestations that are kept of one agent;
	// upstream keeps all.
	keptFailures = 20
)

// attestation is one attestation of an agent.
type attestation struct {
	Index int `json:"index"`
	wire.AttestationRecord
	// registers are those to be quoted; nil after the verifier was started anew.
	registers []int
}

// find is the attestation of a number, or of "latest".
func (p *pushed) find(which string) *attestation {
	if len(p.Attestations) == 0 {
		return nil
	}
	if which == "latest" {
		return p.Attestations[len(p.Attestations)-1]
	}
	n, err := strconv.Atoi(which)
	i := slices.IndexFunc(p.Attestations, func(a *attestation) bool { return a.Index == n })
	if err != nil || i < 0 {
		return nil
	}
	return p.Attestations[i]
}

// pushedAgent is an agent of the push model; the refusal says that there is
// none. The caller holds the lock.
func (s *Server) pushedAgent(id string) (*enrolled, *reply) {
	e := s.agents[id]
	if e == nil || e.Push == nil {
		no := refusal(http.StatusNotFound, "not_found", "No enrolled agent with ID '%.100s'.", id)
		return nil, &no
	}
	return e, nil
}

func addressOfAttestation(id string, index int) string {
	return fmt.Sprintf("/v%s/agents/%s/attestations/%d", wire.VersionPush, id, index)
}

// showAttestations answers GET below /agents/:id/attestations. Unlike upstream it
// can list several.
func (s *Server) showAttestations(id, which string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, no := s.pushedAgent(id)
	switch {
	case no != nil:
		return *no
	case which == "":
		list := []*wire.Resource{}
		for _, a := range e.Push.Attestations {
			document, err := wire.NewBody(wire.ResourceAttestation, "", a.AttestationRecord)
			if err != nil {
				return reply{code: http.StatusInternalServerError}
			}
			document.Data.Links = map[string]any{"self": addressOfAttestation(id, a.Index)}
			list = append(list, document.Data)
		}
		return reply{code: http.StatusOK, body: map[string]any{"data": list, "jsonapi": map[string]string{"version": "1.1"}}}
	}
	a := e.Push.find(which)
	switch {
	case a == nil && which == "latest":
		return refusal(http.StatusNotFound, "not_found", "No attestation exists for agent '%.100s'.", id)
	case a == nil:
		return refusal(http.StatusNotFound, "not_found", "No attestation %.20s exists for agent '%.100s'.", which, id)
	}
	return resource(http.StatusOK, wire.ResourceAttestation, "", addressOfAttestation(id, a.Index), a.AttestationRecord, nil)
}

// beginAttestation answers POST /agents/:id/attestations: what the agent can show
// against what it is to show.
func (s *Server) beginAttestation(id string, body []byte) reply {
	var offer wire.Offer
	if err := readResource(body, wire.ResourceAttestation, &offer); err != nil {
		return refusal(http.StatusBadRequest, "invalid_request", "%v", err)
	}
	challenge := make([]byte, challengeBytes)
	if !s.random(challenge) {
		return reply{code: http.StatusInternalServerError}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, no := s.pushedAgent(id)
	if no != nil {
		return *no
	}
	p := e.Push
	if p.visit.busy {
		return refusal(http.StatusServiceUnavailable, "verification_in_progress", "Cannot create attestation for agent '%.100s' while the last one is still being verified.", id).retryAfter(0)
	}
	latest := p.find("latest")
	if wait := s.untilNext(latest); wait > 0 {
		return refusal(http.StatusTooManyRequests, "premature_attestation", "Cannot create attestation for agent '%.100s' before the configured interval has elapsed.", id).retryAfter(wait)
	}
	if err := s.examinerFor(e); err != nil {
		s.came(e)
		s.refuse(e, []event{internalEvent("exception", err)})
		return reply{code: http.StatusInternalServerError}
	}
	a := &attestation{Index: p.Next}
	a.Stage, a.Evaluation, a.SystemInfo = wire.StageAwaiting, wire.EvaluationPending, offer.SystemInfo
	if err := s.choose(e, a, offer, base64.StdEncoding.EncodeToString(challenge)); err != nil {
		return refusal(http.StatusUnprocessableEntity, "invalid_resource_data", "%v", err)
	}
	now := s.o.Now()
	a.CapabilitiesReceivedAt, a.ChallengesExpireAt = utc(now), utc(now.Add(evidenceLife))
	if latest != nil && latest.Stage == wire.StageAwaiting {
		p.Attestations = p.Attestations[:len(p.Attestations)-1] // nobody waits for it any longer
	}
	p.Next++
	p.Attestations = append(p.Attestations, a)
	// The agent is told what it is to show, and nothing of itself.
	told := a.AttestationRecord
	told.Evaluation, told.Evidence, told.Requested = "", nil, slices.Clone(a.Evidence)
	for i := range told.Requested {
		told.Requested[i].Capabilities = nil
	}
	return resource(http.StatusCreated, wire.ResourceAttestation, "", addressOfAttestation(id, a.Index), told, nil)
}

// untilNext is the number of seconds until another attestation may begin, rounded
// as upstream does.
func (s *Server) untilNext(latest *attestation) int {
	if latest == nil || latest.EvidenceReceivedAt == nil {
		return 0
	}
	left := latest.EvidenceReceivedAt.Add(s.o.Interval).Sub(s.o.Now())
	return max(int(math.RoundToEven(left.Seconds())), 0)
}

// takeEvidence answers PATCH /agents/:id/attestations/:index: the evidence is
// accepted or refused by its form, and judged when the answer is out.
func (s *Server) takeEvidence(id, which string, body []byte) reply {
	var collected wire.Collected
	if err := readResource(body, wire.ResourceAttestation, &collected); err != nil {
		return refusal(http.StatusBadRequest, "invalid_request", "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, no := s.pushedAgent(id)
	if no != nil {
		return *no
	}
	a := e.Push.find("latest")
	now := s.o.Now()
	switch {
	case a == nil:
		return refusal(http.StatusNotFound, "not_found", "No attestation exists for agent '%.100s'.", id)
	case which != "latest" && which != strconv.Itoa(a.Index):
		return refusal(http.StatusForbidden, "old_attestation", "Attestation %.20s is not the latest for agent '%.100s'.", which, id)
	case a.Stage != wire.StageAwaiting:
		return refusal(http.StatusForbidden, "evidence_immutable", "Cannot alter evidence for attestation %d which has already been received and accepted.", a.Index)
	case now.After(*a.ChallengesExpireAt):
		return refusal(http.StatusForbidden, "challenges_expired", "Challenges for attestation %d have expired.", a.Index)
	case e.Push.visit.examiner == nil || a.registers == nil:
		// The verifier was started anew in between, and knows no more what it
		// asked for.
		return refusal(http.StatusForbidden, "challenges_expired", "Challenges for attestation %d are not known any longer.", a.Index)
	}
	if err := a.take(collected.Collected); err != nil {
		return refusal(http.StatusUnprocessableEntity, "invalid_resource_data", "%v", err)
	}
	a.Stage, a.EvidenceReceivedAt = wire.StageEvaluating, utc(now)
	e.Push.visit.busy = true
	told := a.AttestationRecord
	told.Evaluation = ""
	answer := resource(http.StatusAccepted, wire.ResourceAttestation, "", addressOfAttestation(id, a.Index), told,
		map[string]any{"seconds_to_next_attestation": s.untilNext(a)})
	answer.after = func() { s.work.Go(func() { s.judgePushed(e, a) }) }
	return answer
}

// take takes evidence that has the form of what was asked for.
func (a *attestation) take(items []wire.Evidence) error {
	if len(items) != len(a.Evidence) {
		return errors.New("evidence_collected must contain a number of elements equal to that which were requested")
	}
	data := make([]*wire.EvidenceData, len(items))
	for i, item := range items {
		asked := a.Evidence[i]
		switch {
		case item.Class != asked.Class || item.Type != asked.Type:
			return errors.New("evidence_collected must appear in the same order as the evidence requested")
		case item.Data == nil:
			return fmt.Errorf("evidence_collected: %s has no data", item.Type)
		}
		data[i] = &wire.EvidenceData{Message: item.Data.Message, Signature: item.Data.Signature, SubjectData: item.Data.SubjectData, Entries: item.Data.Entries}
		if err := complete(asked, data[i]); err != nil {
			return err
		}
	}
	for i := range data {
		a.Evidence[i].Data = data[i]
	}
	return nil
}

// UnmarshalJSON reads an attestation of the state file, the record inside
// included.
func (a *attestation) UnmarshalJSON(text []byte) error {
	var index struct {
		Index int `json:"index"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	a.Index = index.Index
	return json.Unmarshal(text, &a.AttestationRecord)
}

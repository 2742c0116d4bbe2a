package tenant

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// Schemas of the documents about health. A change that breaks readers gets
// another number; new members do not.
const (
	SchemaFleet = "keylime_tenant/status/v1"
	SchemaAgent = "keylime_tenant/agent/v1"
)

// AgentHealth is how one agent is, in brief.
type AgentHealth struct {
	ID     string `json:"agent_id"`
	Health Health `json:"health"`
	// Reason is why, one sentence; it may quote text of the verifier.
	Reason string `json:"reason"`
	// Registered and Enrolled say whether registrar and verifier know it; nil
	// where the server could not be asked.
	Registered *bool `json:"registered"`
	Enrolled   *bool `json:"enrolled"`
	// Push says that it attests of its own accord.
	Push             bool `json:"push_model"`
	AttestationCount int  `json:"attestation_count"`
	// LastSuccess is when the last good quote was accepted, nil before the
	// first; LastSuccessfulAttestation the same in seconds since 1970, 0 before
	// the first; Age how many seconds ago that was, nil before the first,
	// negative if the clocks differ.
	LastSuccess               *time.Time `json:"last_success"`
	LastSuccessfulAttestation int64      `json:"last_successful_attestation"`
	Age                       *int64     `json:"age_seconds"`
	// State is the verifier's word and StateNumber its number; neither for an
	// agent that is not enrolled or whose record has none.
	State       string `json:"operational_state,omitempty"`
	StateNumber *int   `json:"operational_state_number"`
	// AttestationStatus is the verifier's own judgement. A PASS with
	// AttestationCount 0 is one of no quote at all.
	AttestationStatus string  `json:"attestation_status,omitempty"`
	LastEventID       *string `json:"last_event_id"`
	SeverityLevel     *int    `json:"severity_level"`
	IP                *string `json:"ip"`
	Port              *int    `json:"port"`
	VerifierID        string  `json:"verifier_id,omitempty"`
}

// ServerState is what a joined view knows of one of the servers.
type ServerState struct {
	Address string `json:"address"`
	// Reached says that it has answered; Error why not.
	Reached bool   `json:"reached"`
	Error   string `json:"error,omitempty"`
	// Push says that it is a verifier of the push model.
	Push bool `json:"push_model,omitempty"`
	// Err is the failure behind Error.
	Err error `json:"-"`
}

// FleetRequest asks for the health of many agents.
type FleetRequest struct {
	// VerifierID takes only agents of one of several verifiers; "" all. The
	// agents that only the registrar knows are then left out, since nobody says
	// where they would belong.
	VerifierID string
	// Patterns select agents: ids, or patterns as of path.Match; none means all.
	Patterns []string
	// Only selects words; none means all.
	Only []Health
	// MaxAge is how old the last good quote may be; see [Judge].
	MaxAge time.Duration
}

// FleetResult is the joined view of registrar and verifier.
type FleetResult struct {
	Schema    string      `json:"schema"`
	Time      time.Time   `json:"time"`
	Registrar ServerState `json:"registrar"`
	Verifier  ServerState `json:"verifier"`
	// Summary counts the agents listed by their health.
	Summary map[Health]int `json:"summary"`
	// Agents are sorted by health, the worst first, then by id.
	Agents []AgentHealth `json:"agents"`
	// Missing are the ids asked for that neither server knows. It is empty
	// unless both have answered.
	Missing []string `json:"missing,omitempty"`
}

// CheckPattern says whether a text can select agents: an id, or a pattern of
// path.Match. Errors: *[InvalidError].
func CheckPattern(pattern string) error {
	if !isPattern(pattern) {
		return CheckAgentID(pattern)
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return &InvalidError{Kind: InvalidAgentID, Object: "pattern " + quoted(pattern), Cause: "its brackets do not fit", Err: err}
	}
	return nil
}

func isPattern(text string) bool { return strings.ContainsAny(text, `*?[\`) }

// Fleet reads the state of all agents: one bulk request to the verifier and one
// list of the registrar, at the same time. A server that fails does not hide
// what the other says: its failure is in the result. Errors: *[InvalidError];
// *[StepError] if neither server has answered.
func (t *Tenant) Fleet(ctx context.Context, r FleetRequest) (*FleetResult, error) {
	for _, pattern := range r.Patterns {
		if err := CheckPattern(pattern); err != nil {
			return nil, err
		}
	}
	registered, enrolled := t.askBoth(ctx, r.VerifierID)
	if registered.err != nil && enrolled.err != nil {
		if cause := interrupted(ctx); cause != nil {
			return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: cause}
		}
		return nil, &BothError{Verifier: enrolled.err, Registrar: registered.err}
	}
	result := &FleetResult{Schema: SchemaFleet, Time: t.now().UTC().Truncate(time.Second)}
	result.Registrar = t.serverState(t.RegistrarConn, registered.err)
	result.Verifier = t.serverState(t.VerifierConn, enrolled.err)
	result.Verifier.Push = t.verifierVersion != nil && t.verifierVersion.Gone
	now := t.now()
	result.join(r, func(a *verifier.Agent) time.Duration { return ageOf(a, now) }, registered, enrolled.agents)
	return result, nil
}

func (t *Tenant) serverState(conn Connection, err error) ServerState {
	s := ServerState{Address: conn.Addr(), Reached: err == nil, Err: err}
	if err != nil {
		s.Error = stepText(err)
	}
	return s
}

// registeredList and enrolledList are the answers of the two servers.
type registeredList struct {
	ids []string
	err error
}

type enrolledList struct {
	agents []verifier.Agent
	err    error
}

// askBoth asks both servers at the same time. What they tell is told on one
// after the other, the registrar first.
func (t *Tenant) askBoth(ctx context.Context, verifierID string) (registeredList, enrolledList) {
	var (
		r      registeredList
		told   []Event
		listed = make(chan struct{})
	)
	registrar := *t
	registrar.Emit = func(e Event) { told = append(told, e) }
	go func() {
		defer close(listed)
		r.ids, r.err = registrar.registrarIDs(ctx)
	}()
	var toldLater []Event
	verifiers := *t
	verifiers.Emit = func(e Event) { toldLater = append(toldLater, e) }
	agents, err := verifiers.bulk(ctx, verifierID)
	<-listed
	t.registrarVersion, t.verifierVersion = registrar.registrarVersion, verifiers.verifierVersion
	for _, e := range append(told, toldLater...) {
		t.emit(e)
	}
	return r, enrolledList{agents, err}
}

func (t *Tenant) registrarIDs(ctx context.Context) ([]string, error) {
	list, err := t.RegistrarList(ctx)
	if err != nil {
		return nil, err
	}
	return list.IDs, nil
}

// bulk reads the verifier's records of all agents; a verifier that answers 404
// has none.
func (t *Tenant) bulk(ctx context.Context, verifierID string) ([]verifier.Agent, error) {
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	agents, reply, err := t.Verifier.Bulk(ctx, verifierID)
	if isNotFound(err) {
		t.emit(NoAgents{})
		return nil, nil
	}
	if err != nil {
		return nil, &StepError{Step: StepList, ID: ServerVerifier, Err: err}
	}
	t.emit(VerifierBulk{Agents: agents, Reply: reply})
	return agents, nil
}

// join makes the rows of what both servers have said. age tells how old the
// last good quote of an agent is.
func (f *FleetResult) join(r FleetRequest, age func(*verifier.Agent) time.Duration, registered registeredList, enrolled []verifier.Agent) {
	known := make(map[string]bool, len(registered.ids))
	for _, id := range registered.ids {
		known[id] = true
	}
	f.Agents, f.Summary = []AgentHealth{}, map[Health]int{}
	add := func(a AgentHealth) {
		if matches(r.Patterns, a.ID) && (len(r.Only) == 0 || slices.Contains(r.Only, a.Health)) {
			f.Agents = append(f.Agents, a)
			f.Summary[a.Health]++
		}
	}
	seen := make(map[string]bool, len(enrolled))
	for i := range enrolled {
		a := &enrolled[i]
		seen[a.ID] = true
		add(enrolledHealth(a, age(a), r.MaxAge, answer(known[a.ID], registered.err)))
	}
	for _, id := range registered.ids {
		if !seen[id] && r.VerifierID == "" {
			seen[id] = true
			add(unenrolledHealth(id, answer(true, registered.err), answer(false, f.Verifier.Err)))
		}
	}
	slices.SortStableFunc(f.Agents, func(a, b AgentHealth) int {
		return cmp.Or(cmp.Compare(a.Health.rank(), b.Health.rank()), cmp.Compare(a.ID, b.ID))
	})
	for _, pattern := range r.Patterns {
		if !isPattern(pattern) && !seen[pattern] && !known[pattern] && f.Registrar.Reached && f.Verifier.Reached {
			f.Missing = append(f.Missing, pattern)
		}
	}
}

func matches(patterns []string, id string) bool {
	for _, pattern := range patterns {
		if found, err := path.Match(pattern, id); pattern == id || err == nil && found {
			return true
		}
	}
	return len(patterns) == 0
}

// enrolledHealth judges an agent that the verifier knows, whose last good quote
// has an age. registered is nil if the registrar could not be asked.
func enrolledHealth(a *verifier.Agent, age, maxAge time.Duration, registered *bool) AgentHealth {
	yes := true
	h := AgentHealth{ID: a.ID, Registered: registered, Enrolled: &yes, Push: push(a), AttestationCount: a.AttestationCount,
		LastSuccessfulAttestation: a.LastSuccessfulAttestation, State: a.State.String(), AttestationStatus: a.AttestationStatus,
		LastEventID: a.LastEventID, SeverityLevel: a.SeverityLevel, IP: a.IP, Port: a.Port, VerifierID: a.VerifierID}
	if a.State != verifier.NoState {
		number := int(a.State)
		h.StateNumber = &number
	}
	if a.LastSuccessfulAttestation != 0 {
		at := time.Unix(a.LastSuccessfulAttestation, 0).UTC()
		seconds := int64(age / time.Second)
		h.LastSuccess, h.Age = &at, &seconds
	}
	h.Health, h.Reason = judge(a, age, maxAge)
	if registered != nil && !*registered {
		h.orphan()
	}
	return h
}

// orphan notes that the registrar does not know the agent. That is its health
// only where nothing worse is.
func (h *AgentHealth) orphan() {
	switch h.Health {
	case HealthHealthy, HealthPending:
		h.Health, h.Reason = HealthOrphan, "the registrar does not know it; "+h.Reason
	default:
		h.Reason += "; the registrar does not know it either"
	}
}

// unenrolledHealth is an agent of which the verifier has shown no record.
// registered and enrolled are what the servers say, nil where one could not be
// asked.
func unenrolledHealth(id string, registered, enrolled *bool) AgentHealth {
	h := AgentHealth{ID: id, Registered: registered, Enrolled: enrolled}
	switch {
	case enrolled == nil:
		h.Health, h.Reason = HealthUnknown, "the verifier could not be asked"
	case registered == nil:
		h.Health, h.Reason = HealthUnknown, "not enrolled with the verifier, and the registrar could not be asked"
	default:
		h.Health, h.Reason = HealthUnmonitored, "registered, but not enrolled with the verifier"
	}
	return h
}

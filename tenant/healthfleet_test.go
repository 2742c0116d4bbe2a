package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// servers are a registrar and a verifier that hold many agents. Unlike a
// [world] they may be asked from several goroutines.
type servers struct {
	Verifier // nil: only what follows may be called
	mu       sync.Mutex
	ids      []string
	agents   []verifier.Agent
	// registrarErr and verifierErr are what every call ends with.
	registrarErr, verifierErr error
	gone                      bool
	calls                     map[string]int
	told                      []string
	now                       time.Time
	// slept is called at each pause with its length.
	slept func(time.Duration)
}

func newServers() *servers {
	return &servers{calls: map[string]int{}, now: time.Unix(1_800_000_000, 0)}
}

func (s *servers) tenant() *Tenant {
	return &Tenant{
		Registrar: ofRegistrar{s}, RegistrarConn: ofConn{s, "registrar"}, Verifier: s, VerifierConn: ofConn{s, "verifier"},
		Now: func() time.Time { return s.now }, Rand: strings.NewReader(""),
		After: func(d time.Duration) <-chan time.Time {
			s.now = s.now.Add(d)
			if s.slept != nil {
				s.slept(d)
			}
			c := make(chan time.Time, 1)
			c <- s.now
			return c
		},
		Emit: func(e Event) { s.told = append(s.told, eventName(e)) },
	}
}

func (s *servers) call(name string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
	return err
}

// add enrols an agent that is well, and registers it.
func (s *servers) add(id string) *verifier.Agent {
	a := pulled(verifier.GetQuote, 3, time.Second, s.now)
	a.ID = id
	s.ids, s.agents = append(s.ids, id), append(s.agents, *a)
	return &s.agents[len(s.agents)-1]
}

func (s *servers) Bulk(ctx context.Context, verifierID string) ([]verifier.Agent, *client.Reply, error) {
	err := s.call("bulk "+verifierID, s.verifierErr)
	if err == nil {
		err = ctx.Err()
	}
	return slices.Clone(s.agents), &client.Reply{HTTP: 200}, err
}

func (s *servers) Agent(_ context.Context, id string) (*verifier.Agent, *client.Reply, error) {
	if err := s.call("agent", s.verifierErr); err != nil {
		return nil, nil, err
	}
	for _, a := range s.agents {
		if a.ID == id {
			return &a, &client.Reply{HTTP: 200}, nil
		}
	}
	return nil, nil, notFound("agent id not found")
}

type ofRegistrar struct{ *servers }

func (r ofRegistrar) Agents(ctx context.Context) ([]string, *client.Reply, error) {
	err := r.call("list", r.registrarErr)
	if err == nil {
		err = ctx.Err()
	}
	return slices.Clone(r.ids), &client.Reply{HTTP: 200}, err
}

func (r ofRegistrar) Agent(_ context.Context, id string) (*registrar.Agent, *client.Reply, error) {
	if err := r.call("regagent", r.registrarErr); err != nil {
		return nil, nil, err
	}
	if !slices.Contains(r.ids, id) {
		return nil, nil, notFound("not found")
	}
	return &registrar.Agent{ID: id, Record: registrar.Record{RegCount: 1}}, &client.Reply{HTTP: 200}, nil
}

func (r ofRegistrar) Delete(context.Context, string) (*client.Reply, error) {
	return nil, errors.New("not asked for")
}

type ofConn struct {
	*servers
	name string
}

func (c ofConn) Addr() string { return "10.0.0.1:" + c.name }

func (c ofConn) Negotiate(context.Context) (client.Negotiation, error) {
	err := c.registrarErr
	if c.name == "verifier" {
		err = c.verifierErr
	}
	return client.Negotiation{Version: client.Current(), Gone: c.gone && c.name == "verifier"}, c.call(c.name+" version", err)
}

// words are the agents of a result: "id health".
func words(f *FleetResult) string {
	var list []string
	for _, a := range f.Agents {
		list = append(list, a.ID+" "+string(a.Health))
	}
	return strings.Join(list, ", ")
}

func TestFleet(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newServers()
	s.add("well")
	s.add("failed").State = verifier.InvalidQuote
	s.add("old").LastSuccessfulAttestation -= 100
	s.add("gone").VerifierID = "default"
	s.add("gone-bad").State = verifier.Failed
	s.add("new").AttestationCount = 0
	s.ids = slices.DeleteFunc(s.ids, func(id string) bool { return strings.HasPrefix(id, "gone") })
	s.ids = append(s.ids, "alone", "alone")
	for _, test := range []struct {
		name    string
		request FleetRequest
		want    string
		missing int
	}{
		{"all", FleetRequest{}, "failed failed, gone-bad failed, old stale, gone orphan, alone unmonitored, new pending, well healthy", 0},
		{"of one verifier", FleetRequest{VerifierID: "default"}, "failed failed, gone-bad failed, old stale, gone orphan, new pending, well healthy", 0},
		{"some", FleetRequest{Patterns: []string{"gone*", "well", "[x"}}, "", -1},
		{"patterns", FleetRequest{Patterns: []string{"gone*", "well", "nobody", "no*"}}, "gone-bad failed, gone orphan, well healthy", 1},
		{"bad", FleetRequest{Only: []Health{HealthFailed, HealthStale}}, "failed failed, gone-bad failed, old stale", 0},
		{"old", FleetRequest{MaxAge: time.Hour, Patterns: []string{"old"}}, "old healthy", 0},
		{"bad id", FleetRequest{Patterns: []string{"a/b"}}, "", -1},
	} {
		got, err := s.tenant().Fleet(ctx, test.request)
		if test.missing < 0 {
			if !isInvalid(InvalidAgentID)(err) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || words(got) != test.want || len(got.Missing) != test.missing {
			t.Errorf("%s: %v, missing %v, %v\nwant %s", test.name, words(got), got.Missing, err, test.want)
			continue
		}
		total := 0
		for _, n := range got.Summary {
			total += n
		}
		if total != len(got.Agents) || !got.Registrar.Reached || !got.Verifier.Reached || got.Verifier.Address != "10.0.0.1:verifier" {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	if s.calls["bulk "] != 4 || s.calls["list"] != 5 {
		t.Errorf("calls %v", s.calls)
	}
	text, err := json.Marshal(must(s.tenant().Fleet(ctx, FleetRequest{Patterns: []string{"gone-bad"}}))(t))
	for _, part := range []string{`"schema":"keylime_tenant/status/v1"`, `"operational_state":"Failed","operational_state_number":7`, `"registered":false,"enrolled":true`,
		`the registrar does not know it either"`, `"last_success":"2027-01-15T07:59:59Z","last_successful_attestation":1799999999,"age_seconds":1`} {
		if err != nil || !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s, %v", part, text, err)
		}
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestFleetServersDown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newServers()
	s.add("a")
	s.ids = append(s.ids, "b")
	s.verifierErr = noConnection()
	got, err := s.tenant().Fleet(ctx, FleetRequest{Patterns: []string{"a", "b", "c"}})
	if err != nil || words(got) != "a unknown, b unknown" || got.Verifier.Reached || client.KindOf(got.Verifier.Err) != client.Unreachable ||
		got.Verifier.Error == "" || got.Agents[0].Enrolled != nil || len(got.Missing) != 0 {
		t.Errorf("without verifier: %+v, %v", got, err)
	}
	s.registrarErr, s.verifierErr = noConnection(), nil
	got, err = s.tenant().Fleet(ctx, FleetRequest{})
	if err != nil || words(got) != "a healthy" || got.Registrar.Reached || got.Agents[0].Registered != nil {
		t.Errorf("without registrar: %+v, %v", got, err)
	}
	s.verifierErr = timedOut()
	_, err = s.tenant().Fleet(ctx, FleetRequest{})
	var both *BothError
	if !errors.As(err, &both) || client.KindOf(err) != client.TimedOut || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("without both: %v", err)
	}
	s.registrarErr, s.verifierErr = nil, nil
	ended, cancel := context.WithCancel(ctx)
	cancel()
	var step *StepError
	if _, err = s.tenant().Fleet(ended, FleetRequest{}); !errors.As(err, &step) || !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	s.verifierErr = notFound("no agents")
	tenant := s.tenant()
	tenant.verifierVersion = &client.Negotiation{Gone: true}
	if got, err = tenant.Fleet(ctx, FleetRequest{}); err != nil || words(got) != "a unmonitored, b unmonitored" || !got.Verifier.Push || !slices.Contains(s.told, "NoAgents") {
		t.Errorf("verifier without agents: %+v, %v", got, err)
	}
}

func TestAgentStatus(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, test := range []struct {
		name                       string
		registered, enrolled       bool
		registrarErr, verifierErr  error
		maxAge                     time.Duration
		want                       Health
		wantRegistered, wantEnrols string
		err                        func(error) bool
	}{
		{name: "well", registered: true, enrolled: true, want: HealthHealthy, wantRegistered: "true", wantEnrols: "true"},
		{name: "old", registered: true, enrolled: true, maxAge: time.Millisecond, want: HealthStale, wantRegistered: "true", wantEnrols: "true"},
		{name: "unmonitored", registered: true, want: HealthUnmonitored, wantRegistered: "true", wantEnrols: "false"},
		{name: "orphan", enrolled: true, want: HealthOrphan, wantRegistered: "false", wantEnrols: "true"},
		{name: "nobody's", err: is(ErrNotFound)},
		{name: "no verifier", registered: true, verifierErr: noConnection(), want: HealthUnknown, wantRegistered: "true", wantEnrols: "null", err: kind(client.Unreachable)},
		{name: "no registrar", enrolled: true, registrarErr: noConnection(), want: HealthHealthy, wantRegistered: "null", wantEnrols: "true", err: kind(client.Unreachable)},
		{name: "no registrar, not enrolled", registrarErr: noConnection(), want: HealthUnknown, wantRegistered: "null", wantEnrols: "false", err: kind(client.Unreachable)},
		{name: "not registered, no verifier", verifierErr: noConnection(), want: HealthUnknown, wantRegistered: "false", wantEnrols: "null", err: kind(client.Unreachable)},
		{name: "neither", registrarErr: noConnection(), verifierErr: timedOut(), err: kind(client.TimedOut)},
	} {
		s := newServers()
		if test.enrolled {
			s.add("x")
		}
		if s.ids = nil; test.registered {
			s.ids = []string{"x"}
		}
		s.registrarErr, s.verifierErr = test.registrarErr, test.verifierErr
		got, err := s.tenant().AgentStatus(ctx, "x", test.maxAge)
		if (err == nil) != (test.err == nil) || err != nil && !test.err(err) {
			t.Errorf("%s: error %v", test.name, err)
		}
		if test.want == "" {
			if got != nil {
				t.Errorf("%s: %+v", test.name, got)
			}
			continue
		}
		text := fmt.Sprint(string(must(json.Marshal(got))(t)))
		if got.Health != test.want || got.Reason == "" || !strings.Contains(text, `"registered":`+test.wantRegistered+`,"enrolled":`+test.wantEnrols) ||
			!strings.HasPrefix(text, `{"schema":"keylime_tenant/agent/v1","time":"2027-01-15T08:00:00Z","agent_id":"x"`) {
			t.Errorf("%s: %s", test.name, text)
		}
		if got.Verifier != nil && test.want != HealthOrphan && got.Verifier.Health != test.want {
			t.Errorf("%s: the record says %s", test.name, got.Verifier.Health)
		}
	}
	if _, err := newServers().tenant().AgentStatus(ctx, "a/b", 0); !isInvalid(InvalidAgentID)(err) {
		t.Errorf("bad id: %v", err)
	}
}

func kind(k client.Kind) func(error) bool {
	return func(err error) bool { return client.KindOf(err) == k }
}

func BenchmarkFleet10000(b *testing.B) {
	s := newServers()
	for i := range 10_000 {
		s.add(fmt.Sprintf("d432fbb3-d2f1-4a97-9ef7-%012d", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if f, err := s.tenant().Fleet(context.Background(), FleetRequest{}); err != nil || len(f.Agents) != 10_000 {
			b.Fatal(err)
		}
	}
}

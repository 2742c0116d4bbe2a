package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

func TestPolicyVerbs(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	tenant := w.tenant(t)
	good, boot := fixture(t, "rp-good.json"), fixture(t, "mb-good.json")
	runtimeInput, mbInput := PolicyInput{Runtime: good, RuntimeName: "ignored"}, PolicyInput{MeasuredBoot: boot, MeasuredBootName: "ignored"}
	w.mb["null"], w.runtime["odd"] = nil, "not JSON"
	steps := []struct {
		request PolicyRequest
		check   func(error) bool
		code    int
		hold    func(*PolicyResult) bool
	}{
		{PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Name: "web", Input: runtimeInput}, nil, 201, nil},
		{PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Name: "web", Input: runtimeInput}, is(ErrConflict), 409, nil},
		{PolicyRequest{Verb: PolicyUpdate, Kind: RuntimeKind, Name: "web", Input: runtimeInput}, nil, 201, nil},
		{PolicyRequest{Verb: PolicyUpdate, Kind: RuntimeKind, Name: "db", Input: runtimeInput}, is(ErrNotFound), 404, nil},
		{PolicyRequest{Verb: PolicyShow, Kind: RuntimeKind, Name: "web"}, nil, 200, func(r *PolicyResult) bool { return sameJSON(string(r.Policy), good.Content) }},
		{PolicyRequest{Verb: PolicyShow, Kind: RuntimeKind, Name: "odd"}, nil, 200, func(r *PolicyResult) bool { return string(r.Policy) == `"not JSON"` }},
		{PolicyRequest{Verb: PolicyShow, Kind: RuntimeKind, Name: "db"}, is(ErrNotFound), 404, nil},
		{PolicyRequest{Verb: PolicyList, Kind: RuntimeKind}, nil, 200, func(r *PolicyResult) bool { return slices.Equal(r.Names, []string{"odd", "web"}) }},
		{PolicyRequest{Verb: PolicyDelete, Kind: RuntimeKind, Name: "web"}, nil, 204, nil},
		{PolicyRequest{Verb: PolicyDelete, Kind: RuntimeKind, Name: "web"}, is(ErrNotFound), 404, nil},
		{PolicyRequest{Verb: PolicyAdd, Kind: MBKind, Name: "boot", Input: mbInput}, nil, 201, nil},
		{PolicyRequest{Verb: PolicyAdd, Kind: MBKind, Name: "boot", Input: mbInput}, is(ErrConflict), 409, nil},
		{PolicyRequest{Verb: PolicyUpdate, Kind: MBKind, Name: "boot", Input: mbInput}, nil, 201, nil},
		{PolicyRequest{Verb: PolicyUpdate, Kind: MBKind, Name: "other", Input: mbInput}, is(ErrNotFound), 409, nil},
		{PolicyRequest{Verb: PolicyShow, Kind: MBKind, Name: "boot"}, nil, 200, func(r *PolicyResult) bool { return sameJSON(string(r.Policy), boot.Content) }},
		{PolicyRequest{Verb: PolicyShow, Kind: MBKind, Name: "null"}, nil, 200, func(r *PolicyResult) bool { return string(r.Policy) == "null" }},
		{PolicyRequest{Verb: PolicyShow, Kind: MBKind, Name: "other"}, is(ErrNotFound), 404, nil},
		{PolicyRequest{Verb: PolicyList, Kind: MBKind}, nil, 200, func(r *PolicyResult) bool { return len(r.Names) == 2 }},
		{PolicyRequest{Verb: PolicyDelete, Kind: MBKind, Name: "boot"}, nil, 204, nil},
		{PolicyRequest{Verb: PolicyDelete, Kind: MBKind, Name: "boot"}, is(ErrNotFound), 404, nil},
	}
	for _, step := range steps {
		name := policyCommand(step.request.Verb, step.request.Kind) + " " + step.request.Name
		w.events = nil
		got, err := tenant.Policy(ctx, step.request)
		if (err == nil) != (step.check == nil) || err != nil && !step.check(err) {
			t.Errorf("%s: error %v (%T)", name, err, err)
			continue
		}
		answer := first[PolicyAnswer](w)
		if answer.Reply == nil || answer.Reply.HTTP != step.code || answer.Name != step.request.Name || answer.Kind != step.request.Kind {
			t.Errorf("%s: told of %+v", name, answer)
		}
		if err == nil && (got.Name != step.request.Name || step.hold != nil && !step.hold(got)) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if w.index(`tpm_policy {"mask": "0x400"}`) < 0 {
		t.Error("the runtime policy was stored without its mask")
	}
	if w.index("PolicyMask") > w.index("ServerVersion") {
		t.Error("the mask was told after the first packet")
	}
}

func TestPolicyInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runtime["web"], w.used[testID] = goodRuntime, [2]string{"web", ""}
	_, err := w.tenant(t).Policy(context.Background(), PolicyRequest{Verb: PolicyDelete, Kind: RuntimeKind, Name: "web"})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || !strings.Contains(conflict.Reason, testID) || !strings.Contains(conflict.Hint, "an agent uses it") {
		t.Errorf("error %v", err)
	}
}

func TestPolicyRefusedByTheVerifier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.before = on("verifier.AddRuntimePolicy", 0, refusal(client.Refused, 400, "Runtime policy is malformatted: 'meta' is a required property"))
	_, err := w.tenant(t).Policy(context.Background(), PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Name: "web", Compat: true,
		Input: PolicyInput{Runtime: &Input{Name: "/dev/fd/63", Content: []byte("{}\n")}}})
	var step *StepError
	if !errors.As(err, &step) || step.Step != StepPolicy || step.ID != "web" || client.KindOf(err) != client.Refused || !w.warned(WarnSchema) {
		t.Errorf("error %v", err)
	}
	if answer := first[PolicyAnswer](w); answer.Reply == nil || !strings.Contains(string(answer.Reply.Body), "'meta' is a required property") {
		t.Errorf("told of %+v", answer)
	}
}

func TestPolicyRequestsThatLackSomething(t *testing.T) {
	t.Parallel()
	good := PolicyInput{Runtime: &Input{Name: "p", Content: []byte(goodRuntime)}, MeasuredBoot: &Input{Name: "m", Content: []byte("{}")}}
	tests := []struct {
		request PolicyRequest
		kind    InvalidKind
		classic string
	}{
		{PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Input: good}, MissingPolicyName, "runtime_policy_name is required to add a runtime policy"},
		{PolicyRequest{Verb: PolicyUpdate, Kind: RuntimeKind, Input: good}, MissingPolicyName, "runtime_policy_name is required to add a runtime policy"},
		{PolicyRequest{Verb: PolicyShow, Kind: RuntimeKind}, MissingPolicyName, "--allowlist_name or --runtime_policy_name is required to show a runtime policy"},
		{PolicyRequest{Verb: PolicyDelete, Kind: RuntimeKind}, MissingPolicyName, "--allowlist_name or --runtime_policy_name is required to delete a runtime policy"},
		{PolicyRequest{Verb: PolicyAdd, Kind: MBKind, Input: good}, MissingPolicyName, "mb_policy_name is required to add measure boot policy"},
		{PolicyRequest{Verb: PolicyUpdate, Kind: MBKind, Input: good}, MissingPolicyName, "mb_policy_name is required to add measure boot policy"},
		{PolicyRequest{Verb: PolicyShow, Kind: MBKind}, MissingPolicyName, "--mb_policy_name is required to show a runtime policy"},
		{PolicyRequest{Verb: PolicyDelete, Kind: MBKind}, MissingPolicyName, "--mb_policy_name is required to delete a runtime policy"},
		{PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Name: "web"}, MissingPolicy, "--allowlist or --runtime_policy is required to add a runtime policy"},
		{PolicyRequest{Verb: PolicyUpdate, Kind: RuntimeKind, Name: "web"}, MissingPolicy, ""},
		{PolicyRequest{Verb: PolicyAdd, Kind: MBKind, Name: "web"}, MissingPolicy, ""},
		{PolicyRequest{Verb: PolicyUpdate, Kind: MBKind, Name: "web"}, MissingPolicy, ""},
		{PolicyRequest{Verb: PolicyShow, Kind: MBKind, Name: "a/b"}, InvalidPolicyName, ""},
		{PolicyRequest{Verb: PolicyAdd, Kind: RuntimeKind, Name: "web", Input: PolicyInput{Runtime: &Input{Name: "p", Content: []byte("x")}}}, InvalidRuntimePolicy, ""},
	}
	for _, test := range tests {
		w := newWorld(t)
		_, err := w.tenant(t).Policy(context.Background(), test.request)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Kind != test.kind || test.classic != "" && invalid.Classic != test.classic {
			t.Errorf("%s %s: %v (%+v)", test.request.Verb, test.request.Kind, err, invalid)
		}
		if len(w.calls()) > 0 {
			t.Errorf("%s %s: calls %q", test.request.Verb, test.request.Kind, w.calls())
		}
	}
}

func TestPolicyResultAsJSON(t *testing.T) {
	t.Parallel()
	for want, result := range map[string]PolicyResult{
		`{"kind":"runtime policy","names":[]}`:                        {Verb: PolicyList, Kind: RuntimeKind, Names: []string{}},
		`{"kind":"measured-boot policy","name":"boot","policy":null}`: {Verb: PolicyShow, Kind: MBKind, Name: "boot", Policy: asJSON(nil)},
		`{"kind":"runtime policy","name":"web"}`:                      {Verb: PolicyDelete, Kind: RuntimeKind, Name: "web", Reply: &client.Reply{HTTP: 204}},
	} {
		if got, err := json.Marshal(result); err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}

// TestStalePolicy: a policy left under the agent's id would silently be used in
// place of the one given (PROTOCOL.md 4.1, step 6).
func TestStalePolicy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		stored  string
		arrange func(*world)
		check   func(error) bool
		warned  bool
	}{
		{"none", "", func(*world) {}, nil, false},
		{"the same", goodRuntime + "\n", func(*world) {}, nil, false},
		{"another", oldPolicy, func(*world) {}, nil, true},
		{"another, in use", oldPolicy, func(w *world) { w.used["other"] = [2]string{testID, ""} }, is(ErrConflict), false},
		{"cannot be asked for", oldPolicy, func(w *world) { w.before = on("verifier.RuntimePolicy", 0, refusal(client.Unauthorized, 403, "")) }, isKind(client.Unauthorized), false},
		{"not to be asked for here", "", func(w *world) { w.before = on("verifier.RuntimePolicy", 0, refusal(client.Refused, 405, "")) }, nil, false},
		{"cannot be removed", oldPolicy, func(w *world) { w.before = on("verifier.DeleteRuntimePolicy", 0, timedOut()) }, isKind(client.TimedOut), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), goodAdd()
			if test.stored != "" {
				w.runtime[testID] = test.stored
			}
			test.arrange(w)
			r.Policies.Runtime = &Input{Name: "p.json", Content: []byte(goodRuntime)}
			_, err := w.tenant(t).Add(context.Background(), r)
			if (err == nil) != (test.check == nil) || err != nil && !test.check(err) {
				t.Fatalf("error %v", err)
			}
			if w.warned(WarnLeftPolicy) != test.warned {
				t.Errorf("warned: %t", !test.warned)
			}
			if err == nil && !sameJSON(w.runtime[testID], []byte(goodRuntime)) {
				t.Errorf("held against %s", w.runtime[testID])
			}
			if err != nil && slices.Contains(w.calls(), "agent.PostU") {
				t.Error("the agent was given its share")
			}
		})
	}
}

// TestLeftPolicies: what a failed request has stored is removed again, and
// nothing else.
func TestLeftPolicies(t *testing.T) {
	t.Parallel()
	named := func(r *AddRequest) {
		r.Policies = PolicyInput{Runtime: &Input{Name: "p", Content: []byte(goodRuntime)}, RuntimeName: "web", MeasuredBoot: &Input{Name: "m", Content: []byte("{}")}, MeasuredBootName: "boot"}
	}
	tests := []struct {
		name    string
		request func(*AddRequest)
		arrange func(*world)
		want    []string // the policies that stay
		undone  int
	}{
		{"stored under names", named, func(w *world) { w.after = on("verifier.Add", 0, refusal(client.Refused, 500, "")) }, nil, 3},
		{"name was taken", named, func(w *world) { w.runtime["web"] = goodRuntime }, []string{"web"}, 0},
		{"stored under the id", func(r *AddRequest) {
			r.Policies = PolicyInput{Runtime: &Input{Name: "p", Content: []byte(goodRuntime)}, MeasuredBootName: "boot"}
		}, func(*world) {}, nil, 1},
		{"another in the meantime", func(r *AddRequest) {
			r.Policies = PolicyInput{Runtime: &Input{Name: "p", Content: []byte(goodRuntime)}, MeasuredBootName: "boot"}
		}, func(w *world) {
			w.before = func(call string, nth int) error {
				if call == "verifier.Add" {
					w.runtime[testID] = oldPolicy
				}
				return nil
			}
		}, []string{testID}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), goodAdd()
			r.Payload = PayloadInput{}
			test.request(&r)
			test.arrange(w)
			_, err := w.tenant(t).Add(context.Background(), r)
			if err == nil {
				t.Fatal("no error")
			}
			var names []string
			for name := range w.runtime {
				names = append(names, name)
			}
			for name := range w.mb {
				names = append(names, name)
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("policies %q stay, want %q; calls %q", names, test.want, w.calls())
			}
			var report *UndoneError
			if errors.As(err, &report); report == nil && test.undone > 0 || report != nil && len(report.Undone) != test.undone {
				t.Errorf("report %+v", report)
			}
		})
	}
	w, r := newWorld(t), goodAdd()
	r.Policies = PolicyInput{Runtime: &Input{Name: "p", Content: []byte(goodRuntime)}, MeasuredBootName: "boot"}
	w.before = on("verifier.DeleteRuntimePolicy", 0, noConnection())
	_, err := w.tenant(t).Add(context.Background(), r)
	var report *UndoneError
	if !errors.As(err, &report) || !w.warned(WarnLeftPolicy) || !slices.ContainsFunc(report.Left, func(l Leftover) bool {
		return slices.Equal(l.Command, []string{"keylime_tenant", "deleteruntimepolicy", testID})
	}) {
		t.Errorf("error %v, report %+v", err, report)
	}
}

var _ Verifier = (*verifier.Client)(nil)

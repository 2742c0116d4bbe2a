package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant(t)
	if got, err := tenant.Status(context.Background(), testID); !errors.Is(err, ErrNotFound) || got == nil || got.Registrar == nil || got.Verifier != nil {
		t.Errorf("registered, not enrolled: %+v, %v", got, err)
	}
	v, event := verifier.KeyShare("c2VjcmV0"), "measured_boot.invalid_pcr_4"
	a := w.enrol(testID, verifier.AddRequest{V: &v})
	a.State, a.LastEventID = verifier.InvalidQuote, &event
	got, err := tenant.Status(context.Background(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Registrar.State != Registered || got.Verifier.State != "Invalid Quote" || got.Verifier.Health != HealthFailed ||
		got.Verifier.LastEvent != "PCR 4 does not match the boot log" {
		t.Errorf("got %+v, %+v", got.Registrar, got.Verifier)
	}
	text, err := json.Marshal(got)
	if err != nil || strings.Contains(string(text), "c2VjcmV0") || !strings.Contains(string(text), `"operational_state":"Registered"`) {
		t.Errorf("JSON %s, %v", text, err)
	}
	if got.Verifier.Record.V == nil {
		t.Error("the record as received has no V")
	}
	w.record = nil
	if got, err := tenant.Status(context.Background(), testID); !errors.Is(err, ErrNotFound) || got != nil {
		t.Errorf("not registered: %+v, %v", got, err)
	}
}

func TestQuestionsFail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	tests := []struct {
		name string
		call string
		ask  func(*Tenant) error
		step Step
	}{
		{"regstatus", "registrar.Agent", func(t *Tenant) error { _, err := t.RegistrarStatus(ctx, testID); return err }, StepRegistrar},
		{"reglist", "registrar.Agents", func(t *Tenant) error { _, err := t.RegistrarList(ctx); return err }, StepList},
		{"regdelete", "registrar.Delete", func(t *Tenant) error { _, err := t.RegistrarDelete(ctx, testID); return err }, StepRegDelete},
		{"cvstatus", "verifier.Agent", func(t *Tenant) error { _, err := t.VerifierStatus(ctx, testID); return err }, StepStatus},
		{"cvlist", "verifier.Agents", func(t *Tenant) error { _, err := t.VerifierList(ctx, ""); return err }, StepList},
		{"bulkinfo", "verifier.Bulk", func(t *Tenant) error { _, err := t.Bulk(ctx, ""); return err }, StepList},
		{"stop", "verifier.Stop", func(t *Tenant) error { _, err := t.Stop(ctx, testID); return err }, StepStop},
		{"reactivate", "verifier.Reactivate", func(t *Tenant) error {
			_, err := t.Reactivate(ctx, ReactivateRequest{ID: testID, NoCheck: true})
			return err
		}, StepReactivate},
		{"policy", "verifier.RuntimePolicies", func(t *Tenant) error {
			_, err := t.Policy(ctx, PolicyRequest{Verb: PolicyList, Kind: RuntimeKind})
			return err
		}, StepPolicy},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, _, _ := strings.Cut(test.call, ".")
			for _, hook := range []func(string, int) error{
				on(test.call, 0, noConnection()),
				on(server+".version", 0, noConnection()),
			} {
				w := newWorld(t)
				w.before = hook
				err := test.ask(w.tenant(t))
				var step *StepError
				if client.KindOf(err) != client.Unreachable || !errors.As(err, &step) || step.Step != test.step {
					t.Errorf("error %v (%T)", err, err)
				}
			}
			w := newWorld(t)
			if err := test.ask(w.tenant(t)); strings.HasSuffix(test.name, "list") && err != nil {
				t.Errorf("without a fault: %v", err)
			}
		})
	}
}

func TestBadIDsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	tenant := w.tenant(t)
	for _, id := range []string{"", ".", "..", "a b", "a/b", "a%2e", "a\n", "é/"} {
		for _, ask := range []func() error{
			func() error { _, err := tenant.RegistrarStatus(ctx, id); return err },
			func() error { _, err := tenant.RegistrarDelete(ctx, id); return err },
			func() error { _, err := tenant.VerifierStatus(ctx, id); return err },
			func() error { _, err := tenant.Status(ctx, id); return err },
			func() error { _, err := tenant.Stop(ctx, id); return err },
			func() error { _, err := tenant.Reactivate(ctx, ReactivateRequest{ID: id}); return err },
			func() error { _, err := tenant.Add(ctx, AddRequest{ID: id}); return err },
			func() error { _, err := tenant.Update(ctx, UpdateRequest{AddRequest: AddRequest{ID: id}}); return err },
		} {
			if err := ask(); !isInvalid(InvalidAgentID)(err) {
				t.Errorf("id %q: %v", id, err)
			}
		}
	}
	if len(w.log) > 0 {
		t.Errorf("something was asked: %q", w.log)
	}
	for _, id := range []string{testID, "agent-001", "a.b_c", "Überwacher", "١"} {
		if err := CheckAgentID(id); err != nil {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestRegistrarVerbs(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	tenant := w.tenant(t)
	list, err := tenant.RegistrarList(ctx)
	if err != nil || len(list.IDs) != 1 || list.IDs[0] != testID {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := tenant.RegistrarDelete(ctx, testID); err != nil || first[RegistrarDeleted](w).Absent {
		t.Errorf("delete: %v", err)
	}
	w.events = nil
	if _, err := tenant.RegistrarDelete(ctx, testID); !errors.Is(err, ErrNotFound) || !first[RegistrarDeleted](w).Absent {
		t.Errorf("delete again: %v", err)
	}
	if w.count["registrar.version"] != 1 {
		t.Error("the version was asked for more than once")
	}
}

func TestVerifierLists(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	tenant := w.tenant(t)
	if list, err := tenant.VerifierList(ctx, ""); err != nil || list.IDs == nil || len(list.IDs) != 0 {
		t.Errorf("empty list %+v, %v", list, err)
	}
	v := verifier.KeyShare("c2VjcmV0")
	w.enrol(testID, verifier.AddRequest{V: &v})
	if list, err := tenant.VerifierList(ctx, "default"); err != nil || len(list.IDs) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	bulk, err := tenant.Bulk(ctx, "")
	if err != nil || len(bulk.Agents) != 1 || bulk.Agents[0].Health != HealthPending {
		t.Fatalf("bulk %+v, %v", bulk, err)
	}
	if text, err := json.Marshal(bulk); err != nil || strings.Contains(string(text), "c2VjcmV0") {
		t.Errorf("JSON %s, %v", text, err)
	}
	w.before = on("verifier.Agents", 0, notFound("no agents"))
	if list, err := tenant.VerifierList(ctx, ""); err != nil || list.IDs == nil || w.index("NoAgents") < 0 {
		t.Errorf("404: %+v, %v", list, err)
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	tenant := w.tenant(t)
	if _, err := tenant.Reactivate(ctx, ReactivateRequest{ID: testID}); !errors.Is(err, ErrNotFound) || w.index("NotEnrolled") < 0 {
		t.Errorf("absent: %v", err)
	}
	if _, err := tenant.Reactivate(ctx, ReactivateRequest{ID: testID, NoCheck: true}); client.KindOf(err) != client.Refused {
		t.Errorf("absent, unchecked: %v", err)
	}
	w.enrol(testID, verifier.AddRequest{}).State = verifier.Failed
	got, err := tenant.Reactivate(ctx, ReactivateRequest{ID: testID})
	if err != nil || got.Before != "Failed" || w.warned(WarnStopped) || w.index("Reactivated") < 0 {
		t.Errorf("failed: %+v, %v", got, err)
	}
	if _, err := tenant.Stop(ctx, testID); err != nil || w.index("Stopped") < 0 {
		t.Errorf("stop: %v", err)
	}
	if _, err := tenant.Reactivate(ctx, ReactivateRequest{ID: testID}); err != nil || !w.warned(WarnStopped) {
		t.Errorf("stopped: %v, no warning", err)
	}
}

func TestDescribeEvent(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"":                                  "",
		"pcr_validation.invalid_pcr_16":     "PCR 16 does not bind the agent's transport key",
		"pcr_validation.invalid_pcr_22":     "PCR 22 does not have a value that tpm_policy accepts",
		"pcr_validation.unused_pcr_10":      "PCR 10 was quoted, but the agent sent no IMA list",
		"measured_boot.policy_example":      "the boot log does not satisfy the measured-boot policy",
		"measured_boot.parser.yaml":         "the verifier cannot read the boot log",
		"internal.verifier.not_reachable":   "the verifier cannot reach the agent",
		"internal.verifier.not_reachable_v": "the verifier could not give the agent its share of the key",
		"tee_attestation.invalid.tee":       `event "tee_attestation.invalid.tee"`,
		"pcr_validation.invalid_pcr_":       `event "pcr_validation.invalid_pcr_"`,
		"x\x1b[31m":                         `event "x\x1b[31m"`,
	} {
		if got := DescribeEvent(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

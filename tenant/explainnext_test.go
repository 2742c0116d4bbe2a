package tenant

import (
	"slices"
	"testing"

	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

// TestExplainNext: what to do, where more than one thing is to be done.
func TestExplainNext(t *testing.T) {
	t.Parallel()
	quiet := func(x *explained) {
		boot, _ := x.machine.Evidence().WithCommandLine("quiet")
		_ = x.machine.Boot(boot)
	}
	merge := []string{"keylime_tenant", "policy", "merge", "kept/mb-policy.json", "kept/binary_bios_measurements", "-o", "kept/mb-policy.json"}
	demand := `{"23": ["` + zero32 + `"]}`
	for name, c := range map[string]struct {
		set  func(*explained)
		want [][]string
	}{
		"another boot of a stopped agent": {func(x *explained) { quiet(x); x.agent.State = verifier.TenantQuoteFailed },
			[][]string{merge, {"keylime_tenant", "update", testID, "--tpm-policy", demand, "--runtime-policy", "kept/runtime-policy.json", "--mb-policy", "kept/mb-policy.json"}}},
		"the same with a policy by name": {func(x *explained) {
			quiet(x)
			x.agent.State = verifier.TenantQuoteFailed
			x.mb["web"] = x.mb[testID]
			delete(x.mb, testID)
		}, [][]string{merge, {"keylime_tenant", "updatembpolicy", "web", "--mb-policy", "kept/mb-policy.json"},
			{"keylime_tenant", "update", testID, "--tpm-policy", demand, "--runtime-policy", "kept/runtime-policy.json", "--mb-policy-name", "web"}}},
		"Secure Boot turned off": {func(x *explained) {
			boot, _ := recorded.Named(recorded.NoSecureBoot)
			_ = x.machine.Boot(boot)
			x.failed("measured_boot.policy_example")
			x.runtime[testID] = string(filesOf(t, boot.IMA))
		}, [][]string{{"keylime_tenant", "policy", "create", "measured-boot", "kept/binary_bios_measurements", "--without-secureboot", "-o", "kept/new-mb-policy.json"},
			{"keylime_tenant", "updatembpolicy", testID, "--mb-policy", "kept/new-mb-policy.json"}, {"keylime_tenant", "reactivate", testID}}},
		"what no policy accepts": {func(x *explained) { _ = x.machine.ExtendPCR(4, "x"); x.failed("measured_boot.invalid_pcr_4") },
			[][]string{{"keylime_tenant", "reactivate", testID}}},
		"a policy that was given": {func(x *explained) {
			quiet(x)
			x.failed("measured_boot.policy_example")
			x.request.MBPolicy = &Input{Name: "my.json", Content: []byte(*x.mb[testID])}
		}, [][]string{{"keylime_tenant", "policy", "merge", "my.json", "kept/binary_bios_measurements", "-o", "my.json"}, {"keylime_tenant", "reactivate", testID}}},
		"a push agent that was stopped": {func(x *explained) {
			x.agent.State, x.agent.IP, x.agent.Port = verifier.TenantQuoteFailed, nil, nil
		}, [][]string{{"keylime_tenant", "update", testID, "--tpm-policy", demand, "--runtime-policy", "kept/runtime-policy.json", "--mb-policy", "kept/mb-policy.json", "--push-model"}}},
		"a push agent that has failed": {func(x *explained) {
			quiet(x)
			x.failed("measured_boot.policy_example")
			x.agent.State, x.agent.IP, x.agent.Port = verifier.NoState, nil, nil
			x.request.Evidence = &MachineEvidence{Origin: "dir", BootLog: x.machine.Evidence().Log, BootLogFile: "dir/log"}
		}, [][]string{{"keylime_tenant", "policy", "merge", "kept/mb-policy.json", "dir/log", "-o", "kept/mb-policy.json"},
			{"keylime_tenant", "update", testID, "--tpm-policy", demand, "--runtime-policy", "kept/runtime-policy.json", "--mb-policy", "kept/mb-policy.json", "--push-model"}}},
		"a stopped agent that is well": {func(x *explained) { x.agent.State = verifier.TenantQuoteFailed },
			[][]string{{"keylime_tenant", "update", testID, "--tpm-policy", demand, "--runtime-policy", "kept/runtime-policy.json", "--mb-policy", "kept/mb-policy.json"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExplained(t)
			c.set(x)
			found := x.explain(t)
			var got [][]string
			for _, s := range found.Next {
				if s.Text == "" {
					t.Error("a step without words")
				}
				if s.Command != nil {
					got = append(got, s.Command)
				}
			}
			if !slices.EqualFunc(got, c.want, slices.Equal[[]string]) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckOfEvent(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"": "", "internal.verifier.exception": "", "default.missing_param": "",
		"internal.verifier.not_reachable_v": PartAgent, "internal.verifier.no_v": PartAgent, "internal.verifier.version_not_supported": PartAgent,
		"qoute_validation.no_pubkey": PartQuote, "pcr_validation.missing_pcr_16": PartQuote, "pcr_validation.invalid_pcr_16": PartQuote,
		"pcr_validation.invalid_pcr_1": PartTPM, "pcr_validation.missing_pcrs": PartTPM, "pcr_validation.unused_pcr_10": PartFiles, "pcr_validation.unused_pcr_1": PartLog,
		"pcr_validation.invalid_mb_policy": PartBoot, "measured_boot.policy_x": PartBoot, "measured_boot.missing_pcrs": PartBoot,
		"measured_boot.invalid_pcr_4": PartLog, "measured_boot.parser.yaml": PartLog, "ima.pcr_mismatch": PartFiles,
	} {
		if got := checkOfEvent(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	for _, c := range []struct {
		event, finding string
		want           closeness
	}{
		{"", "", unrelated}, {"ima.pcr_mismatch", "ima.pcr_mismatch", sameEvent}, {"ima.pcr_mismatch", "ima.parser.entry", sameCheck},
		{"measured_boot.policy_accept", "measured_boot.policy_example", sameEvent}, {"measured_boot.parser.yaml", "measured_boot.parser.tpm2_eventlog.error", sameEvent},
		{"pcr_validation.unused_pcr_3", "pcr_validation.unused_pcr_0", sameEvent}, {"pcr_validation.unused_pcr_10", "pcr_validation.unused_pcr_0", unrelated},
		{"internal.verifier.not_reachable_v", "internal.verifier.not_reachable", sameEvent}, {"default.x", "ima.pcr_mismatch", unrelated},
		{"pcr_validation.invalid_pcr_23", "pcr_validation.invalid_pcr_22", sameCheck},
	} {
		if got := nearness(c.event, policy.Finding{EventID: c.finding}); got != c.want {
			t.Errorf("%s and %s: %d, want %d", c.event, c.finding, got, c.want)
		}
	}
}

func TestStoredTPMPolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                "",
		" ":               "",
		`{"mask": "0x1"}`: "",
		`{"23": ["a", "b"], "1": "c", "mask": "0x1"}`:  `{"1": ["c"], "23": ["a","b"]}`,
		`{"10": ["a"], "16": ["b"], "22": ["\"; rm"]}`: `{"22": ["\"; rm"]}`,
	} {
		values, err := storedTPMPolicy(text)
		if err != nil || tpmText(values, 0, "") != want {
			t.Errorf("%s: %v, %v", text, values, err)
		}
	}
	for _, text := range []string{"{", "[]", `{"x": []}`, `{"1": 1}`, `{"-1": []}`, "1"} {
		if _, err := storedTPMPolicy(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	if got := tpmText(map[int][]string{23: {"a"}}, 23, "a"); got != `{"23": ["a"]}` {
		t.Error(got)
	}
}

// FuzzStoredTPMPolicy: no text of a verifier upsets it, and what is made of it
// can be read again.
func FuzzStoredTPMPolicy(f *testing.F) {
	f.Add(`{"23": ["` + zero32 + `"], "mask": "0x80ffff"}`)
	f.Add(`{"1": "x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		values, err := storedTPMPolicy(text)
		if err != nil {
			return
		}
		if again, err := storedTPMPolicy(tpmText(values, 3, "x")); err != nil || len(again) > len(values) {
			t.Errorf("%v: %v", values, err)
		}
	})
}

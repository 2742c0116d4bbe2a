package tenant_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

func TestReplayGood(t *testing.T) {
	t.Parallel()
	agent := newHistory(t).replay(t, exampleRules())
	if agent.Verdict != tenant.ReplayAttested || agent.Records != 2 || agent.Failed != 0 || len(agent.Findings) > 0 || len(agent.Notes) > 0 || agent.FirstBad != nil ||
		agent.First.Unix() != replayStart || agent.Last.Unix() != replayStart+10 || agent.LastGood.Number != 2 {
		t.Errorf("%+v", agent)
	}
}

// TestReplaySpoilt spoils one thing of one record each.
func TestReplaySpoilt(t *testing.T) {
	t.Parallel()
	otherAK := recordedBase64(t, "sb-on", "ak_ecc_tpm2b_public.bin")
	for _, test := range []struct {
		name string
		// record is the one that is refused, from 1.
		record    int
		check     string
		component string
		rules     tenant.ReplayRules
		spoil     func(h *recordedHistory)
	}{
		{name: "quote", record: 2, check: "quote.signature", component: "quote", spoil: func(h *recordedHistory) {
			parts := strings.Split(h.at(1, "results")["quote"].(string), ":")
			raw, _ := base64.StdEncoding.DecodeString(parts[0][1:])
			raw[len(raw)-1] ^= 1
			h.at(1, "results")["quote"] = "r" + base64.StdEncoding.EncodeToString(raw) + ":" + parts[1] + ":" + parts[2]
		}},
		{name: "nonce", record: 1, check: "quote.nonce", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "agent")["nonce"] = "01234567890123456789" }},
		{name: "transport key", record: 1, check: "quote.pcr16-binding", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "results")["pubkey"] = "another" }},
		{name: "no transport key", record: 1, check: "quote.transport-key", component: "quote", spoil: func(h *recordedHistory) { delete(h.at(0, "results"), "pubkey") }},
		{name: "hash not accepted", record: 1, check: "quote.accepted-hash", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "agent")["accept_tpm_hash_algs"] = []any{"sha512"} }},
		{name: "key not accepted", record: 1, check: "quote.accepted-enc", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "agent")["accept_tpm_encryption_algs"] = []any{"ecc"} }},
		{name: "scheme not accepted", record: 1, check: "quote.accepted-sign", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "agent")["accept_tpm_signing_algs"] = []any{} }},
		{name: "PCRs asked for", record: 1, check: "quote.pcr-missing", component: "quote", spoil: func(h *recordedHistory) { h.at(0, "agent")["tpm_policy"] = `{"mask": "0x81ffff"}` }},
		{name: "clock in the record", record: 2, check: "quote.clock-time", component: "clock", spoil: func(h *recordedHistory) {
			h.at(1, "agent")["tpm_clockinfo"] = map[string]any{"clock": 1 << 40, "resetCount": 3, "restartCount": 0, "safe": 1}
		}},
		{name: "AK not registered", record: 1, check: tenant.CheckRecordAK, component: "record", spoil: func(h *recordedHistory) {
			h.registrations[0]["agent"].(map[string]any)["aik_tpm"] = otherAK
		}},
		{name: "AK not active", record: 1, check: tenant.CheckRecordAK, component: "record", spoil: func(h *recordedHistory) {
			h.registrations[0]["agent"].(map[string]any)["active"] = false
		}},
		{name: "no registration", record: 1, check: tenant.CheckRecordAK, component: "record", spoil: func(h *recordedHistory) { h.registrations = nil }},
		{name: "registration of another", record: 1, check: tenant.CheckRecordAK, component: "record", spoil: func(h *recordedHistory) {
			h.registrations[0]["agent"].(map[string]any)["agent_id"] = "another"
		}},
		{name: "record of another", record: 1, check: tenant.CheckRecordAgent, component: "record", spoil: func(h *recordedHistory) { h.at(0, "agent")["agent_id"] = "another" }},
		{name: "attributes left out", record: 1, check: tenant.CheckRecord, component: "record", spoil: func(h *recordedHistory) { delete(h.at(0, "agent"), "nonce") }},
		{name: "no answer", record: 1, check: tenant.CheckRecord, component: "record", spoil: func(h *recordedHistory) { delete(h.at(0, ""), "json_response") }},
		{name: "entry no number", record: 1, check: tenant.CheckRecord, component: "record", spoil: func(h *recordedHistory) { h.at(0, "results")["ima_measurement_list_entry"] = "0" }},
		{name: "not base64", record: 2, check: tenant.CheckRecord, component: "record", spoil: func(h *recordedHistory) { h.damaged[1] = "no*base64" }},
		{name: "not JSON", record: 2, check: tenant.CheckRecord, component: "record", spoil: func(h *recordedHistory) { h.damaged[1] = "aGk=" }},
		{name: "signature", record: 1, check: tenant.CheckRecordSignature, component: "record", spoil: func(h *recordedHistory) {
			h.at(0, "")["signature"], h.at(0, "")["signer_pub_key"] = "AAAA", recordedText(t, "sb-on", "nk_pub.pem")
		}},
		{name: "list entry", record: 2, check: tenant.CheckRecordList, component: "files", spoil: func(h *recordedHistory) { h.at(1, "results")["ima_measurement_list_entry"] = 3 }},
		{name: "list begins late", record: 1, check: tenant.CheckRecordList, component: "files", spoil: func(h *recordedHistory) { h.attestations = h.attestations[1:] }},
		{name: "list changed", record: 1, check: "ima.pcr-mismatch", component: "files", spoil: func(h *recordedHistory) {
			list := h.at(0, "results")["ima_measurement_list"].(string)
			h.at(0, "results")["ima_measurement_list"] = list[:strings.LastIndexByte(list[:len(list)-1], '\n')+1]
		}},
		{name: "no list", record: 1, check: "ima.no-list", component: "files", spoil: func(h *recordedHistory) { delete(h.at(0, "results"), "ima_measurement_list") }},
		{name: "a file", record: 1, check: "ima.not-in-policy", component: "files", spoil: func(h *recordedHistory) {
			list := h.at(0, "results")["ima_measurement_list"].(string)
			h.at(0, "")["runtime_policy"] = filesPolicy(t, list, strings.Fields(list)[9])
		}},
		{name: "no runtime policy", record: 2, check: "ima.not-in-policy", component: "files", spoil: func(h *recordedHistory) { delete(h.at(1, ""), "runtime_policy") }},
		{name: "runtime policy broken", record: 1, check: "ima.policy", component: "files", spoil: func(h *recordedHistory) { h.at(0, "")["runtime_policy"] = "{" }},
		{name: "keyring broken", record: 1, check: "ima.policy", component: "files", spoil: func(h *recordedHistory) { h.at(0, "agent")["ima_sign_verification_keys"] = "no keyring" }},
		{name: "tpm_policy", record: 1, check: "tpm-policy.pcr", component: "registers", spoil: func(h *recordedHistory) {
			h.at(0, "agent")["tpm_policy"] = `{"mask": "0x1ffff", "15": ["` + strings.Repeat("ab", 32) + `"]}`
		}},
		{name: "tpm_policy broken", record: 1, check: tenant.CheckRecordPolicy, component: "record", spoil: func(h *recordedHistory) { h.at(0, "agent")["tpm_policy"] = `{"mask": "0x1ffff", "x": 1}` }},
		{name: "boot log of another boot", record: 1, check: "measured-boot.pcr", component: "boot", spoil: func(h *recordedHistory) {
			h.at(0, "results")["mb_measurement_list"] = recordedBase64(t, "sb-on-initrd-changed", "binary_bios_measurements")
		}},
		{name: "no boot log", record: 1, check: "measured-boot.no-log", component: "boot", spoil: func(h *recordedHistory) { delete(h.at(0, "results"), "mb_measurement_list") }},
		{name: "boot log no base64", record: 1, check: "measured-boot.log", component: "boot", spoil: func(h *recordedHistory) { h.at(0, "results")["mb_measurement_list"] = "*" }},
		{name: "boot log cut", record: 1, check: "measured-boot.log", component: "boot", spoil: func(h *recordedHistory) {
			text := h.at(0, "results")["mb_measurement_list"].(string)
			h.at(0, "results")["mb_measurement_list"] = text[:1000]
		}},
		{name: "boot policy", record: 1, check: "measured-boot.kernel-cmdline", component: "boot", spoil: func(h *recordedHistory) {
			h.at(0, "")["mb_policy"] = bootPolicyOf(t, "sb-on-cmdline-changed")
		}},
		{name: "boot policy broken", record: 1, check: tenant.CheckRecordPolicy, component: "record", spoil: func(h *recordedHistory) { h.at(0, "")["mb_policy"] = "{" }},
		{name: "boot policy null", record: 1, check: tenant.CheckRecordPolicy, component: "record", spoil: func(h *recordedHistory) { h.at(0, "")["mb_policy"] = "null" }},
		{name: "PCR 10 not asked for", record: 2, check: "ima.not-in-policy", component: "files", spoil: func(h *recordedHistory) {
			h.at(1, "agent")["tpm_policy"] = `{"mask": "0x1fbff"}`
			delete(h.at(1, ""), "runtime_policy")
		}},
		{name: "boot rules unknown", record: 2, check: tenant.CheckRecordJudged, component: "record", spoil: func(h *recordedHistory) { h.at(1, "")["mb_policy_name"] = "ours" }},
		{name: "boot rules that refuse", record: 1, check: "measured-boot.policy", component: "boot", rules: tenant.ReplayRules{BootPolicy: "reject-all"}, spoil: func(*recordedHistory) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			test.spoil(h)
			r := exampleRules()
			if test.rules.BootPolicy != "" {
				r.Rules = test.rules
			}
			agent := h.replay(t, r)
			if agent.Verdict != tenant.ReplayFailed || agent.FirstBad == nil || agent.FirstBad.Number != test.record {
				t.Fatalf("verdict %s, first bad %v, want record %d\n%+v", agent.Verdict, agent.FirstBad, test.record, agent)
			}
			first := agent.Findings[0]
			if first.Check != test.check || first.Component != test.component || first.Record != test.record || first.Time.Unix() != replayStart+10*int64(test.record-1) {
				t.Errorf("%s of %s in record %d at %s, want %s of %s: %s", first.Check, first.Component, first.Record, first.Time, test.check, test.component, first.Message)
			}
			if first.Message == "" || first.Command != nil {
				t.Errorf("%+v", first)
			}
			for _, f := range agent.Findings {
				if f.Record == test.record && f.Check != test.check && test.check != tenant.CheckRecordList && !strings.HasPrefix(f.Check, "ima.") && !strings.HasPrefix(f.Check, "measured-boot.") {
					t.Errorf("one thing was spoilt, and %s was found as well: %s", f.Check, f.Message)
				}
			}
		})
	}
}

// TestReplayCopies: a record that is there twice shows a clock that stands
// still, and what was good before and after stays good.
func TestReplayCopies(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.attestations = []map[string]any{h.attestations[0], h.attestations[0], h.attestations[0], h.attestations[1]}
	agent := h.replay(t, exampleRules())
	if agent.Verdict != tenant.ReplayFailed || agent.Failed != 2 || agent.Findings[0].Check != "quote.clock-time" || agent.Findings[0].Times != 2 || agent.Findings[0].Until.Unix() != replayStart+20 ||
		len(agent.Findings) != 1 || agent.FirstBad.Number != 2 || agent.LastGood == nil || agent.LastGood.Number != 4 || agent.FailingSince != nil {
		t.Errorf("%+v", agent)
	}
	h.attestations = h.attestations[:3]
	if agent := h.replay(t, exampleRules()); agent.FailingSince == nil || agent.FailingSince.Number != 2 || agent.LastGood.Number != 1 {
		t.Errorf("%+v", agent)
	}
}

// TestReplayWindows: a window that begins in the middle of a list is judged with
// what went before, and reports nothing of that.
func TestReplayWindows(t *testing.T) {
	t.Parallel()
	second := time.Unix(replayStart+10, 0)
	for name, window := range map[string]durable.Window{"last": {Last: true}, "from": {From: second}, "both": {From: second, To: second}} {
		r := exampleRules()
		r.Window = window
		if agent := newHistory(t).replay(t, r); agent.Verdict != tenant.ReplayAttested || agent.Records != 1 || agent.First.Unix() != second.Unix() {
			t.Errorf("%s: %+v", name, agent)
		}
		h := newHistory(t)
		h.at(1, "agent")["nonce"] = "01234567890123456789"
		if agent := h.replay(t, r); agent.Verdict != tenant.ReplayFailed || agent.FirstBad.Number != 2 || agent.Findings[0].Record != 2 {
			t.Errorf("%s: %+v", name, agent)
		}
		r.Window = durable.Window{To: time.Unix(replayStart+9, 0)}
		if agent := h.replay(t, r); agent.Verdict != tenant.ReplayAttested || agent.Records != 1 {
			t.Errorf("before: %+v", agent)
		}
	}
	r := exampleRules()
	r.Window = durable.Window{From: second.Add(time.Hour)}
	if agent := newHistory(t).replay(t, r); agent.Verdict != tenant.ReplayNoRecords || agent.First != nil {
		t.Errorf("empty: %+v", agent)
	}
}

// TestReplayRules: what verifier.conf says decides on boots.
func TestReplayRules(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		rules   tenant.ReplayRules
		count   int
		verdict tenant.ReplayVerdict
	}{
		{"accept-all", tenant.ReplayRules{}, 0, tenant.ReplayAttested},
		{"once, and the first", tenant.ReplayRules{BootPolicy: "example", BootOnce: true}, 0, tenant.ReplayFailed},
		{"once, and not the first", tenant.ReplayRules{BootPolicy: "example", BootOnce: true}, 7, tenant.ReplayAttested},
		{"always", tenant.ReplayRules{BootPolicy: "example"}, 7, tenant.ReplayFailed},
	} {
		h := newHistory(t)
		h.attestations = h.attestations[:1]
		h.at(0, "")["mb_policy"] = bootPolicyOf(t, "sb-on-cmdline-changed")
		h.at(0, "agent")["attestation_count"] = test.count
		if agent := h.replay(t, tenant.ReplayRequest{Rules: test.rules}); agent.Verdict != test.verdict {
			t.Errorf("%s: %+v", test.name, agent)
		}
	}
}

// TestReplayReboot: a part of a list that belongs to an earlier boot is left to
// the next record.
func TestReplayReboot(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.at(1, "results")["boottime"] = 2000
	agent := h.replay(t, exampleRules())
	if agent.Verdict != tenant.ReplayAttested || len(agent.Notes) != 1 || !strings.Contains(agent.Notes[0], "booted anew") {
		t.Errorf("%+v", agent)
	}
}

// TestReplayMissing: a record that was taken out shows in the count of the next.
func TestReplayMissing(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.at(1, "agent")["attestation_count"] = 5
	agent := h.replay(t, exampleRules())
	if agent.Verdict != tenant.ReplayAttested || agent.Missing != 4 || len(agent.Notes) != 1 {
		t.Errorf("%+v", agent)
	}
}

func TestReplayNobody(t *testing.T) {
	t.Parallel()
	store := newHistory(t).write(t)
	_, err := tenant.Replay(t.Context(), store, tenant.ReplayRequest{IDs: []string{"nobody"}})
	var none *tenant.NoRecordsError
	if !errors.As(err, &none) || !errors.Is(err, tenant.ErrNotFound) || none.ID != "nobody" {
		t.Errorf("%v", err)
	}
	empty, err := durable.Open(t.Context(), durable.Options{URL: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.Replay(t.Context(), empty, tenant.ReplayRequest{}); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
	h := newHistory(t)
	h.attestations = nil
	if agent := h.replay(t, exampleRules()); agent.Verdict != tenant.ReplayNoRecords || len(agent.Notes) != 1 {
		t.Errorf("%+v", agent)
	}
}

func TestReplayEnds(t *testing.T) {
	t.Parallel()
	store := newHistory(t).write(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tenant.Replay(ctx, store, tenant.ReplayRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestReplaySecrets: nothing of what records hold in secret is repeated.
func TestReplaySecrets(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.at(0, "agent")["nonce"] = "01234567890123456789"
	text, err := json.Marshal(h.replay(t, exampleRules()))
	if err != nil || bytes.Contains(text, []byte("c2VjcmV0")) || bytes.Contains(text, []byte("private key")) {
		t.Errorf("%v %s", err, text)
	}
}

package tenant_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/durable"
)

const replayID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// replayStart is the time of the first record.
const replayStart = 1700000000

// recordedHistory are records as a registrar and a verifier write them, of the
// recorded boot sb-on: a quote with its list, and a later one with what the list
// has more.
type recordedHistory struct {
	registrations, attestations []map[string]any
	// damaged are lines in place of records of attestations, by their number.
	damaged map[int]string
}

func recordedText(t testing.TB, boot, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/evidence", boot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func recordedBase64(t testing.TB, boot, name string) string {
	return base64.StdEncoding.EncodeToString([]byte(recordedText(t, boot, name)))
}

// bootPolicyOf is the policy that accepts a recorded boot.
func bootPolicyOf(t testing.TB, boot string) string {
	t.Helper()
	log, err := eventlog.Parse([]byte(recordedText(t, boot, "binary_bios_measurements")))
	if err != nil {
		t.Fatal(err)
	}
	p, err := measuredboot.Create(log, measuredboot.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(p.Marshal())
}

// filesPolicy allows each file of a list but those named.
func filesPolicy(t testing.TB, list string, without ...string) string {
	t.Helper()
	p := runtime.Empty()
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if len(words) < 5 || slices.Contains(without, words[4]) {
			continue
		}
		p.Digests.Add(words[4], words[3][strings.LastIndexByte(words[3], ':')+1:])
	}
	return string(p.Marshal())
}

func newHistory(t testing.TB) *recordedHistory {
	t.Helper()
	const boot = "sb-on"
	early, whole := recordedText(t, boot, "ima_ascii_early.txt"), recordedText(t, boot, "ima_ascii.txt")
	files, bootPolicy := filesPolicy(t, whole), bootPolicyOf(t, boot)
	ak := recordedBase64(t, boot, "ak_tpm2b_public.bin")
	record := func(count int, quote, list string, entry int) map[string]any {
		return map[string]any{
			"agent": map[string]any{
				"v": "c2VjcmV0", "revocation_key": "a private key", "agent_id": replayID, "ak_tpm": ak, "nonce": strings.TrimSpace(recordedText(t, boot, "nonce_"+quote+".txt")),
				"tpm_policy": `{"mask": "0x1ffff"}`, "ima_sign_verification_keys": "", "supported_version": "2.6", "public_key": "", "attestation_count": count,
				"accept_tpm_hash_algs": []any{"sha512", "sha256"}, "accept_tpm_encryption_algs": []any{"ecc", "rsa"}, "accept_tpm_signing_algs": []any{"rsassa"},
				"verifier_id": "default", "verifier_ip": "127.0.0.1", "verifier_port": 8881, "request_timeout": 60.0,
			},
			"json_response": map[string]any{"code": 200, "status": "Success", "results": map[string]any{
				"quote": strings.TrimSpace(recordedText(t, boot, quote+"_quote.txt")), "hash_alg": "sha256", "enc_alg": "rsa2048", "sign_alg": "rsassa",
				"pubkey": recordedText(t, boot, "nk_pub.pem"), "ima_measurement_list": list, "ima_measurement_list_entry": entry,
				"mb_measurement_list": recordedBase64(t, boot, "binary_bios_measurements"), "boottime": 1000,
			}},
			"mb_policy": bootPolicy, "runtime_policy": files, "verifier_timestamp": "11/14/2023, 22:13:20",
		}
	}
	read := strings.Count(early, "\n")
	h := &recordedHistory{damaged: map[int]string{}}
	h.registrations = []map[string]any{{"agent": map[string]any{"ek_tpm": "AA==", "aik_tpm": ak, "ekcert": nil}, "registrar_timestamp": "11/14/2023, 22:13:00"}}
	h.attestations = []map[string]any{record(0, "integrity_early", early, 0), record(1, "integrity", whole[len(early):], read)}
	return h
}

// at is a part of the record n: "agent", "results", or "" for the record itself.
func (h *recordedHistory) at(n int, part string) map[string]any {
	record := h.attestations[n]
	switch part {
	case "":
		return record
	case "results":
		return record["json_response"].(map[string]any)["results"].(map[string]any)
	}
	return record[part].(map[string]any)
}

// write makes a file store of the history and opens it.
func (h *recordedHistory) write(t testing.TB) durable.Store {
	t.Helper()
	dir := t.TempDir()
	for kind, records := range map[string][]map[string]any{"registration": h.registrations, "attestation": h.attestations} {
		if records == nil {
			continue
		}
		var b bytes.Buffer
		for i, record := range records {
			text, err := json.MarshalIndent(record, "", "    ")
			if err != nil {
				t.Fatal(err)
			}
			encoded := base64.StdEncoding.EncodeToString(text)
			if line, damaged := h.damaged[i]; damaged && kind == "attestation" {
				encoded = line
			}
			fmt.Fprintf(&b, "%d--%s\n----\n", replayStart+10*i, encoded)
		}
		if err := os.WriteFile(filepath.Join(dir, "da_"+kind+"_"+replayID+".json"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := durable.Open(t.Context(), durable.Options{URL: "file://" + dir + "?prefix=da"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func (h *recordedHistory) replay(t testing.TB, r tenant.ReplayRequest) tenant.AgentReplay {
	t.Helper()
	result, err := tenant.Replay(t.Context(), h.write(t), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Agents) != 1 {
		t.Fatalf("%d agents", len(result.Agents))
	}
	return result.Agents[0]
}

func exampleRules() tenant.ReplayRequest {
	return tenant.ReplayRequest{Rules: tenant.ReplayRules{BootPolicy: "example"}}
}

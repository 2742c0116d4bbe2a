package tenant_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// BenchmarkReplay replays 50 records of a machine that has measured 20,000
// files, of which the first record has the list, and each the policy.
func BenchmarkReplay(b *testing.B) {
	const files, records, key = 20000, 50, "transport key"
	tpm, err := softtpm.New(softtpm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	extend := func(pcr int, sum []byte) {
		if err := tpm.Extend("sha256", pcr, sum); err != nil {
			b.Fatal(err)
		}
	}
	bound := sha256.Sum256([]byte(key))
	extend(16, bound[:])
	p := runtime.Empty()
	var list strings.Builder
	for i := range files {
		path := fmt.Sprintf("/usr/lib/package-%d/file-%d", i%100, i)
		content := sha256.Sum256([]byte(path))
		digest := append([]byte("sha256:\x00"), content[:]...)
		data := binary.LittleEndian.AppendUint32(nil, uint32(len(digest)))
		data = append(data, digest...)
		data = binary.LittleEndian.AppendUint32(data, uint32(len(path)+1))
		data = append(append(data, path...), 0)
		column, entry := sha1.Sum(data), sha256.Sum256(data)
		fmt.Fprintf(&list, "10 %x ima-ng sha256:%x %s\n", column, content, path)
		p.Digests.Add(path, fmt.Sprintf("%x", content))
		extend(10, entry[:])
	}
	h := newHistory(b)
	first := h.attestations[0]
	h.attestations = nil
	h.registrations[0]["agent"].(map[string]any)["aik_tpm"] = base64.StdEncoding.EncodeToString(tpm.AKPublic())
	allowed, entries, start := string(p.Marshal()), list.String(), 0
	for i := range records {
		nonce := fmt.Sprintf("nonce-%014d", i)
		attest, signature, blob, err := tpm.Quote([]byte(nonce), []int{10, 16}, "sha256")
		if err != nil {
			b.Fatal(err)
		}
		record, agent, results := map[string]any{"runtime_policy": allowed}, map[string]any{}, map[string]any{}
		for name, value := range first["agent"].(map[string]any) {
			agent[name] = value
		}
		for name, value := range first["json_response"].(map[string]any)["results"].(map[string]any) {
			results[name] = value
		}
		agent["nonce"], agent["attestation_count"], agent["tpm_policy"] = nonce, i, `{"mask": "0x10400"}`
		agent["ak_tpm"] = base64.StdEncoding.EncodeToString(tpm.AKPublic())
		encode := base64.StdEncoding.EncodeToString
		results["quote"] = "r" + encode(attest) + ":" + encode(signature) + ":" + encode(blob)
		results["pubkey"], results["ima_measurement_list"], results["ima_measurement_list_entry"] = key, entries, start
		record["agent"], record["json_response"] = agent, map[string]any{"results": results}
		h.attestations = append(h.attestations, record)
		entries, start = "", files
	}
	store := h.write(b)
	b.ReportAllocs()
	for b.Loop() {
		result, err := tenant.Replay(b.Context(), store, exampleRules())
		if err != nil || result.Agents[0].Verdict != tenant.ReplayAttested {
			b.Fatalf("%v %+v", err, result)
		}
	}
	b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
}

//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// TestPoliciesOnRealVerifier gives the real verifier, which enforces its policy
// "example", measured-boot and runtime policies that ours has made, together
// with a lab agent that booted a recorded boot: it accepts the policy of that
// boot, and refuses those of other boots for the reason that we name as well.
func TestPoliciesOnRealVerifier(t *testing.T) {
	k := startKeylime(t, nil)
	const id = "bbbbbbbb-0000-4000-8000-000000000002"
	evidence, err := filepath.Abs("../../../testdata/evidence")
	must(t, err)
	k.startAgent(t, id, "--evidence", filepath.Join(evidence, "sb-on"))

	create := func(boot string, args ...string) string {
		path := filepath.Join(k.dir, boot+".json")
		argv := append([]string{"policy", "create", "measured-boot", filepath.Join(evidence, boot, "binary_bios_measurements"), "--out", path}, args...)
		k.ours(t, argv...).want(t, 0)
		return path
	}
	files := filepath.Join(k.dir, "files.json")
	k.ours(t, "policy", "create", "runtime", "--ima-list", filepath.Join(evidence, "sb-on", "ima_ascii.txt"), "--out", files).want(t, 0)
	fewer := filepath.Join(k.dir, "fewer.json")
	must(t, os.WriteFile(fewer, without(t, files, "/usr/bin/tpm2"), 0o600))

	for _, test := range []struct {
		name  string
		args  []string
		event string // "" is accepted
	}{
		{"boot accepted", []string{"--mb_refstate", create("sb-on")}, ""},
		{"another command line", []string{"--mb_refstate", create("sb-on-cmdline-changed")}, "measured_boot.policy_example"},
		{"another initrd", []string{"--mb_refstate", create("sb-on-initrd-changed")}, "measured_boot.policy_example"},
		{"without Secure Boot", []string{"--mb_refstate", create("sb-off", "--without-secureboot")}, "measured_boot.policy_example"},
		{"files accepted", []string{"--runtime-policy", files}, ""},
		{"a file is missing", []string{"--runtime-policy", fewer}, "ima.validation.ima-ng.not_in_allowlist"},
		{"a file is excluded", []string{"--runtime-policy", fewer, "--exclude", excluding(t, k.dir, "/usr/bin/.*")}, ""},
		{"both", []string{"--mb_refstate", filepath.Join(k.dir, "sb-on.json"), "--runtime-policy", files}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			k.ours(t, append([]string{"-c", "add", "-u", id, "-t", "127.0.0.1"}, test.args...)...).want(t, 0)
			want := "Get Quote"
			if test.event != "" {
				want = "Invalid Quote"
			}
			var record map[string]any
			waitFor(t, 30*time.Second, "a verdict of the verifier", func() bool {
				record = agentRecord(t, k.ours(t, "-c", "cvstatus", "-u", id).want(t, 0).out, id)
				count, _ := record["attestation_count"].(float64)
				return record["operational_state"] == "Invalid Quote" || record["operational_state"] == "Get Quote" && count > 1
			})
			event, _ := record["last_event_id"].(string)
			if record["operational_state"] != want || event != test.event {
				t.Errorf("state %v, event %q, want %q, %q", record["operational_state"], event, want, test.event)
			}
			k.ours(t, "-c", "delete", "-u", id).want(t, 0)
		})
	}
}

// without is a runtime policy less one path.
func without(t *testing.T, path, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var policy map[string]any
	must(t, json.Unmarshal(text, &policy))
	digests := policy["digests"].(map[string]any)
	if digests[file] == nil {
		t.Fatalf("%s has no %s", path, file)
	}
	delete(digests, file)
	text, err = json.Marshal(policy)
	must(t, err)
	return text
}

func excluding(t *testing.T, dir, pattern string) string {
	t.Helper()
	path := filepath.Join(dir, "exclude.txt")
	must(t, os.WriteFile(path, []byte(pattern+"\n"), 0o600))
	return path
}

// TestSoftTPMQuotes has tpm2-tools check the quotes of our soft TPM, with keys
// of both kinds and registers of several banks.
func TestSoftTPMQuotes(t *testing.T) {
	for _, test := range []struct{ ak, bank string }{{"rsa2048", "sha256"}, {"ecc256", "sha256"}} {
		t.Run(test.ak+" "+test.bank, func(t *testing.T) {
			tpm, err := softtpm.New(softtpm.Options{AKAlg: test.ak})
			must(t, err)
			must(t, tpm.Extend(test.bank, 23, make([]byte, 32)))
			const nonce = "0123456789abcdefABCD"
			attest, signature, blob, err := tpm.Quote([]byte(nonce), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 23}, test.bank)
			must(t, err)
			public, err := ek.ParsePublic(tpm.AKPublic())
			must(t, err)
			dir := t.TempDir()
			for name, content := range map[string][]byte{"attest": attest, "signature": signature, "pcrs": blob, "ak.pem": []byte(public.PEM)} {
				must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
			}
			check := func(nonce string) result {
				return run(t, time.Minute, os.Environ(), dir, "tpm2_checkquote", "-u", "ak.pem", "-m", "attest", "-s", "signature", "-f", "pcrs",
					"-g", test.bank, "-q", fmt.Sprintf("%x", nonce))
			}
			check(nonce).want(t, 0)
			if r := check(strings.ToUpper(nonce)); r.code == 0 {
				t.Error("tpm2_checkquote accepts any nonce: this test proves nothing")
			}
		})
	}
}

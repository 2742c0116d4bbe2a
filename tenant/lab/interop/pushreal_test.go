//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startPushAgent starts a real verifier in push mode and a lab agent that
// attests itself to it by its own protocol.
func startPushAgent(t *testing.T, id string, extra settings, args ...string) (*keylime, *labAgent) {
	t.Helper()
	all := settings{"verifier.mode": "push", "tenant.retry_interval": "1", "tenant.exponential_backoff": "False"}
	for option, value := range extra {
		all[option] = value
	}
	k := startKeylime(t, all)
	args = append([]string{"--push", "--verifier", fmt.Sprintf("https://127.0.0.1:%d", k.verifierPort),
		"--verifier-ca", filepath.Join(k.dir, "cv_ca/cacert.crt"), "--interval", "0.5s"}, args...)
	return k, k.startAgent(t, id, args...)
}

// says waits until the real verifier says a word about an agent.
func (k *keylime) says(t *testing.T, id, word string) {
	t.Helper()
	last := ""
	waitFor(t, 40*time.Second, "the verifier says "+word, func() bool {
		last = k.ours(t, "cvstatus", id, "-o", "json").out
		if strings.Contains(last, `"attestation_status": "`+word+`"`) {
			return true
		}
		return false
	})
}

// TestPushAgentOnRealVerifier: an agent of ours attests itself to the real
// verifier by proof of possession, and is refused when its policy is not
// satisfied.
func TestPushAgentOnRealVerifier(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	k, a := startPushAgent(t, id, nil)
	fixtures := fidelityFixtures(t, k)
	k.ours(t, "add", id, "--push-model", "--runtime-policy", filepath.Join(fixtures, "rp-good.json"), "--mb-policy", filepath.Join(fixtures, "mb-good.json")).want(t, 0)
	k.says(t, id, "PASS")
	if os.Getenv("KT_SHOW") != "" {
		time.Sleep(5 * time.Second)
		for _, p := range []string{"", "/latest", "/0", "/77"} {
			r := run(t, time.Minute, k.env(), k.dir, "curl", "-sik", "--cert", filepath.Join(k.dir, "cv_ca/client-cert.crt"), "--key", filepath.Join(k.dir, "cv_ca/client-private.pem"),
				fmt.Sprintf("https://127.0.0.1:%d/v3.0/agents/%s/attestations%s", k.verifierPort, id, p))
			must(t, os.WriteFile(filepath.Join(os.Getenv("KT_SHOW"), "show"+strings.ReplaceAll(p, "/", "_")), []byte(r.out), 0o600))
		}
	}
	if os.Getenv("KT_SHOW") != "" {
		text, _ := os.ReadFile(filepath.Join(k.dir, "keylime_verifier.log"))
		must(t, os.WriteFile(filepath.Join(os.Getenv("KT_SHOW"), "verifier.log"), text, 0o600))
	}
	_ = a
}

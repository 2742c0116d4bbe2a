//go:build interop

package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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
	waitFor(t, 40*time.Second, "the verifier says "+word, func() bool {
		return strings.Contains(k.ours(t, "cvstatus", id, "-o", "json").out, `"attestation_status": "`+word+`"`)
	})
}

// tamper changes what an agent reports.
func (k *keylime) tamper(t *testing.T, a *labAgent, args ...string) {
	t.Helper()
	k.ours(t, append([]string{"lab", "tamper", "--dir", a.dir}, args...)...).want(t, 0)
}

// TestPushAgentOnRealVerifier: an agent of ours attests itself to the real
// verifier by proof of possession, and is refused when its policy is not
// satisfied; explain says why from the evidence that the verifier has.
func TestPushAgentOnRealVerifier(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	k, a := startPushAgent(t, id, nil)
	fixtures := fidelityFixtures(t, k)
	policies := []string{"--push-model", "--runtime-policy", filepath.Join(fixtures, "rp-good.json"), "--mb-policy", filepath.Join(fixtures, "mb-good.json")}
	k.ours(t, append([]string{"add", id}, policies...)...).want(t, 0)
	k.says(t, id, "PASS")
	show(t, k.ours(t, "explain", id).want(t, 0, "healthy", "attestation ", "signed by the AK that the registrar holds", "53 lines of the IMA list", "lead to the quoted PCRs"))

	k.tamper(t, a, "run", "/usr/local/bin/unknown")
	k.says(t, id, "FAIL")
	k.record(t, id)
	r := show(t, k.ours(t, "explain", id).want(t, 3, "refused", "/usr/local/bin/unknown", "the verifier has refused attestation"))
	show(t, k.ours(t, "explain", id, "-o", "json").want(t, 3, `"check": "ima.not-in-policy"`, `"quote": "verified"`))

	// What explain advises is done: the policy is made to accept the file. The
	// verifier goes on holding the failure against the agent, until it is enrolled
	// anew.
	kept := filepath.Join(k.dir, "kept")
	k.ours(t, "explain", id, "--save", kept).want(t, 3)
	k.ours(t, "explain", id, "--evidence", kept).want(t, 3, "/usr/local/bin/unknown", "signed by the AK")
	allowed := filepath.Join(kept, "runtime-policy.json")
	k.ours(t, "policy", "merge", allowed, "--allow", found(t, r.out)+"  /usr/local/bin/unknown", "-o", allowed).want(t, 0)
	k.ours(t, "updateruntimepolicy", id, "--runtime-policy", allowed).want(t, 0)
	waitFor(t, 20*time.Second, "a later attestation passes", func() bool {
		return strings.Contains(k.ours(t, "explain", id).out, "has passed since")
	})
	show(t, k.ours(t, "explain", id).want(t, 3, "recovered", "update "+id))
	policies[2] = allowed
	k.ours(t, append([]string{"update", id}, policies...)...).want(t, 0)
	k.says(t, id, "PASS")
	k.ours(t, "explain", id).want(t, 0, "healthy")

	// Of attestations that pass the verifier drops those in between, and with them
	// lines of the IMA list: the quote before stands for them.
	for range 4 {
		k.tamper(t, a, "run", "/usr/local/bin/unknown")
		time.Sleep(2 * time.Second)
	}
	k.tamper(t, a, "run", "/usr/local/bin/another")
	k.says(t, id, "FAIL")
	show(t, k.ours(t, "explain", id, "-o", "json").want(t, 3, `"answer": "refused"`, "/usr/local/bin/another, line 59",
		"that part is judged against the PCR 10 that the quote of attestation "))
	k.tamper(t, a, "boot", "--secure-boot", "off")
	k.ours(t, append([]string{"update", id}, policies...)...).want(t, 0)
	k.says(t, id, "FAIL")
	show(t, k.ours(t, "explain", id).want(t, 3, "refused", "measured-boot"))
}

// TestPushFacts holds what this project says of Keylime 7.14.3 in push mode: an
// agent without a policy is asked for nothing, one with an ECC key is not taken,
// and several attestations cannot be listed.
func TestPushFacts(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	k, _ := startPushAgent(t, id, nil)
	logged := func(id, text string) {
		t.Helper()
		waitFor(t, 20*time.Second, "agent "+id+" says: "+text, func() bool {
			log, err := os.ReadFile(filepath.Join(k.dir, "agent-"+id+".log"))
			return err == nil && strings.Contains(string(log), text)
		})
	}
	k.ours(t, "add", id, "--push-model").want(t, 0)
	logged(id, "the verifier asks for no quote")
	k.ours(t, "status", id).want(t, 0, "PENDING", "asks such an agent for nothing in the push model", "LAST ATTESTATION", "its evidence is awaited")
	k.ours(t, "explain", id).want(t, 0, "the verifier has no evidence of it yet")

	// Several attestations: the verifier fails when it is to list them.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: k.clientCert}}} // a verifier of our own
	waitFor(t, 10*time.Second, "several attestations", func() bool {
		return !strings.Contains(k.ours(t, "status", id).out, "number 0:")
	})
	reply, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/v3.0/agents/%s/attestations", k.verifierPort, id))
	must(t, err)
	reply.Body.Close()
	if reply.StatusCode != 500 {
		t.Errorf("the list is answered with %d: the fault is gone", reply.StatusCode)
	}

	t.Setenv("KEYLIME_AGENT_TPM_SIGNING_ALG", "ecdsa")
	t.Setenv("KEYLIME_AGENT_TPM_ENCRYPTION_ALG", "ecc")
	k.startAgent(t, "ecc", "--push", "--verifier", fmt.Sprintf("https://127.0.0.1:%d", k.verifierPort), "--verifier-ca", filepath.Join(k.dir, "cv_ca/cacert.crt"))
	k.ours(t, "add", "ecc", "--push-model", "--tpm-policy", `{"23": "`+strings.Repeat("0", 64)+`"}`).want(t, 0)
	time.Sleep(5 * time.Second)
	k.ours(t, "cvstatus", "ecc").want(t, 0, "PENDING")
	logged("ecc", "not accepted the proof")
}

// found is the digest in the first finding of an explanation.
func found(t *testing.T, screen string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^found +([0-9a-f]{64})$`).FindStringSubmatch(screen)
	if m == nil {
		t.Fatalf("no digest was found in\n%s", screen)
	}
	return m[1]
}

// record keeps the verifier's answers about an agent in the directory of
// KEYLIME_INTEROP_RECORD, if there is one: that is how testdata/push was made.
func (k *keylime) record(t *testing.T, id string) {
	t.Helper()
	dir := os.Getenv("KEYLIME_INTEROP_RECORD")
	if dir == "" {
		return
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: k.clientCert}}} // a verifier of our own
	for _, which := range []string{"0", "1", "2", "3", "latest"} {
		reply, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/v3.0/agents/%s/attestations/%s", k.verifierPort, id, which))
		must(t, err)
		text, err := io.ReadAll(reply.Body)
		must(t, err)
		reply.Body.Close()
		must(t, os.WriteFile(filepath.Join(dir, which+".json"), text, 0o644))
	}
}

// show logs what a command printed where that was asked for.
func show(t *testing.T, r result) result {
	t.Helper()
	if os.Getenv("KEYLIME_INTEROP_SHOW") != "" {
		t.Logf("%s%s", r.out, r.err)
	}
	return r
}

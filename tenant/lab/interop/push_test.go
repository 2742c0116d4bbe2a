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

// The states of an agent of the push model.
const (
	pushed      state = iota + 100 // enrolled, and never came
	pushPassing                    // attested three times
	pushFailing                    // refused since
	pushLate                       // has not come in time since
)

// enrolPush enrols the agent and brings its record into a state, at once and for
// good: the verifier's database is told what has become of it; what the verifier
// says of that is its own. An agent that really attests itself is in
// pushreal_test.go.
func (k *keylime) enrolPush(t *testing.T, s state, id string) {
	t.Helper()
	k.quietly(t, "add", id, "--push-model").want(t, 0)
	if s == pushed {
		return
	}
	now := time.Now().Unix()
	accept, failures := 1, 0
	switch s {
	case pushFailing:
		failures = 2
	case pushLate:
		accept = 0
	}
	change := fmt.Sprintf(`import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
n = db.execute("UPDATE verifiermain SET attestation_count = 3, last_received_quote = %d, last_successful_attestation = %d, accept_attestations = %d, consecutive_attestation_failures = %d WHERE agent_id = ?", [sys.argv[2]]).rowcount
db.commit()
assert n == 1, n`, now, now, accept, failures)
	run(t, time.Minute, k.env(), k.dir, k.python(), "-c", change, filepath.Join(k.dir, "cv_data.sqlite"), id).want(t, 0)
}

// pushCalls are the calls given to both tenants beside a verifier in push mode.
func pushCalls() []call {
	var all []call
	all = append(all, plain(registered, "push, registered", "-c regstatus -u $ID", "-c reglist -u $ID", "-c cvlist -u $ID", "-c status -u $ID", "-c status -u $ID --push-model", "-c cvstatus -u $ID --push-model",
		"-c cvstatus -u $ID", "-c bulkinfo -u $ID", "-c bulkinfo -u $ID --push-model", "-c listruntimepolicy -u $ID", "-c listmbpolicy -u $ID", "-c reactivate -u $ID --push-model",
		"-c addruntimepolicy -u $ID --runtime-policy-name p1 --runtime-policy $FIX/rp-good.json", "-c addmbpolicy -u $ID --mb-policy-name m1 --mb-policy $FIX/mb-good.json")...)
	all = append(all, plain(registered, "push, add", "-c add -u $ID --push-model", "-u $ID --push", "-c add -u $ID", "-c add -u $ID --push-model -t 127.0.0.1", "-c add -u $ID --push-model --runtime-policy $FIX/rp-good.json",
		"-c add -u $ID --push-model --mb-policy $FIX/mb-good.json --runtime-policy $FIX/rp-good.json", "-c add -u $ID --push-model --agent-api-version 2.2", "-c add -u $BAD --push-model",
		"-c add -u $ID --push-model --runtime-policy-name nosuch")...)
	all = append(all, call{name: "push, add tpm_policy", argv: "-c add -u $ID --push-model --tpm_policy", args: []string{`{"22": ["` + strings.Repeat("0", 64) + `"]}`}, code: -1})
	all = append(all, decidedCalls(registered, rowPush, 0, "-c add -u $ID --push-model -f $FIX/payload.txt", "-c add -u $ID --push-model -f $FIX/payload.txt --verify", "-c add -u $ID --push-model -k $FIX/content_keys.txt -p $FIX/content_payload.txt")...)
	all = append(all, decidedCalls(registered, rowAbsent, 0, "-c delete -u $ID --push-model", "-c update -u $ID --push-model")...)
	all = append(all, decidedCalls(registered, rowEarly, 1, "-c add -u $ID --push-model --verify", "-c add -u $ID --push-model -f nosuch.txt")...)
	for _, c := range decidedCalls(registered, rowEK, 1, "-c add -u $ID --push-model") {
		c.env, c.want = []string{"KEYLIME_TENANT_TPM_CERT_STORE=/nosuch"}, []string{" - ERROR - "}
		all = append(all, c)
	}
	all = append(all, plain(pushed, "push, enrolled", "-c status -u $ID", "-c status -u $ID --push-model", "-c cvstatus -u $ID", "-c cvstatus -u $ID --push-model", "-c cvlist -u $ID", "-c bulkinfo -u $ID", "-c bulkinfo -u $ID --push-model",
		"-c reactivate -u $ID --push-model", "-c reactivate -u $ID", "-c reactivate -u $ID -nvc", "-c update -u $ID --push-model", "-c update -u $ID --push-model --runtime-policy $FIX/rp-bad.json", "-c update -u $ID --push-model -nvc",
		"-c delete -u $ID --push-model", "-c delete -u $ID", "-c delete -u $ID -nvc")...)
	all = append(all, decidedCalls(pushed, rowConflict, 1, "-c add -u $ID --push-model")...)
	all[len(all)-1].want = []string{"responded indicating a conflict"}
	for _, s := range []struct {
		state state
		name  string
	}{{pushPassing, "push, passing"}, {pushFailing, "push, failing"}, {pushLate, "push, late"}} {
		all = append(all, plain(s.state, s.name, "-c cvstatus -u $ID", "-c cvstatus -u $ID --push-model", "-c bulkinfo -u $ID", "-c reactivate -u $ID --push-model")...)
	}
	return append(all, plain(pushFailing, "push, failing", "-c update -u $ID --push-model", "-c delete -u $ID --push-model")...)
}

// startPush starts a verifier in push mode, and registers an agent as those of
// the push model do: with an address at which nobody listens, and no TLS.
func startPush(t *testing.T, id string) *keylime {
	t.Helper()
	k := startKeylime(t, settings{"verifier.mode": "push", "tenant.retry_interval": "1", "tenant.exponential_backoff": "False"})
	t.Setenv("KEYLIME_AGENT_ENABLE_AGENT_MTLS", "false")
	k.startAgent(t, id).stop()
	return k
}

// TestPushFidelity gives both tenants the same calls beside a real verifier in
// push mode.
func TestPushFidelity(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	total := newTally(t)
	k := startPush(t, id)
	fixtures := fidelityFixtures(t, k)
	for _, c := range pushCalls() {
		k.one(t, c, id, fixtures, total)
	}
	total.print(t)
}

// TestPushModern walks through the states that a verifier in push mode can say,
// in the new grammar.
func TestPushModern(t *testing.T) {
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	k := startPush(t, id)
	k.ours(t, "add", id).want(t, 2, "it uses the push model", "hint: add --push-model")
	k.ours(t, "add", id, "--push-model", "--file", k.conf("tenant")).want(t, 2, "nothing can be delivered to it")
	k.ours(t, "add", id, "--push-model").want(t, 0, "is enrolled with the verifier")
	k.ours(t, "cvstatus", id).want(t, 0, "never attested", "push: it attests itself, every 1s, and is late after 5s")
	k.ours(t, "bulkinfo").want(t, 0, "(push model)")
	for _, s := range []struct {
		state        state
		code         int
		word, health string
	}{{pushPassing, 0, "PASS", "healthy"}, {pushFailing, 3, "FAIL", "failed"}, {pushLate, 6, "TIMEOUT", "late"}} {
		k.ours(t, "delete", id).want(t, 0, "is no longer attested")
		k.enrolPush(t, s.state, id)
		k.ours(t, "cvstatus", id).want(t, s.code, s.word, s.health+": ")
		k.ours(t, "cvstatus", id, "-o", "json").want(t, s.code, `"health": "`+s.health+`"`, `"push_model": true`)
	}
	k.ours(t, "reactivate", id).want(t, 0, "no longer taken for late")
	k.ours(t, "cvstatus", id).want(t, 0, "PASS")
	k.ours(t, "update", id, "--push-model").want(t, 0, "is enrolled anew")
	k.ours(t, "stop", id).want(t, 0, "is marked as stopped")
	k.ours(t, "delete", id).want(t, 0)
	k.ours(t, "delete", id).want(t, 0, "nothing to delete")
}

// TestRealTenantOnOurPushLab is the other direction: the Python tenant against
// a lab of the push model, whose agent really attests itself.
func TestRealTenantOnOurPushLab(t *testing.T) {
	i := installed(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "walk.sh")
	fixtures, err := filepath.Abs("../../../testdata/golden/fixtures")
	must(t, err)
	must(t, os.WriteFile(script, []byte(`set -eux
T="`+i.tool("keylime_tenant")+`"
export KEYLIME_LOGGING_CONFIG="`+filepath.Join(i.dir, "conf/logging.conf")+`" KEYLIME_CA_CONFIG="`+filepath.Join(i.dir, "conf/ca.conf")+`" KEYLIME_DIR="$LAB_DIR" PYTHONWARNINGS=ignore
says() {
	for n in 1 2 3 4 5 6 7 8 9 10; do
		"$T" -c cvstatus -u "$LAB_AGENT" --push-model > "`+dir+`/says.txt"
		grep -q "\"attestation_status\": \"$1\"" "`+dir+`/says.txt" && break
		sleep 1
	done
	cat "`+dir+`/says.txt"
	grep -q "\"attestation_status\": \"$1\"" "`+dir+`/says.txt"
}
"$T" -c regstatus -u "$LAB_AGENT"
"$T" -c add -u "$LAB_AGENT" --push-model --runtime-policy "`+fixtures+`/rp-good.json"
says PASS
"$T" -c bulkinfo --push-model
keylime_tenant lab tamper stop
says TIMEOUT
"$T" -c reactivate -u "$LAB_AGENT" --push-model
keylime_tenant lab tamper restart
says PASS
keylime_tenant lab tamper run /usr/local/bin/unknown
says FAIL
"$T" -c update -u "$LAB_AGENT" --push-model
says PASS
"$T" -c delete -u "$LAB_AGENT" --push-model
! "$T" -c cvstatus -u "$LAB_AGENT" --push-model
echo walked to the end
`), 0o600))
	run(t, 3*time.Minute, os.Environ(), dir, i.binary, "lab", "run", "--push", "--", "sh", script).want(t, 0, "walked to the end",
		`"mtls_cert": "disabled"`, "added to Verifier", "re-activated", "deleted from the CV")
}

//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// attested are records of durable attestation that the real verifier and
// registrar have written about two lab agents: both were good until a time, and
// then one ran a file that its policy does not allow, and the other was enrolled
// anew with the policy of another boot.
type attested struct {
	*keylime
	ids []string
	// before is a time at which both had been attested and neither had failed.
	before time.Time
}

// attestBoth makes such records in a store.
func attestBoth(t *testing.T, store settings) *attested {
	t.Helper()
	extra := settings{}
	for option, value := range store {
		if strings.Contains(option, ".") {
			extra[option] = value
			continue
		}
		extra["verifier."+option], extra["registrar."+option] = value, value
	}
	a := &attested{keylime: startKeylime(t, extra), ids: []string{"dddddddd-0000-4000-8000-00000000000a", "dddddddd-0000-4000-8000-00000000000b"}}
	evidence, err := filepath.Abs("../../../testdata/evidence")
	must(t, err)
	policy := func(boot string) string {
		path := filepath.Join(a.dir, boot+".json")
		a.ours(t, "policy", "create", "measured-boot", filepath.Join(evidence, boot, "binary_bios_measurements"), "--out", path).want(t, 0)
		return path
	}
	files := filepath.Join(a.dir, "files.json")
	a.ours(t, "policy", "create", "runtime", "--ima-list", filepath.Join(evidence, "sb-on", "ima_ascii.txt"), "--out", files).want(t, 0)
	var agents []*labAgent
	for _, id := range a.ids {
		agents = append(agents, a.startAgent(t, id, "--evidence", filepath.Join(evidence, "sb-on")))
		a.ours(t, "-c", "add", "-u", id, "-t", "127.0.0.1", "--runtime-policy", files, "--mb_refstate", policy("sb-on")).want(t, 0)
	}
	for _, id := range a.ids {
		waitFor(t, 60*time.Second, "three good quotes of "+id, func() bool {
			count, _ := agentRecord(t, a.ours(t, "-c", "cvstatus", "-u", id).want(t, 0).out, id)["attestation_count"].(float64)
			return count >= 3
		})
	}
	a.before = time.Now().Truncate(time.Second)
	time.Sleep(2 * time.Second) // times in the store are seconds
	a.ours(t, "lab", "tamper", "run", "/usr/local/bin/unknown", "--dir", agents[0].dir).want(t, 0)
	a.ours(t, "-c", "update", "-u", a.ids[1], "-t", "127.0.0.1", "--runtime-policy", files, "--mb_refstate", policy("sb-on-cmdline-changed")).want(t, 0)
	for _, id := range a.ids {
		a.waitState(t, id, "Invalid Quote")
	}
	return a
}

// attest runs keylime_attest, theirs or ours through a link, in a time zone that
// is not that of the servers.
func (a *attested) attest(t *testing.T, theirs bool, args ...string) result {
	t.Helper()
	program := a.tool("keylime_attest")
	if !theirs {
		program = filepath.Join(t.TempDir(), "keylime_attest")
		must(t, os.Symlink(a.binary, program))
	}
	return run(t, 2*time.Minute, append(a.env(), "TZ=America/New_York"), a.dir, append([]string{program}, args...)...)
}

// verdicts are the records of keylime_attest itself, without their times. What
// comes of a bad record each tells in its own words behind the event's id.
func verdicts(out string) (lines []string) {
	const logger = " - keylime.durable_attestation_fetch_and_replay - "
	event := regexp.MustCompile(`(NOT in "attested" state .*\): \S+) .*`)
	for line := range strings.Lines(out) {
		if _, text, found := strings.Cut(strings.TrimSuffix(line, "\n"), logger); found {
			lines = append(lines, event.ReplaceAllString(text, "$1"))
		}
	}
	return lines
}

// same runs both with the same words and compares exit codes and verdicts.
func (a *attested) same(t *testing.T, code int, sorted bool, args ...string) {
	t.Helper()
	theirs, ours := a.attest(t, true, args...), a.attest(t, false, args...)
	was, is := verdicts(theirs.out), verdicts(ours.out)
	if sorted { // the order of agents is that of a directory, or of a server
		was, is = inOrder(was), inOrder(is)
	}
	if theirs.code != code || ours.code != code || len(was) == 0 {
		t.Errorf("%q: theirs ends with %d, ours with %d, want %d\n%s%s\nours:\n%s%s", args, theirs.code, ours.code, code, tail([]byte(theirs.out), 3000), tail([]byte(theirs.err), 3000), ours.out, ours.err)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("%q: -theirs +ours\n%s", args, diff)
	}
	t.Logf("%q: %d for both, %d verdict lines the same", args, code, len(was))
}

// inOrder are lines in an order that does not depend on that of agents, who are
// also listed in one of them.
func inOrder(lines []string) []string {
	for i, line := range lines {
		if before, list, found := strings.Cut(line, "recorded history: "); found {
			ids := strings.Split(list, ",")
			slices.Sort(ids)
			lines[i] = before + "recorded history: " + strings.Join(ids, ",")
		}
	}
	slices.Sort(lines)
	return lines
}

// windows are the comparisons that hold for every store. byTime says that
// windows by time do what they say in upstream's class for this store.
func (a *attested) windows(t *testing.T, byTime bool) {
	newYork, err := time.LoadLocation("America/New_York")
	must(t, err)
	end := a.before.In(newYork).Format("2006-01-02T15:04:05")
	a.same(t, 1, true)
	for _, id := range a.ids {
		a.same(t, 1, false, "-u", id)
	}
	if byTime {
		a.same(t, 0, true, "-e", end)
		a.same(t, 0, false, "--uuid", a.ids[0], "--start", "2020-01-01", "--end", end)
	}
	ours := a.attest(t, false, "-e", end).want(t, 0, "All agents were in attested state for the whole duration of recorded history")
	if strings.Contains(ours.out, "NOT in") {
		t.Errorf("%s", ours.out)
	}

	// The new grammar: the same, in its own words.
	modern := a.ours(t, "replay", "-o", "json").want(t, 3, `"check": "ima.not-in-policy"`, `"where": "/usr/local/bin/unknown"`, `"check": "measured-boot.kernel-cmdline"`)
	if n := strings.Count(modern.out, `"verdict": "failed"`); n != 2 {
		t.Errorf("%d agents have failed\n%s", n, modern.out)
	}
	a.ours(t, "replay", "--end", a.before.UTC().Format(time.RFC3339)).want(t, 0, "attested")
	a.ours(t, "replay", "nobody").want(t, 5)
}

// TestDurableFiles: keylime_attest of Keylime and ours on the same files.
func TestDurableFiles(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	a := attestBoth(t, settings{"durable_attestation_import": "keylime.da.examples.file", "persistent_store_url": "file://" + store + "?prefix=da"})
	a.windows(t, true)

	// Where ours differs on purpose: a list that begins before the window.
	last := a.attest(t, true, "-s", "none", "-u", a.ids[0]).want(t, 1, "qoute_validation.invalid_ima_entry_nb")
	ours := a.attest(t, false, "-s", "none", "-u", a.ids[0]).want(t, 1, "ima.validation.ima-ng.not_in_allowlist")
	if diff := cmp.Diff(withoutEvents(verdicts(last.out)), withoutEvents(verdicts(ours.out))); diff != "" {
		t.Errorf("-theirs +ours\n%s", diff)
	}
	newYork, err := time.LoadLocation("America/New_York")
	must(t, err)
	window := []string{"-u", a.ids[0], "-s", a.before.Add(-time.Second).In(newYork).Format("2006-01-02T15:04:05"), "-e", a.before.In(newYork).Format("2006-01-02T15:04:05")}
	a.attest(t, true, window...).want(t, 1, "invalid_ima_entry_nb")
	a.attest(t, false, window...).want(t, 0, "All agents were in attested state")
	// Upstream forgets the offset of a time, and so looks at another window.
	a.attest(t, false, "-e", a.before.In(time.FixedZone("", 3*3600)).Format(time.RFC3339)).want(t, 0)

	// Mistakes: the same exit codes, with a reason in place of a traceback.
	for _, args := range [][]string{{"-u", "nobody"}, {"-s", "yesterday"}, {"-e", "2020-01-01"}, {"nonsense"}, {"-u"}, {"-h"}} {
		theirs, ours := a.attest(t, true, args...), a.attest(t, false, args...)
		if theirs.code != ours.code || strings.Contains(ours.out+ours.err, "Traceback") {
			t.Errorf("%q: theirs %d, ours %d\n%s%s\nours:\n%s%s", args, theirs.code, ours.code, theirs.out, theirs.err, ours.out, ours.err)
		}
		if args[0] == "-h" && theirs.out[strings.Index(theirs.out, "usage:"):] != ours.out {
			t.Errorf("help: -theirs +ours\n%s", cmp.Diff(theirs.out, ours.out))
		}
	}
	// One agent without keys: upstream ends there, with 0, whatever else is bad.
	must(t, os.WriteFile(filepath.Join(store, "da_registration_cccc.json"), nil, 0o600))
	a.same(t, 0, false, "-u", "cccc")
	a.attest(t, false).want(t, 1, "Unable to assemble a list of AKs for the agent agent cccc", "failed attestation at some point in recorded history: "+strings.Join(a.ids, ","))
	// Nothing is configured.
	text, err := os.ReadFile(a.conf("registrar"))
	must(t, err)
	must(t, os.WriteFile(a.conf("registrar"), regexp.MustCompile(`(?m)^durable_attestation_import.*$`).ReplaceAll(text, []byte("durable_attestation_import =")), 0o600))
	for _, theirs := range []bool{true, false} {
		if r := a.attest(t, theirs).want(t, 0); len(verdicts(r.out)) > 0 {
			t.Errorf("verdicts without a store: %s", r.out)
		}
	}
}

// withoutEvents are verdicts without the ids of events.
func withoutEvents(lines []string) []string {
	for i, line := range lines {
		if before, _, found := strings.Cut(line, "): "); found {
			lines[i] = before
		}
	}
	return lines
}

// signedAttributes is what a record must keep that can be replayed. (With "all"
// the real verifier cannot write a record of an agent with TLS: its context does
// not let itself be copied.)
const signedAttributes = "agent_id,nonce,ak_tpm,tpm_policy,ima_sign_verification_keys,supported_version,attestation_count,accept_tpm_hash_algs," +
	"accept_tpm_encryption_algs,accept_tpm_signing_algs,public_key,verifier_id,verifier_ip,verifier_port,tpm_clockinfo,meta_data"

// TestDurableSigned: records that the real servers have signed for a
// transparency log: the signatures hold, and one letter changed breaks them.
func TestDurableSigned(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	a := attestBoth(t, settings{"durable_attestation_import": "keylime.da.examples.file", "persistent_store_url": "file://" + store + "?prefix=da",
		// A log that is not at port 3000 is not told; records are signed all the same.
		"transparency_log_url": "https://127.0.0.1:1", "verifier.signed_attributes": signedAttributes})
	r := a.ours(t, "replay", "-o", "json").want(t, 3, "records of attestations are signed with the key that is in them", "which covers the agent's attributes;",
		"records of registrations are signed", "whether the transparency log has the signature, was not checked")
	if strings.Contains(r.out, "record.signature") || !strings.Contains(r.out, "ima.not-in-policy") {
		t.Errorf("%s", r.out)
	}
	a.same(t, 1, false, "-u", a.ids[0])
	path := filepath.Join(store, "da_attestation_"+a.ids[0]+".json")
	change := fmt.Sprintf(`import base64, json
lines = open(%q, "rb").read().split(b"\n----\n")
for i, line in enumerate(lines):
    if line:
        stamp, record = line.split(b"--")
        record = json.loads(base64.b64decode(record))
        record["agent"]["meta_data"] += " "
        lines[i] = stamp + b"--" + base64.b64encode(json.dumps(record, indent=4).encode())
open(%q, "wb").write(b"\n----\n".join(lines))`, path, path)
	run(t, time.Minute, a.env(), a.dir, a.python(), "-c", change).want(t, 0)
	a.ours(t, "replay", a.ids[0], "-o", "json").want(t, 3, `"check": "record.signature"`)
	// What signed_attributes leaves out cannot be judged.
	run(t, time.Minute, a.env(), a.dir, a.python(), "-c", strings.Replace(change, `record["agent"]["meta_data"] += " "`, `del record["agent"]["nonce"]`, 1)).want(t, 0)
	a.ours(t, "replay", a.ids[0]).want(t, 3, "the record lacks nonce", "signed_attributes in verifier.conf")
}

// TestDurableRedis: the same on a real Redis server, with a password.
func TestDurableRedis(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	password := filepath.Join(dir, "redis.auth")
	must(t, os.WriteFile(password, []byte("geheim\n"), 0o600))
	server := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--requirepass", "geheim", "--save", "", "--dir", dir)
	must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	waitFor(t, 20*time.Second, "the Redis server", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for db, encoding := range []string{"", "base64"} {
		t.Run("encoding "+encoding, func(t *testing.T) {
			url := fmt.Sprintf("redis://127.0.0.1:%d?db=%d&password=%s&prefix=my*da", port, db, password)
			a := attestBoth(t, settings{"durable_attestation_import": "keylime.da.examples.redis", "persistent_store_url": url, "persistent_store_encoding": encoding})
			a.windows(t, false)
			a.ours(t, "replay", "--last").want(t, 3, "failed, since")
			wrong := strings.Replace(url, password, "falsch", 1)
			r := a.ours(t, "replay", "--store", wrong).want(t, 4, "the password in the address of the store is not the server's")
			if strings.Contains(r.out+r.err, "falsch") {
				t.Errorf("a password is shown: %s", r.err)
			}
		})
	}
}

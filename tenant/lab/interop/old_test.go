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

// oldRelease are servers of earlier years that a tenant may meet.
type oldRelease struct {
	version string
	// api is the newest version of the API that they speak.
	api string
	// boots: their measured-boot policy "example" knows what a boot log of today
	// holds. The older ones refuse it, whoever has sent the policy.
	boots bool
}

var oldReleases = []oldRelease{{"7.12.1", "2.3", true}, {"7.9.0", "2.1", true}, {"7.3.0", "2.1", false}, {"6.6.0", "2.1", false}}

// enoughOld is how many of them have to run for the test to say anything.
const enoughOld = 2

// oldInstallation installs an older release. why says what keeps it from
// running here: a release may not install with this Python any more, or not be
// importable, which is nothing that our code could mend.
func oldInstallation(t *testing.T, version string) (i installation, why string) {
	t.Helper()
	i = installed(t)
	setup := run(t, 10*time.Minute, os.Environ(), ".", "sh", "setup_old.sh", version)
	if setup.code != 0 {
		return i, "does not install: " + lastLine(setup.err)
	}
	i.dir = lastLine(setup.out)
	env := append(os.Environ(), "KEYLIME_DIR="+t.TempDir(), "PYTHONWARNINGS=ignore")
	for _, component := range []string{"verifier", "registrar", "tenant", "ca", "logging"} {
		env = append(env, "KEYLIME_"+strings.ToUpper(component)+"_CONFIG="+filepath.Join(i.dir, "conf", component+".conf"))
	}
	if r := run(t, time.Minute, env, i.dir, i.python(), "-c", "import keylime.cmd.verifier, keylime.cmd.registrar"); r.code != 0 {
		return i, "does not start: " + lastLine(r.err)
	}
	return i, ""
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// TestOldServers adds, looks at and deletes an agent with servers of earlier
// years, in both grammars. The table at the end says what became of each.
func TestOldServers(t *testing.T) {
	var table []string
	ran := 0
	for _, old := range oldReleases {
		outcome := ""
		t.Run(old.version, func(t *testing.T) {
			i, why := oldInstallation(t, old.version)
			if why != "" {
				outcome = why
				t.Log(why)
				return
			}
			outcome = "failed"
			walkOld(t, i.start(t, nil), old)
			outcome, ran = "add, status, update, policies, delete: as they should be", ran+1
		})
		table = append(table, fmt.Sprintf("%-8s API %s  %s", old.version, old.api, outcome))
	}
	t.Logf("older servers\n%s\n%d of %d ran", strings.Join(table, "\n"), ran, len(oldReleases))
	if ran < enoughOld {
		t.Errorf("only %d of %d older releases run here, and %d would be needed to say anything", ran, len(oldReleases), enoughOld)
	}
}

// walkOld does the main job with the servers of one release.
func walkOld(t *testing.T, k *keylime, old oldRelease) {
	t.Helper()
	api := old.api
	const id = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	agent := k.startAgent(t, id)
	payload := filepath.Join(k.dir, "payload.txt")
	must(t, os.WriteFile(payload, []byte("for old servers\n"), 0o600))

	k.ours(t, "-c", "regstatus", "-u", id).want(t, 0, "Using API version "+api+" for registrar communication", `"operational_state": "Registered"`)
	k.ours(t, "-c", "add", "-u", id, "-t", "127.0.0.1", "-f", payload, "--verify").want(t, 0,
		"Using API version "+api+" for verifier communication", "added to Verifier", "Successful key derivation")
	k.waitState(t, id, "Get Quote")
	waitFor(t, 20*time.Second, "the decrypted payload", func() bool {
		found := find(agent.dir, "decrypted_payload")
		text, err := os.ReadFile(found)
		return err == nil && string(text) == "for old servers\n"
	})
	k.ours(t, "-c", "status", "-u", id).want(t, 0, `"operational_state": "Registered"`, `"operational_state": "Get Quote"`)
	k.ours(t, "-c", "bulkinfo").want(t, 0, "INFO - Bulk Agent Info:", id)
	k.ours(t, "-c", "cvlist").want(t, 0, `{"uuids": [["`+id+`"]]}`)
	k.ours(t, "cvstatus", id, "-o", "json").want(t, 0, `"operational_state": "Get Quote"`)
	k.ours(t, "add", id).want(t, 7)

	// An update without a payload, then one with policies, which are enforced.
	k.ours(t, "update", id, "--targethost", "127.0.0.1", "--wait", "attested").want(t, 0)
	fixtures, err := filepath.Abs("../../../testdata/golden/fixtures")
	must(t, err)
	runtime, boot := filepath.Join(fixtures, "rp-good.json"), filepath.Join(fixtures, "mb-good.json")
	policies := []string{"-c", "update", "-u", id, "--runtime-policy", runtime}
	if old.boots {
		policies = append(policies, "--mb_refstate", boot)
	}
	k.ours(t, policies...).want(t, 0)
	waitFor(t, 30*time.Second, "a good quote by the policies", func() bool {
		record := agentRecord(t, k.ours(t, "-c", "cvstatus", "-u", id).want(t, 0).out, id)
		if record["has_mb_refstate"] == 1.0 != old.boots || record["has_runtime_policy"] != 1.0 {
			t.Fatalf("policies of the record: %v", record)
		}
		count, _ := record["attestation_count"].(float64)
		return count > 0
	})
	k.ours(t, "update", id, "--mb-policy", filepath.Join(fixtures, "mb-other.json"), "--wait", "attested").want(t, 3, "boot")
	k.ours(t, "-c", "addruntimepolicy", "--runtime-policy-name", "p1", "--runtime-policy", runtime).want(t, 0, "{'code': 201, 'status': 'Created', 'results': {}}")
	named := k.ours(t, "update", id, "--mb-policy-name", "web")
	if api == "2.1" {
		named.want(t, 2, "no measured-boot policies under a name")
	} else {
		named.want(t, 5)
	}
	k.ours(t, "-c", "delete", "-u", id, "-t", "127.0.0.1").want(t, 0, "INFO - Agent "+id+" deleted from the CV")
	k.ours(t, "-c", "cvstatus", "-u", id).want(t, 1, "does not have agent "+id)
	k.ours(t, "status", id).want(t, 5)
	k.ours(t, "-c", "regdelete", "-u", id).want(t, 0)
	k.ours(t, "regstatus", id).want(t, 5)
}

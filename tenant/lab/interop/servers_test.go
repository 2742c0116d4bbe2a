//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// labAgent is our lab agent, run by the built binary as a process of its own
// and registered with the real registrar.
type labAgent struct {
	id, dir string
	port    int
	cmd     *exec.Cmd
}

// startAgent starts `lab agent` against the real registrar and returns once
// it says that it is registered and activated.
func (k *keylime) startAgent(t *testing.T, id string, args ...string) *labAgent {
	t.Helper()
	a := &labAgent{id: id, dir: t.TempDir(), port: freePort(t)}
	argv := append([]string{"lab", "agent", "--dir", a.dir, "--uuid", id, "--port", strconv.Itoa(a.port),
		"--registrar", "127.0.0.1:" + strconv.Itoa(k.registrarPort),
		"--trusted-client-ca", filepath.Join(k.dir, "cv_ca/cacert.crt"),
		"--ek-ca", filepath.Join(k.certStore, "lab-ek-ca-"+id+".pem")}, args...)
	a.cmd = exec.Command(k.binary, argv...)
	a.cmd.Env = k.env()
	log, err := os.Create(filepath.Join(k.dir, "agent-"+id+".log"))
	must(t, err)
	a.cmd.Stderr = log
	out, err := a.cmd.StdoutPipe()
	must(t, err)
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, a.cmd.Start())
	t.Cleanup(func() {
		a.stop()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("lab agent %s:\n%s", id, tail(text, 4000))
		}
	})
	registered := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "registered") {
				registered <- true
			}
		}
		close(registered)
	}()
	select {
	case ok := <-registered:
		if !ok {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("lab agent ended before it was registered\n%s", tail(text, 4000))
		}
	case <-time.After(30 * time.Second):
		t.Fatal("lab agent was not registered within 30 s")
	}
	return a
}

func (a *labAgent) stop() {
	if a.cmd.ProcessState != nil {
		return
	}
	_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL) })
	_ = a.cmd.Wait()
	timer.Stop()
}

// agentRecord reads one agent's record from the last line that begins with
// '{', as the public test-suite of the old tool does.
func agentRecord(t *testing.T, out, id string) map[string]any {
	t.Helper()
	line := ""
	for _, l := range strings.Split(out, "\n") {
		if strings.HasPrefix(l, "{") {
			line = l
		}
	}
	var records map[string]map[string]any
	if err := json.Unmarshal([]byte(line), &records); err != nil {
		t.Fatalf("no agent record: %v in\n%s", err, out)
	}
	return records[id]
}

// waitState asks `-c cvstatus` until the state is reached.
func (k *keylime) waitState(t *testing.T, id, state string) map[string]any {
	t.Helper()
	var record map[string]any
	waitFor(t, 40*time.Second, "agent "+id+" in state "+state, func() bool {
		r := k.ours(t, "-c", "cvstatus", "-u", id)
		if r.code != 0 {
			return false
		}
		record = agentRecord(t, r.out, id)
		return record["operational_state"] == state
	})
	return record
}

// TestOurTenantOnRealServers walks the main job against the real registrar
// and verifier: our agent registers, our tenant adds it with a payload, it is
// attested, decrypts its payload, is listed, queried and deleted.
func TestOurTenantOnRealServers(t *testing.T) {
	k := startKeylime(t, nil)
	const id = "aaaaaaaa-0000-4000-8000-000000000001"
	agent := k.startAgent(t, id)
	payload := filepath.Join(k.dir, "payload.txt")
	must(t, os.WriteFile(payload, []byte("the payload of the interop test\n"), 0o600))

	k.ours(t, "-c", "add", "-u", id, "-t", "127.0.0.1", "-f", payload, "--verify").want(t, 0, "INFO - Agent "+id, "added to Verifier")
	k.waitState(t, id, "Get Quote")
	waitFor(t, 30*time.Second, "attestation_count above 0", func() bool {
		record := agentRecord(t, k.ours(t, "-c", "cvstatus", "-u", id).want(t, 0).out, id)
		count, _ := record["attestation_count"].(float64)
		return count > 0
	})
	var plain []byte
	waitFor(t, 20*time.Second, "the decrypted payload on the agent", func() bool {
		found := find(agent.dir, "decrypted_payload")
		if found == "" {
			return false
		}
		plain, _ = os.ReadFile(found)
		return len(plain) > 0
	})
	if string(plain) != "the payload of the interop test\n" {
		t.Fatalf("the agent decrypted %q", plain)
	}

	k.ours(t, "-c", "reglist").want(t, 0, `"uuids": [`, id)
	k.ours(t, "-c", "cvlist").want(t, 0, "{'code': 200, 'status': 'Success', 'results': {'uuids':", id)
	k.ours(t, "-c", "regstatus", "-u", id).want(t, 0, `"operational_state": "Registered"`)
	k.ours(t, "-c", "bulkinfo").want(t, 0, "INFO - Bulk Agent Info:", id)
	k.ours(t, "-c", "status", "-u", id).want(t, 0, `"operational_state": "Get Quote"`)
	k.ours(t, "cvstatus", id, "-o", "json").want(t, 0, id)
	k.ours(t, "status", id, "-o", "yaml").want(t, 0, id)
	k.ours(t, "add", id, "--targethost", "127.0.0.1").want(t, 7)
	k.ours(t, "-c", "update", "-u", id, "-t", "127.0.0.1").want(t, 0)
	k.waitState(t, id, "Get Quote")
	k.ours(t, "-c", "reactivate", "-u", id).want(t, 0, "re-activated")
	k.ours(t, "-c", "delete", "-u", id, "-t", "127.0.0.1").want(t, 0, "INFO - Agent "+id+" deleted from the CV")
	k.ours(t, "-c", "cvstatus", "-u", id).want(t, 1, "does not have agent "+id)
	k.ours(t, "cvstatus", id).want(t, 5)
	k.ours(t, "-c", "regdelete", "-u", id).want(t, 0)
	k.ours(t, "-c", "regstatus", "-u", id).want(t, 1, "does not exist on registrar")
}

// TestRealTenantOnOurLab is the other direction: the Python tenant 7.14.3
// against the lab's registrar, verifier and agent.
func TestRealTenantOnOurLab(t *testing.T) {
	i := installed(t)
	dir := t.TempDir()
	payload := filepath.Join(dir, "payload.txt")
	must(t, os.WriteFile(payload, []byte("from the Python tenant\n"), 0o600))
	// One script inside one lab, since `lab run` ends the lab with its command.
	script := filepath.Join(dir, "walk.sh")
	must(t, os.WriteFile(script, []byte(`set -eux
T="`+i.tool("keylime_tenant")+`"
export KEYLIME_LOGGING_CONFIG="`+filepath.Join(i.dir, "conf/logging.conf")+`" KEYLIME_CA_CONFIG="`+filepath.Join(i.dir, "conf/ca.conf")+`" KEYLIME_DIR="$LAB_DIR" PYTHONWARNINGS=ignore
"$T" -c reglist
"$T" -c regstatus -u "$LAB_AGENT"
"$T" -c add -u "$LAB_AGENT" -t 127.0.0.1 -f "`+payload+`" --verify
for n in 1 2 3 4 5 6 7 8 9 10; do "$T" -c cvstatus -u "$LAB_AGENT" > "`+dir+`/cvstatus.txt"; grep -q '"operational_state": "Get Quote"' "`+dir+`/cvstatus.txt" && break; sleep 1; done
cat "`+dir+`/cvstatus.txt"
"$T" -c cvlist
"$T" -c bulkinfo
"$T" -c delete -u "$LAB_AGENT" -t 127.0.0.1
! "$T" -c cvstatus -u "$LAB_AGENT"
"$T" -c regdelete -u "$LAB_AGENT"
echo walked to the end
`), 0o600))
	r := run(t, 3*time.Minute, os.Environ(), dir, i.binary, "lab", "run", "--", "sh", script)
	r.want(t, 0, "walked to the end", `"operational_state": "Registered"`, `"operational_state": "Get Quote"`, "deleted from the CV", "Successful key derivation")
}

func find(root, name string) string {
	found := ""
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = path
		}
		return nil
	})
	return found
}

//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

const oneshotTool = "keylime_oneshot_attestation"

// emulator is a swtpm, a TPM 2.0 of others, that has measured a recorded boot.
type emulator struct{ socket string }

// startEmulator runs swtpm for the time of the test.
func startEmulator(t *testing.T) *emulator {
	t.Helper()
	dir, err := os.MkdirTemp("", "swtpm") // paths of sockets are short
	must(t, err)
	e := &emulator{socket: filepath.Join(dir, "s")}
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+e.socket, "--flags", "not-need-init,startup-clear")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	waitFor(t, 20*time.Second, "swtpm listens", func() bool {
		_, err := os.Stat(e.socket)
		return err == nil
	})
	return e
}

// do speaks to the emulator by go-tpm, nothing of ours in between.
func (e *emulator) do(t *testing.T, what func(transport.TPM) error) {
	t.Helper()
	conn, err := net.Dial("unix", e.socket)
	must(t, err)
	defer conn.Close()
	must(t, what(transport.FromReadWriter(conn)))
}

// boot extends what a recorded boot and its list have extended, in bank sha256.
func (e *emulator) boot(t *testing.T, log, list []byte) {
	t.Helper()
	e.do(t, func(tpm transport.TPM) error {
		extend := func(pcr int, digest []byte) error {
			_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
				Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest}}}}.Execute(tpm)
			return err
		}
		parsed, err := eventlog.Parse(log)
		if err != nil {
			return err
		}
		for i := range parsed.Events {
			if event := &parsed.Events[i]; event.Type != eventlog.NoAction && event.Digest("sha256") != nil {
				if err := extend(event.PCR, event.Digest("sha256")); err != nil {
					return err
				}
			}
		}
		scanner := ima.NewScanner(bytes.NewReader(list))
		for scanner.Scan() {
			digest := sha256.Sum256(scanner.Entry().AppendTemplateData(nil))
			if err := extend(ima.PCR, digest[:]); err != nil {
				return err
			}
		}
		return scanner.Err()
	})
}

// empty fails if keys or sessions are left in the emulator, or persistent keys
// beside those named.
func (e *emulator) empty(t *testing.T, persistent ...tpm2.TPMHandle) {
	t.Helper()
	e.do(t, func(tpm transport.TPM) error {
		for kind, want := range map[uint32][]tpm2.TPMHandle{0x80000000: nil, 0x02000000: nil, 0x03000000: nil, 0x81000000: persistent} {
			capability, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: kind, PropertyCount: 100}.Execute(tpm)
			if err != nil {
				return err
			}
			handles, err := capability.CapabilityData.Data.Handles()
			if err != nil {
				return err
			}
			if !slices.Equal(handles.Handle, want) {
				return fmt.Errorf("handles %x are in the TPM, want %x", handles.Handle, want)
			}
		}
		return nil
	})
}

// oneshotWorld is the real verifier and an emulator that has booted.
type oneshotWorld struct {
	*keylime
	tpm              *emulator
	log, list        string
	files, boot, pcr string // policies that accept the machine
}

func newOneshotWorld(t *testing.T, extra settings) *oneshotWorld {
	t.Helper()
	w := &oneshotWorld{keylime: startKeylime(t, extra), tpm: startEmulator(t)}
	evidence, err := filepath.Abs("../../../testdata/evidence/sb-on")
	must(t, err)
	w.log, w.list = filepath.Join(evidence, "binary_bios_measurements"), filepath.Join(evidence, "ima_ascii.txt")
	w.files, w.boot, w.pcr = filepath.Join(w.dir, "files.json"), filepath.Join(w.dir, "boot.json"), filepath.Join(w.dir, "pcrs.json")
	log, err := os.ReadFile(w.log)
	must(t, err)
	list, err := os.ReadFile(w.list)
	must(t, err)
	w.tpm.boot(t, log, list)
	w.ours(t, "policy", "create", "runtime", "--ima-list", w.list, "--out", w.files).want(t, 0)
	w.ours(t, "policy", "create", "measured-boot", w.log, "--out", w.boot).want(t, 0)
	parsed, err := eventlog.Parse(log)
	must(t, err)
	values, err := parsed.Replay("sha256")
	must(t, err)
	w.write(t, w.pcr, fmt.Sprintf(`{"7": ["%x"], "23": ["%064d"], "mask": "0x80"}`, values[7], 0))
	return w
}

func (w *oneshotWorld) write(t *testing.T, path, content string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// tool runs the old tool against the real verifier.
func (w *oneshotWorld) tool(t *testing.T, args ...string) result {
	t.Helper()
	return w.ours(t, append([]string{oneshotTool, "--verifier-host", "127.0.0.1", "--verifier-port", strconv.Itoa(w.verifierPort),
		"--verifier-cacert", filepath.Join(w.dir, "cv_ca/cacert.crt"), "--tpm", "swtpm:path=" + w.tpm.socket, "--ima-log", w.list, "--boot-log", w.log}, args...)...)
}

// verb runs the verb against the real verifier, and reads what it says. The TPM
// is named by the environment.
func (w *oneshotWorld) verb(t *testing.T, code int, args ...string) tenant.OneshotResult {
	t.Helper()
	argv := append([]string{w.binary, "oneshot", "-o", "json", "--ima-log", w.list, "--boot-log", w.log}, args...)
	r := run(t, 2*time.Minute, append(w.env(), "TPM2TOOLS_TCTI=swtpm:path="+w.tpm.socket), w.dir, argv...).want(t, code)
	var said tenant.OneshotResult
	if err := json.Unmarshal([]byte(r.out), &said); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	return said
}

// TestOneshot: the real verifier's verdict on quotes of a real emulator, made
// without tpm2-tools: what it accepts and what it refuses is what is judged here,
// event by event.
func TestOneshot(t *testing.T) {
	w := newOneshotWorld(t, settings{"verifier.measured_boot_evaluate": "always"})
	all := []string{"--runtime-policy", w.files, "--mb-policy", w.boot, "--tpm-policy", w.pcr}

	t.Run("valid", func(t *testing.T) {
		for _, keys := range []string{"rsa", "ecc"} {
			r := w.tool(t, append(all, "--tpm-encryption-algorithm", keys)...).want(t, 0, "'valid': True", "Verifier HTTP Response Code: 200", "'failures': []")
			if r.out != "" || strings.Contains(r.err, "ERROR") {
				t.Errorf("%s%s", r.out, r.err)
			}
			said := w.verb(t, 0, append(all, "--tpm-encryption-algorithm", keys)...)
			if !said.Accepted || said.Verifier == nil || !said.Verifier.Valid || len(said.Findings) > 0 || len(said.Evidence.PCRs) != 17 {
				t.Errorf("%+v", said)
			}
			w.tpm.empty(t)
			checkedByTools(t, said)
		}
		for _, hash := range []string{"sha1", "sha384", "sha512"} { // other banks have measured nothing
			w.tool(t, "--tpm-policy", w.write(t, filepath.Join(w.dir, "zero.json"), fmt.Sprintf(`{"3": ["%s"]}`, strings.Repeat("0", len(hashOf[hash])))), "--tpm-hash-algorithm", hash).want(t, 0, "'valid': True")
		}
		// Each policy alone; upstream's own script has the verifier refuse the
		// last, as it quotes PCR 10 too.
		for i := 0; i < len(all); i += 2 {
			w.tool(t, all[i:i+2]...).want(t, 0, "'valid': True")
			w.verb(t, 0, all[i:i+2]...)
		}
		w.tpm.empty(t)
	})

	wrongPCR := w.write(t, filepath.Join(w.dir, "wrong.json"), fmt.Sprintf(`{"7": ["%064d"], "22": ["%064d"]}`, 1, 1))
	noFiles := filepath.Join(w.dir, "nofiles.json")
	var rules map[string]any
	text, err := os.ReadFile(w.files)
	must(t, err)
	must(t, json.Unmarshal(text, &rules))
	rules["digests"] = map[string]any{"/nothing": []string{strings.Repeat("ab", 32)}}
	spoilt, err := json.Marshal(rules)
	must(t, err)
	w.write(t, noFiles, string(spoilt))
	otherBoot := filepath.Join(w.dir, "otherboot.json")
	other, err := filepath.Abs("../../../testdata/evidence/sb-off/binary_bios_measurements")
	must(t, err)
	w.ours(t, "policy", "create", "measured-boot", "--without-secureboot", other, "--out", otherBoot).want(t, 0)

	for name, c := range map[string]struct {
		args  []string
		event string
	}{
		"PCRs":       {[]string{"--tpm-policy", wrongPCR}, "pcr_validation.invalid_pcr_7"},
		"files":      {[]string{"--runtime-policy", noFiles}, "ima.validation.ima-ng.not_in_allowlist"},
		"boot":       {[]string{"--mb-policy", otherBoot}, "measured_boot.policy_example"},
		"everything": {[]string{"--mb-policy", otherBoot, "--runtime-policy", noFiles, "--tpm-policy", wrongPCR}, "pcr_validation.invalid_pcr_22"},
		"ecc":        {[]string{"--tpm-policy", wrongPCR, "--tpm-encryption-algorithm", "ecc"}, "pcr_validation.invalid_pcr_22"},
	} {
		t.Run("refused "+name, func(t *testing.T) {
			w.tool(t, c.args...).want(t, 0, "'valid': False", "ERROR - "+c.event, "ERROR - the verifier refuses this machine")
			said := w.verb(t, 3, c.args...)
			if said.Accepted || said.Verifier.Valid {
				t.Fatalf("%+v", said)
			}
			var theirs, ours []string
			for _, f := range said.Verifier.Failures {
				theirs = append(theirs, f.EventID)
			}
			for _, f := range said.Findings {
				ours = append(ours, f.EventID)
			}
			slices.Sort(theirs)
			slices.Sort(ours)
			if theirs, ours = slices.Compact(theirs), slices.Compact(ours); !slices.Equal(theirs, ours) || !slices.Contains(ours, c.event) {
				t.Errorf("the verifier says %v, we %v, want %s", theirs, ours, c.event)
			}
			w.tpm.empty(t)
		})
	}

	// A list that is not that of the machine.
	t.Run("another list", func(t *testing.T) {
		text, err := os.ReadFile(w.list)
		must(t, err)
		lines := strings.SplitAfter(string(text), "\n")
		cut := w.write(t, filepath.Join(w.dir, "cut.txt"), strings.Join(lines[1:], ""))
		w.tool(t, "--runtime-policy", w.files, "--ima-log", cut).want(t, 0, "'valid': False", "ima.pcr_mismatch")
		if said := w.verb(t, 3, "--runtime-policy", w.files, "--ima-log", cut); said.Findings[0].EventID != "ima.pcr_mismatch" {
			t.Errorf("%+v", said.Findings)
		}
	})

	t.Run("EK and password that are there", func(t *testing.T) {
		const handle = tpm2.TPMHandle(0x81010001)
		w.tpm.do(t, func(tpm transport.TPM) error {
			made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.RSAEKTemplate)}.Execute(tpm)
			if err != nil {
				return err
			}
			if _, err := (tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, PersistentHandle: handle}).Execute(tpm); err != nil {
				return err
			}
			if _, err := (tpm2.FlushContext{FlushHandle: made.ObjectHandle}).Execute(tpm); err != nil {
				return err
			}
			_, err = tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHEndorsement, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("hush-hush")}}.Execute(tpm)
			return err
		})
		for _, args := range [][]string{nil, {"--ek-handle", "0x81010001"}} {
			args = append(slices.Clone(args), all...)
			r := w.tool(t, args...).want(t, 1, "--tpm-endorsement-pw")
			if strings.Contains(r.err, "'valid'") {
				t.Error("the verifier was asked")
			}
			w.tool(t, append(args, "--tpm-endorsement-pw", "hush-hush")...).want(t, 0, "'valid': True")
			r = w.tool(t, append(args, "--tpm-endorsement-pw", "file:"+w.write(t, filepath.Join(w.dir, "pw"), "hush-hush\n"), "--debug")...).want(t, 0, "'valid': True")
			if strings.Contains(r.out+r.err, "hush-hush") {
				t.Error("the password is shown")
			}
			w.tpm.empty(t, handle)
		}
		w.tool(t, append([]string{"--ek-handle", "81010005"}, all...)...).want(t, 1, "there is no key")
	})
}

// TestOneshotAbrmd: a quote by way of the real tpm2-abrmd on a bus of its own.
func TestOneshotAbrmd(t *testing.T) {
	i := installed(t)
	dir, err := os.MkdirTemp("", "abrmd") // paths of sockets are short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	start := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(dir, "bus"))
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			_ = cmd.Wait()
		})
		return cmd
	}
	tpm, address := filepath.Join(dir, "s"), "unix:path="+filepath.Join(dir, "bus")
	start("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+tpm, "--ctrl", "type=unixio,path="+tpm+".ctrl", "--flags", "not-need-init,startup-clear")
	start("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address="+address)
	for _, path := range []string{tpm + ".ctrl", filepath.Join(dir, "bus")} {
		waitFor(t, 20*time.Second, path, func() bool { _, err := os.Stat(path); return err == nil })
	}
	start("tpm2-abrmd", "--session", "--allow-root", "--tcti=swtpm:path="+tpm)
	demand := filepath.Join(dir, "pcrs.json")
	must(t, os.WriteFile(demand, []byte(fmt.Sprintf(`{"7": ["%064d"]}`, 0)), 0o600))
	argv := []string{i.binary, "oneshot", "--local", "--tpm-policy", demand, "-o", "json"}
	session := append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+address, "TPM2TOOLS_TCTI=tabrmd:bus_type=session")
	var r result
	waitFor(t, 20*time.Second, "tpm2-abrmd is on the bus", func() bool {
		r = run(t, time.Minute, session, dir, argv...)
		return r.code != 6
	})
	system := run(t, time.Minute, append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+address), dir, append(argv, "--tpm", "tabrmd:", "--tpm-encryption-algorithm", "ecc")...)
	for _, r := range []result{r, system} {
		var said tenant.OneshotResult
		if err := json.Unmarshal([]byte(r.want(t, 0).out), &said); err != nil || !said.Accepted {
			t.Fatalf("%v\n%s", err, r.out)
		}
		checkedByTools(t, said)
	}
}

// hashOf has, for each hash, as many characters as a digest of it in hex.
var hashOf = map[string]string{"sha1": strings.Repeat("x", 40), "sha384": strings.Repeat("x", 96), "sha512": strings.Repeat("x", 128)}

// checkedByTools has tpm2-tools check a quote that the verb has shown.
func checkedByTools(t *testing.T, said tenant.OneshotResult) {
	t.Helper()
	dir := t.TempDir()
	ak, err := base64.StdEncoding.DecodeString(said.TPM.AK)
	must(t, err)
	public, err := ek.ParsePublic(ak)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "ak.pem"), []byte(public.PEM), 0o600))
	for i, part := range strings.Split(strings.TrimPrefix(said.TPM.Quote, "r"), ":") {
		data, err := base64.StdEncoding.DecodeString(part)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, []string{"attest", "signature", "pcrs"}[i]), data, 0o600))
	}
	check := func(nonce string) result {
		return run(t, time.Minute, os.Environ(), dir, "tpm2_checkquote", "-u", "ak.pem", "-m", "attest", "-s", "signature", "-f", "pcrs", "-g", "sha256", "-q", hex.EncodeToString([]byte(nonce)))
	}
	check(said.TPM.Nonce).want(t, 0)
	if r := check("x" + said.TPM.Nonce[1:]); r.code == 0 {
		t.Error("tpm2_checkquote accepts any nonce: this proves nothing")
	}
}

// TestOneshotUnevaluated: a verifier as it is shipped evaluates no measured-boot
// policy without enrolment; here it is evaluated all the same.
func TestOneshotUnevaluated(t *testing.T) {
	w := newOneshotWorld(t, nil)
	otherBoot := filepath.Join(w.dir, "otherboot.json")
	other, err := filepath.Abs("../../../testdata/evidence/sb-off/binary_bios_measurements")
	must(t, err)
	w.ours(t, "policy", "create", "measured-boot", "--without-secureboot", other, "--out", otherBoot).want(t, 0)
	w.tool(t, "--mb-policy", otherBoot).want(t, 0, "'valid': True", "WARNING - the verifier accepts this machine, but here it is refused")
	if said := w.verb(t, 3, "--mb-policy", otherBoot); said.Accepted || !said.Verifier.Valid || len(said.Findings) == 0 {
		t.Errorf("%+v", said)
	}
	w.tool(t, "--runtime-policy", w.write(t, filepath.Join(w.dir, "none.json"), "{}")).want(t, 1, "runtime policy")

	// Why PCR 10 is left out without a runtime policy: with it the verifier
	// judges files by the empty policy, or misses the list.
	device, err := tpmdev.Open(t.Context(), "swtpm:path="+w.tpm.socket)
	must(t, err)
	defer device.Close()
	evidence, err := device.Attest(t.Context(), tpmdev.Request{Nonce: "abcdefghij", PCRs: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}})
	must(t, err)
	list, err := os.ReadFile(w.list)
	must(t, err)
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{filepath.Join(w.dir, "cv_ca/cacert.crt")}, Anonymous: true})
	must(t, err)
	conn, err := client.New(client.Config{Name: client.VerifierName, Host: "127.0.0.1", Port: w.verifierPort, TLS: material})
	must(t, err)
	defer conn.Close()
	b64 := base64.StdEncoding.EncodeToString
	for list, event := range map[string]string{string(list): "ima.validation.ima-ng.not_in_allowlist", "": "ima.pcr_mismatch"} {
		data := verifier.OneshotData{Quote: evidence.Quote, Nonce: "abcdefghij", HashAlg: "sha256", TPMEK: b64(evidence.EK), TPMAK: b64(evidence.AK), TPMPolicy: `{"mask": "0x0"}`, IMAList: list}
		verdict, _, err := verifier.New(conn).VerifyEvidence(t.Context(), data)
		must(t, err)
		if verdict.Valid || verdict.Failures[0].Type != event {
			t.Errorf("%+v, want %s", verdict, event)
		}
	}
}

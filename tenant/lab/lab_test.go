package lab_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/lab"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hand does by hand what a tenant does, over the wire.
type hand struct {
	t         *testing.T
	lab       *lab.Lab
	tls       *client.TLSMaterial
	registrar *registrar.Client
	verifier  *verifier.Client
}

const interval = 50 * time.Millisecond

func up(t *testing.T, o lab.Options) *hand {
	t.Helper()
	var log bytes.Buffer
	lines := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for line := range lines {
			log.WriteString(line + "\n")
		}
	}()
	o.Interval = interval
	o.Env = append(o.Env, "PATH="+os.Getenv("PATH"), "KEYLIME_AGENT_TPM_ENCRYPTION_ALG=ecc", "KEYLIME_AGENT_TPM_SIGNING_ALG=ecdsa")
	o.Log = func(line string) { lines <- line }
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		close(lines)
		<-done
		if t.Failed() {
			t.Log(log.String())
		}
	})
	h := &hand{t: t, lab: l}
	ca := filepath.Join(l.Dir(), "cv_ca")
	h.tls, err = client.LoadTLS(client.TLSFiles{CAFiles: []string{filepath.Join(ca, "cacert.crt")},
		CertFile: filepath.Join(ca, "client-cert.crt"), KeyFile: filepath.Join(ca, "client-private.pem"), CheckHostname: true})
	h.check(err)
	h.registrar = registrar.New(h.dial(client.RegistrarName, l.RegistrarAddr(), ""))
	h.verifier = verifier.New(h.dial(client.VerifierName, l.VerifierAddr(), ""))
	return h
}

func (h *hand) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) dial(name, addr, pin string) *client.Client {
	h.t.Helper()
	var port int
	host, text, _ := strings.Cut(addr, ":")
	_, err := fmt.Sscan(text, &port)
	h.check(err)
	c, err := client.New(client.Config{Name: name, Host: host, Port: port, TLS: h.tls, PinnedPEM: pin, Timeout: 10 * time.Second})
	h.check(err)
	h.t.Cleanup(c.Close)
	return c
}

// enrolment is what an agent is enrolled with.
type enrolment struct {
	mask      string
	tpmPolicy string // members of tpm_policy beside the mask, "" for none
	plain     []byte // payload
	boot      *string
	runtime   string // JSON
}

// add does what `keylime_tenant add` does, and returns the payload's key.
func (h *hand) add(id string, e enrolment) payload.Secret {
	h.t.Helper()
	ctx := h.t.Context()
	record, _, err := h.registrar.Agent(ctx, id)
	h.check(err)
	ak, err := base64.StdEncoding.DecodeString(record.AIKTPM)
	h.check(err)
	ekTPM, err := base64.StdEncoding.DecodeString(record.EKTPM)
	h.check(err)
	ekCert, err := base64.StdEncoding.DecodeString(*record.EKCert)
	h.check(err)
	store, err := ek.LoadStore(filepath.Join(h.lab.Dir(), "tpm_cert_store"))
	h.check(err)
	_, err = store.Verify(ekCert, ekTPM, ek.Options{Now: time.Now()})
	h.check(err)

	transport := h.dial(client.AgentName, fmt.Sprintf("%s:%d", *record.IP, *record.Port), *record.MTLSCert)
	_, err = transport.Negotiate(ctx)
	h.check(err)
	api := agent.New(transport)
	nonce, err := payload.NewChallenge(nil)
	h.check(err)
	q, _, err := api.IdentityQuote(ctx, nonce)
	h.check(err)
	verified, err := quote.Verify(quote.Untrusted{Quote: q.Quote, HashAlg: q.HashAlg, EncAlg: q.EncAlg, SignAlg: q.SignAlg, TransportKeyPEM: q.PubKeyPEM},
		quote.Expect{AK: ak, Nonce: nonce, BindTransportKey: true})
	h.check(err)

	keys, err := payload.NewKeys(nil)
	h.check(err)
	sealedU, err := payload.SealShare(keys.U, verified.TransportKeyPEM(), nil)
	h.check(err)
	u := agent.UKeyRequest{EncryptedKey: sealedU, AuthTag: payload.AuthTag(keys.K, id)}
	if e.plain != nil {
		sealed, err := payload.Seal(keys.K, e.plain, nil)
		h.check(err)
		u.Payload = &sealed
	}
	_, err = api.PostU(ctx, u)
	h.check(err)

	v := verifier.KeyShare(base64.StdEncoding.EncodeToString(keys.V.Bytes()))
	port := verifier.Port(*record.Port)
	policy := `{"mask": "` + e.mask + `"}`
	if e.tpmPolicy != "" {
		policy = "{" + e.tpmPolicy + `, "mask": "` + e.mask + `"}`
	}
	request := verifier.AddRequest{V: &v, CloudagentIP: record.IP, CloudagentPort: &port, TPMPolicy: policy, Metadata: "{}",
		RuntimePolicy: base64.StdEncoding.EncodeToString([]byte(e.runtime)), MBPolicy: e.boot,
		AcceptTPMHashAlgs: []string{"sha256"}, AcceptTPMEncryptionAlgs: []string{"ecc", "rsa"}, AcceptTPMSigningAlgs: []string{"ecdsa", "rsassa"},
		AKTPM: record.AIKTPM, MTLSCert: record.MTLSCert, SupportedVersion: transport.Version().String()}
	_, err = h.verifier.Add(ctx, id, request)
	h.check(err)
	return keys.K
}

// wait waits until the record of an agent is as wanted.
func (h *hand) wait(id, what string, good func(*verifier.Agent) bool) *verifier.Agent {
	h.t.Helper()
	var last *verifier.Agent
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		record, _, err := h.verifier.Agent(h.t.Context(), id)
		h.check(err)
		if good(record) {
			return record
		}
		last = record
	}
	event := "none"
	if last.LastEventID != nil {
		event = *last.LastEventID
	}
	h.t.Fatalf("agent %s: never %s; it is in state %s, last event %s, %d good quotes", id, what, last.State, event, last.AttestationCount)
	return nil
}

func (h *hand) attested(id string, quotes int) *verifier.Agent {
	h.t.Helper()
	return h.wait(id, "attested", func(a *verifier.Agent) bool { return a.State == verifier.GetQuote && a.AttestationCount >= quotes })
}

func (h *hand) refused(id, event string) {
	h.t.Helper()
	record := h.wait(id, "refused", func(a *verifier.Agent) bool {
		return a.State == verifier.InvalidQuote || a.State == verifier.Failed
	})
	if record.State != verifier.InvalidQuote || record.LastEventID == nil || *record.LastEventID != event || *record.SeverityLevel != 6 || record.AttestationStatus != "FAIL" {
		h.t.Errorf("state %s, event %v, want %s", record.State, deref(record.LastEventID), event)
	}
}

func deref(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

func (h *hand) tamper(t lab.Tampering) {
	h.t.Helper()
	done, err := lab.Tamper(h.t.Context(), h.lab.Dir(), t)
	h.check(err)
	if done == "" {
		h.t.Error("nothing is said about what was done")
	}
}

func (h *hand) remove(id string) {
	h.t.Helper()
	_, _, err := h.verifier.Delete(h.t.Context(), id)
	h.check(err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, _, err := h.verifier.Agent(h.t.Context(), id)
		if client.KindOf(err) == client.NotFound {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("agent %s is still there: %v", id, err)
		}
	}
}

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// eventually waits until a file is there, and returns its content.
func eventually(t *testing.T, path string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			return string(text)
		}
	}
	t.Fatalf("%s never came", path)
	return ""
}

const zero = "0000000000000000000000000000000000000000000000000000000000000000"

// TestWholeLab walks the main job: register, add with a payload, be attested,
// run the script, be tampered with, be refused, be deleted.
func TestWholeLab(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Log("payload scripts need sh")
	}
	h := up(t, lab.Options{Agents: 2})
	infos := h.lab.Agents()
	if len(infos) != 2 || infos[0].ID != "d432fbb3-d2f1-4a97-9ef7-75bd81c00000" || infos[1].ID != "d432fbb3-d2f1-4a97-9ef7-75bd81c00001" {
		t.Fatalf("agents %+v", infos)
	}
	id := infos[1].ID
	ids, _, err := h.registrar.Agents(t.Context())
	h.check(err)
	if len(ids) != 2 {
		t.Errorf("registered: %q", ids)
	}
	archive := zipped(t, map[string]string{"autorun.sh": "#!/bin/sh\ncat data/greeting > proof\n", "data/greeting": "hello from the payload\n"})
	key := h.add(id, enrolment{mask: "0x800000", tpmPolicy: `"23": ["` + zero + `"]`, plain: archive})
	record := h.attested(id, 2)
	if record.HashAlg != "sha256" || record.EncAlg != "ecc256" || record.SignAlg != "ecdsa" || record.LastEventID != nil || record.AttestationStatus != "PASS" {
		t.Errorf("record %+v", record.Record)
	}
	unzipped := filepath.Join(infos[1].Dir, "secure", "unzipped")
	if got := eventually(t, filepath.Join(unzipped, "proof")); got != "hello from the payload\n" {
		t.Errorf("the script wrote %q", got)
	}
	if got := eventually(t, filepath.Join(unzipped, "decrypted_payload")); got != string(archive) {
		t.Errorf("the decrypted payload has %d bytes", len(got))
	}
	if got := eventually(t, filepath.Join(unzipped, "derived_tci_key")); got != string(key.Bytes()) {
		t.Error("the derived key is another one")
	}
	list, _, err := h.verifier.Agents(t.Context(), "")
	h.check(err)
	bulk, _, err := h.verifier.Bulk(t.Context(), "default")
	h.check(err)
	if len(list) != 1 || len(bulk) != 1 || bulk[0].ID != id || !bytes.HasPrefix(bulk[0].Raw, []byte(`{"operational_state": 3, `)) {
		t.Errorf("list %q, bulk %v", list, bulk)
	}
	pcr := 23
	h.tamper(lab.Tampering{Agent: id, PCR: &pcr})
	h.refused(id, "pcr_validation.invalid_pcr_23")
	h.remove(id)
	list, _, err = h.verifier.Agents(t.Context(), "")
	h.check(err)
	if len(list) != 0 {
		t.Errorf("after deletion: %q", list)
	}
	dir := h.lab.Dir()
	h.check(h.lab.Close())
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

// bootPolicy is the policy for what the agent has booted.
func (h *hand) bootPolicy(dir string) *string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "binary_bios_measurements"))
	h.check(err)
	log, err := eventlog.Parse(data)
	h.check(err)
	policy, err := measuredboot.Create(log, measuredboot.CreateOptions{})
	h.check(err)
	s := string(policy.Marshal())
	return &s
}

// runtimePolicy allows what the agent's IMA list shows, but for boot_aggregate,
// which the boot log vouches for.
func (h *hand) runtimePolicy(dir string) string {
	h.t.Helper()
	list, err := os.ReadFile(filepath.Join(dir, "ascii_runtime_measurements"))
	h.check(err)
	var digests []string
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) == 5 && fields[4] != "boot_aggregate" {
			digests = append(digests, fmt.Sprintf("%q: [%q]", fields[4], strings.TrimPrefix(fields[3], "sha256:")))
		}
	}
	return `{"meta": {"version": 1, "generator": 2}, "release": 0, "digests": {` + strings.Join(digests, ", ") +
		`}, "excludes": ["/tmp/.*"], "keyrings": {}, "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`
}

// TestPoliciesAreEvaluated enrols one agent after the other with boot and
// runtime policies, changes one thing, and wants the very event.
func TestPoliciesAreEvaluated(t *testing.T) {
	t.Parallel()
	const mask = "0xffff"
	pcr4 := 4
	for name, c := range map[string]struct {
		change lab.Tampering
		event  string // "" for one that is to go on
	}{
		"an unknown file":         {lab.Tampering{Run: "/usr/local/bin/unknown"}, "ima.validation.ima-ng.not_in_allowlist"},
		"an excluded file":        {lab.Tampering{Run: "/tmp/whatever"}, ""},
		"a register behind a log": {lab.Tampering{PCR: &pcr4}, "measured_boot.invalid_pcr_4"},
		"PCR 10 behind the list":  {lab.Tampering{PCR: ten()}, "ima.pcr_mismatch"},
		"another command line":    {lab.Tampering{Boot: &lab.Boot{CommandLine: "init=/bin/sh"}}, "measured_boot.policy_example"},
		"no Secure Boot":          {lab.Tampering{Boot: &lab.Boot{SecureBootOff: true}}, "measured_boot.policy_example"},
		"an ordinary reboot":      {lab.Tampering{Boot: &lab.Boot{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := up(t, lab.Options{})
			info := h.lab.Agents()[0]
			h.add(info.ID, enrolment{mask: mask, boot: h.bootPolicy(info.Dir), runtime: h.runtimePolicy(info.Dir)})
			before := h.attested(info.ID, 2)
			if before.HasMBRefstate != 1 || before.HasRuntimePolicy != 1 {
				t.Errorf("record %+v", before.Record)
			}
			h.tamper(c.change)
			if c.event == "" {
				record, _, err := h.verifier.Agent(t.Context(), info.ID)
				h.check(err)
				h.attested(info.ID, record.AttestationCount+3)
				return
			}
			h.refused(info.ID, c.event)
		})
	}
}

func ten() *int { n := 10; return &n }

// TestStopAndRestart: an agent that is off is tried again, and found again.
func TestStopAndRestart(t *testing.T) {
	t.Parallel()
	h := up(t, lab.Options{})
	info := h.lab.Agents()[0]
	h.add(info.ID, enrolment{mask: "0x0"})
	h.attested(info.ID, 1)
	h.tamper(lab.Tampering{Restart: true})
	record, _, err := h.verifier.Agent(t.Context(), info.ID)
	h.check(err)
	h.attested(info.ID, record.AttestationCount+2)
	h.tamper(lab.Tampering{Stop: true})
	last := h.wait(info.ID, "failed", func(a *verifier.Agent) bool { return a.State == verifier.Failed })
	if deref(last.LastEventID) != "internal.verifier.not_reachable" {
		t.Errorf("event %s", deref(last.LastEventID))
	}
	h.tamper(lab.Tampering{Restart: true})
	_, err = h.verifier.Reactivate(t.Context(), info.ID)
	h.check(err)
	h.attested(info.ID, last.AttestationCount+2)
}

// TestTakenUpAgain: a lab in a directory of its own survives its end.
func TestTakenUpAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name-", 9)) // too long for a socket
	first := up(t, lab.Options{Dir: dir})
	info := first.lab.Agents()[0]
	first.add(info.ID, enrolment{mask: "0x0"})
	count := first.attested(info.ID, 1).AttestationCount
	if _, err := lab.Up(t.Context(), lab.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), lab.ErrRunning.Error()) {
		t.Errorf("a second lab in the directory: %v", err)
	}
	first.tamper(lab.Tampering{PCR: func() *int { n := 23; return &n }()})
	first.check(first.lab.Close())
	if _, err := lab.Tamper(t.Context(), dir, lab.Tampering{Stop: true}); err == nil {
		t.Error("a lab that has ended was tampered with")
	}
	again := up(t, lab.Options{Dir: dir})
	if got := again.lab.Agents()[0]; got != info {
		t.Errorf("agent %+v, before %+v", got, info)
	}
	again.attested(info.ID, count+1)
	record, _, err := again.registrar.Agent(t.Context(), info.ID)
	again.check(err)
	if record.RegCount != 2 {
		t.Errorf("registered %d times", record.RegCount)
	}
}

// TestDropIns: an agent obeys its drop-ins, in lexical order.
func TestDropIns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "agent-1", "agent.conf.d")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"10-first.conf": "[agent]\nuuid = \"first\"\nenc_keyname = \"the-key\"\n",
		"20-then.conf":  "[agent]\nuuid = \"hash_ek\"\nextract_payload_zip = false\npayload_script = \"\"\n",
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := up(t, lab.Options{Dir: dir})
	info := h.lab.Agents()[0]
	if raw, err := hex.DecodeString(info.ID); err != nil || len(raw) != 32 {
		t.Errorf("id %q is no hash", info.ID)
	}
	key := h.add(info.ID, enrolment{mask: "0x0", plain: []byte("no zip\n")})
	if got := eventually(t, filepath.Join(info.Dir, "secure", "unzipped", "the-key")); got != string(key.Bytes()) {
		t.Error("another key")
	}
	if got := eventually(t, filepath.Join(info.Dir, "secure", "unzipped", "decrypted_payload")); got != "no zip\n" {
		t.Errorf("payload %q", got)
	}
}

func TestTamperRefuses(t *testing.T) {
	t.Parallel()
	h := up(t, lab.Options{})
	n := 99
	for name, change := range map[string]lab.Tampering{
		"nothing":       {},
		"two things":    {Stop: true, Restart: true},
		"no such agent": {Agent: "nobody", Stop: true},
		"no such PCR":   {PCR: &n},
		"no evidence":   {Boot: &lab.Boot{Dir: t.TempDir()}},
		"two boots":     {Boot: &lab.Boot{CommandLine: "quiet", SecureBootOff: true}},
		"a directory":   {Run: t.TempDir()},
	} {
		if said, err := lab.Tamper(t.Context(), h.lab.Dir(), change); err == nil {
			t.Errorf("%s: %s", name, said)
		}
	}
	if _, err := lab.Tamper(t.Context(), t.TempDir(), lab.Tampering{Stop: true}); err == nil {
		t.Error("a directory without a lab was tampered with")
	}
}

func TestUpRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "agent-1", "agent.conf.d")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf, "1.conf"), []byte("[agent]\nserver_key = \"relative.pem\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Up(context.Background(), lab.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "1.conf: option server_key") {
		t.Errorf("relative server_key: %v", err)
	}
	if _, err := lab.Up(context.Background(), lab.Options{EvidenceDir: t.TempDir()}); err == nil {
		t.Error("agents booted from nothing")
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	h := up(t, lab.Options{Agents: -1})
	env, err := h.lab.Env([]string{"PATH=/bin", "HOME=/root", "KEYLIME_TENANT_VERIFIER_PORT=1", "KEYLIME_TENANT_REQUEST_TIMEOUT=3", "LAB_DIR=/old"}, os.Args[0])
	h.check(err)
	got := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		got[name] = value
	}
	dir := h.lab.Dir()
	for name, want := range map[string]string{
		"HOME": "/root", "LAB_DIR": dir, "KEYLIME_DIR": dir, "KEYLIME_TENANT_CONFIG": filepath.Join(dir, "tenant.conf"), "KEYLIME_TENANT_REQUEST_TIMEOUT": "3",
		"PATH": filepath.Join(dir, "bin") + string(filepath.ListSeparator) + "/bin", "LAB_AGENT": "", "LAB_AGENTS": "",
	} {
		if got[name] != want {
			t.Errorf("%s=%s, want %s", name, got[name], want)
		}
	}
	if value, there := got["KEYLIME_TENANT_VERIFIER_PORT"]; there {
		t.Errorf("the port of another verifier is still there: %s", value)
	}
	if info, err := os.Stat(filepath.Join(dir, "bin", "keylime_tenant")); err != nil || info.Size() == 0 {
		t.Errorf("the program is not in PATH: %v", err)
	}
}

package tenant_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

// oneshotMachine is a machine that has booted, and a verifier that says what it
// is told to.
type oneshotMachine struct {
	tenant.Oneshot
	logs     tenant.MachineEvidence
	opened   int
	closed   int
	spoil    func(*tpmdev.Evidence)
	asked    []verifier.OneshotData
	verdict  verifier.OneshotVerdict
	err      error
	speaks   client.Negotiation
	device   *softtpm.Device
	negotErr error
}

func newOneshotMachine(t *testing.T) *oneshotMachine {
	t.Helper()
	boot, err := recorded.Named(recorded.SecureBoot)
	if err != nil {
		t.Fatal(err)
	}
	soft, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.NewMachine(soft, boot, ""); err != nil {
		t.Fatal(err)
	}
	m := &oneshotMachine{logs: tenant.MachineEvidence{Origin: "this machine", BootLog: boot.Log, IMAList: boot.IMA, BootLogFile: "log", IMAListFile: "list"},
		verdict: verifier.OneshotVerdict{Valid: true}, speaks: client.Negotiation{Version: client.Current()}, device: softtpm.NewDevice(soft, softtpm.DeviceOptions{})}
	m.Verifier, m.Conn = m, m
	m.OpenTPM = func(context.Context) (tenant.Quoter, func() error, error) {
		m.opened++
		return m, func() error { m.closed++; return nil }, nil
	}
	m.Logs = func(files, boot bool) (*tenant.MachineEvidence, error) {
		logs := m.logs
		if !files {
			logs.IMAList = nil
		}
		if !boot {
			logs.BootLog = nil
		}
		return &logs, nil
	}
	return m
}

func (m *oneshotMachine) Name() string { return "soft" }
func (m *oneshotMachine) Addr() string { return "127.0.0.1:1" }

func (m *oneshotMachine) Attest(ctx context.Context, r tpmdev.Request) (*tpmdev.Evidence, error) {
	e, err := tpmdev.Over(m.device, "soft").Attest(ctx, r)
	if err == nil && m.spoil != nil {
		m.spoil(e)
	}
	return e, err
}

func (m *oneshotMachine) Negotiate(context.Context) (client.Negotiation, error) {
	return m.speaks, m.negotErr
}

func (m *oneshotMachine) VerifyEvidence(_ context.Context, data verifier.OneshotData) (*verifier.OneshotVerdict, *client.Reply, error) {
	m.asked = append(m.asked, data)
	if m.err != nil {
		return nil, nil, m.err
	}
	return &m.verdict, &client.Reply{HTTP: 200}, nil
}

// allowing are policies that accept the machine.
func allowing(t *testing.T, m *oneshotMachine) tenant.OneshotRequest {
	t.Helper()
	log, err := eventlog.Parse(m.logs.BootLog)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := measuredboot.Create(log, measuredboot.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tenant.OneshotRequest{TPM: tpmdev.Request{Keys: "ecc"},
		MBPolicy:      &tenant.Input{Name: "boot.json", Content: boot.Marshal()},
		RuntimePolicy: &tenant.Input{Name: "files.json", Content: oneshotFilesPolicy(t, m.logs.IMAList)},
		TPMPolicy:     &tenant.Input{Name: "pcrs.json", Content: []byte(`{"mask": "0x1", "23": ["` + strings.Repeat("0", 64) + `"]}`)}}
}

// oneshotFilesPolicy is a runtime policy that allows all of a list.
func oneshotFilesPolicy(t *testing.T, list []byte) []byte {
	t.Helper()
	digests := map[string][]string{}
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		_, digest, _ := strings.Cut(fields[3], ":")
		path := strings.Join(fields[4:], " ")
		digests[path] = append(digests[path], digest)
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]any{"version": 1, "generator": 3}, "release": 0, "digests": digests, "excludes": []string{}, "keyrings": map[string]any{},
		"ima": map[string]any{"ignored_keyrings": []string{}, "log_hash_alg": "sha1", "dm_policy": nil}, "ima-buf": map[string]any{}, "verification-keys": ""})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOneshotAccepted: what is sent, and what is said of a machine that is well.
func TestOneshotAccepted(t *testing.T) {
	t.Parallel()
	m := newOneshotMachine(t)
	r := allowing(t, m)
	result, err := m.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Accepted || result.Refusal() != "" || len(result.Findings) > 0 || !result.Verifier.Valid || m.opened != 1 || m.closed != 1 || len(m.asked) != 1 {
		t.Fatalf("%+v, opened %d, closed %d, asked %d times", result, m.opened, m.closed, len(m.asked))
	}
	sent := m.asked[0]
	ak, err := base64.StdEncoding.DecodeString(sent.TPMAK)
	if err != nil {
		t.Fatal(err)
	}
	v, err := quote.Verify(quote.Untrusted{Quote: sent.Quote, HashAlg: sent.HashAlg}, quote.Expect{AK: ak, Nonce: sent.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 23}; !slices.Equal(v.PCRs(), want) || len(sent.Nonce) != 20 {
		t.Errorf("quoted are %v, the nonce is %q", v.PCRs(), sent.Nonce)
	}
	if sent.IMAList != string(m.logs.IMAList) || sent.MBLog != base64.StdEncoding.EncodeToString(m.logs.BootLog) || sent.RuntimePolicy != string(r.RuntimePolicy.Content) ||
		sent.MBPolicy != string(r.MBPolicy.Content) || !json.Valid([]byte(sent.TPMPolicy)) || !strings.Contains(sent.TPMPolicy, `"23"`) {
		t.Errorf("%.300v", sent)
	}
	for i, part := range []string{tenant.PartQuote, tenant.PartFiles, tenant.PartLog, tenant.PartTPM, tenant.PartBoot} {
		if c := result.Checks[i]; c.Name != part || c.Outcome != tenant.CheckPassed || !c.Proven {
			t.Errorf("%+v, want %s", c, part)
		}
	}
	if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "whether the verifier has evaluated") {
		t.Errorf("%q", result.Notes)
	}
	if keys, sessions := m.device.Held(); keys+sessions > 0 {
		t.Errorf("%d keys and %d sessions are left", keys, sessions)
	}

	// Without a runtime policy PCR 10 is no matter, and the lists stay here.
	m = newOneshotMachine(t)
	r = tenant.OneshotRequest{TPM: r.TPM, TPMPolicy: r.TPMPolicy}
	if result, err = m.Run(context.Background(), r); err != nil || !result.Accepted {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, quoted := result.Evidence.PCRs["10"]; quoted || len(result.Evidence.PCRs) != 16 || m.asked[0].IMAList != "" || m.asked[0].MBLog != "" || m.asked[0].RuntimePolicy != "" {
		t.Errorf("%v, %.200v", result.Evidence.PCRs, m.asked[0])
	}
	for _, c := range result.Checks {
		if (c.Name == tenant.PartFiles || c.Name == tenant.PartBoot || c.Name == tenant.PartLog) && (c.Outcome != tenant.CheckNotDemanded || !strings.HasSuffix(c.Detail, "policy is given")) {
			t.Errorf("%+v", c)
		}
	}

	// Nobody is asked where nobody is to be.
	m = newOneshotMachine(t)
	m.Verifier, m.Conn = nil, nil
	if result, err = m.Run(context.Background(), r); err != nil || !result.Accepted || result.Verifier != nil {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestOneshotRefused: who refuses, and why, in each combination.
func TestOneshotRefused(t *testing.T) {
	t.Parallel()
	failure := verifier.OneshotVerdict{Failures: []verifier.OneshotFailure{{Type: "pcr_validation.invalid_pcr_23", Context: json.RawMessage(`{"got": "00"}`)}, {Type: "x"}}}
	spoil := func(r *tenant.OneshotRequest) {
		r.TPMPolicy = &tenant.Input{Name: "pcrs.json", Content: []byte(`{"23": ["` + strings.Repeat("1", 64) + `"]}`)}
	}
	for name, c := range map[string]struct {
		verdict verifier.OneshotVerdict
		local   bool
		change  func(*tenant.OneshotRequest)
		checks  []string
		refusal string
	}{
		"by the verifier":           {failure, false, nil, nil, "the verifier refuses this machine: PCR 23 does not have a value that tpm_policy accepts; 1 more"},
		"by the verifier, silently": {verifier.OneshotVerdict{}, false, nil, nil, "the verifier refuses this machine, and does not say why"},
		"by both":                   {failure, false, spoil, []string{"tpm-policy.pcr"}, "the verifier refuses this machine: PCR 23 does not have a value that tpm_policy accepts; 1 more"},
		"here":                      {verifier.OneshotVerdict{Valid: true}, false, spoil, []string{"tpm-policy.pcr"}, "the verifier accepts this machine, but here it is refused: PCR 23 does not have a value that tpm_policy accepts"},
		"here alone":                {verifier.OneshotVerdict{}, true, spoil, []string{"tpm-policy.pcr"}, "this machine is refused: PCR 23 does not have a value that tpm_policy accepts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newOneshotMachine(t)
			r := allowing(t, m)
			m.verdict = c.verdict
			if c.local {
				m.Verifier, m.Conn = nil, nil
			}
			if c.change != nil {
				c.change(&r)
			}
			result, err := m.Run(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			var checks []string
			for _, f := range result.Findings {
				checks = append(checks, f.Check)
				if f.Command != nil || !strings.Contains(f.Remedy, "put it into pcrs.json") {
					t.Errorf("%+v", f)
				}
			}
			if result.Accepted || result.Refusal() != c.refusal || !slices.Equal(checks, c.checks) {
				t.Errorf("%v, %q, %v", result.Accepted, result.Refusal(), checks)
			}
			if v := result.Verifier; v != nil && len(v.Failures) > 0 && (v.Failures[0].EventID != "pcr_validation.invalid_pcr_23" || v.Failures[0].Words == "" || string(v.Failures[0].Context) != `{"got": "00"}`) {
				t.Errorf("%+v", v)
			}
		})
	}
	// What a machine shows is judged, not what it says of itself.
	m := newOneshotMachine(t)
	r := allowing(t, m)
	lines := bytes.SplitAfter(m.logs.IMAList, []byte("\n"))
	m.logs.IMAList = bytes.Join(lines[1:], nil)
	result, err := m.Run(context.Background(), r)
	if err != nil || result.Accepted || result.Findings[0].EventID != "ima.pcr_mismatch" {
		t.Errorf("%+v, %v", result, err)
	}
	m = newOneshotMachine(t)
	other, err := os.ReadFile(filepath.Join("../testdata/evidence/sb-on-cmdline-changed", tenant.FileBootLog))
	if err != nil {
		t.Fatal(err)
	}
	m.logs.BootLog = other
	result, err = m.Run(context.Background(), r)
	if err != nil || result.Accepted || !strings.HasPrefix(result.Findings[0].EventID, "measured_boot.") {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestOneshotErrors: what is refused before the verifier is asked, each for its
// own reason; the TPM is not touched for what can be seen without it.
func TestOneshotErrors(t *testing.T) {
	t.Parallel()
	in := func(text string) *tenant.Input { return &tenant.Input{Name: "f", Content: []byte(text)} }
	invalid := func(kind tenant.InvalidKind) func(error) bool {
		return func(err error) bool {
			var e *tenant.InvalidError
			return errors.As(err, &e) && e.Kind == kind
		}
	}
	step := func(text string) func(error) bool {
		return func(err error) bool {
			var e *tenant.StepError
			return errors.As(err, &e) && e.Step == tenant.StepOneshot && strings.Contains(err.Error(), text)
		}
	}
	check := func(want quote.Check) func(error) bool {
		return func(err error) bool {
			var e *quote.VerificationError
			return errors.As(err, &e) && e.Check == want
		}
	}
	unreachable := &client.Error{Kind: client.Unreachable, Server: "verifier", Err: errors.New("nobody there")}
	for name, c := range map[string]struct {
		change      func(*oneshotMachine, *tenant.OneshotRequest)
		want        func(error) bool
		opens, asks int
	}{
		"no policy": {func(_ *oneshotMachine, r *tenant.OneshotRequest) {
			r.MBPolicy, r.RuntimePolicy, r.TPMPolicy = nil, in(" \n"), in("")
		},
			invalid(tenant.MissingPolicy), 0, 0},
		"tpm_policy":      {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.TPMPolicy = in(`{"23": 7}`) }, invalid(tenant.InvalidTPMPolicy), 0, 0},
		"tpm_policy text": {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.TPMPolicy = in(`{`) }, invalid(tenant.InvalidTPMPolicy), 0, 0},
		"PCR 10": {func(_ *oneshotMachine, r *tenant.OneshotRequest) {
			r.TPMPolicy = in(`{"10": "` + strings.Repeat("0", 64) + `"}`)
		}, invalid(tenant.InvalidPCRNumber), 0, 0},
		"runtime policy": {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.RuntimePolicy = in(`{}`) }, invalid(tenant.InvalidRuntimePolicy), 0, 0},
		"boot policy":    {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.MBPolicy = in(`{"a": 1}`) }, invalid(tenant.InvalidMBPolicy), 0, 0},
		"no IMA list":    {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.logs.IMAList = nil }, invalid(tenant.InvalidFile), 0, 0},
		"no boot log":    {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.logs.BootLog = nil }, invalid(tenant.InvalidFile), 0, 0},
		"no UTF-8":       {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.logs.IMAList = []byte("10 \xff\n") }, invalid(tenant.InvalidFile), 0, 0},
		"lists": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.Logs = func(bool, bool) (*tenant.MachineEvidence, error) { return nil, os.ErrPermission }
		}, func(err error) bool { return errors.Is(err, os.ErrPermission) }, 0, 0},
		"old verifier": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.speaks.Version = client.Version{Major: 2, Minor: 3}
		}, step("came with 2.4"), 0, 0},
		"verifier away":     {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.speaks.Err = unreachable }, step("nobody there"), 0, 0},
		"no common version": {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.negotErr = errors.New("none") }, step("none"), 0, 0},
		"TPM": {func(m *oneshotMachine, r *tenant.OneshotRequest) { r.TPM.Hash = "sha512" }, func(err error) bool {
			var e *tpmdev.Error
			return errors.As(err, &e) && e.Kind == tpmdev.NoBank
		}, 1, 0},
		"TPM away": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.OpenTPM = func(context.Context) (tenant.Quoter, func() error, error) { return nil, nil, os.ErrNotExist }
		}, func(err error) bool { return errors.Is(err, os.ErrNotExist) }, 0, 0},
		"forged quote": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.spoil = func(e *tpmdev.Evidence) { e.AK = m.otherAK(t) }
		}, check(quote.CheckSignature), 1, 0},
		"quote of something else": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.spoil = func(e *tpmdev.Evidence) { e.Quote = strings.Replace(e.Quote, "r", "q", 1) }
		}, check(quote.CheckFormat), 1, 0},
		"verifier stumbles": {func(m *oneshotMachine, _ *tenant.OneshotRequest) {
			m.err = &client.Error{Kind: client.Refused, HTTP: 500, Server: "verifier", Err: errors.New("it stumbled")}
		}, func(err error) bool {
			var e *tenant.StepError
			return errors.As(err, &e) && strings.Contains(e.Hint, "log") && client.KindOf(err) == client.Refused
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newOneshotMachine(t)
			r := allowing(t, m)
			c.change(m, &r)
			result, err := m.Run(context.Background(), r)
			if result != nil || !c.want(err) || m.opened != c.opens || m.closed != c.opens || len(m.asked) != c.asks {
				t.Errorf("%v, %v; opened %d, closed %d, asked %d times", result, err, m.opened, m.closed, len(m.asked))
			}
		})
	}
}

// otherAK is an AK that has signed nothing.
func (m *oneshotMachine) otherAK(t *testing.T) []byte {
	soft, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	return soft.AKPublic()
}

// TestOneshotNotes: what is true and easily overlooked.
func TestOneshotNotes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*oneshotMachine, *tenant.OneshotRequest)
		text   string
	}{
		"empty tpm_policy":  {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.TPMPolicy.Content = []byte(`{"mask": "0x1"}`) }, "names no PCR"},
		"empty boot policy": {func(_ *oneshotMachine, r *tenant.OneshotRequest) { r.MBPolicy.Content = []byte(`{}`) }, "nothing of the boot is checked"},
		"empty list":        {func(m *oneshotMachine, _ *tenant.OneshotRequest) { m.logs.IMAList = []byte("\n") }, "no file was checked"},
		"no boot log":       {func(m *oneshotMachine, r *tenant.OneshotRequest) { m.logs.BootLog, r.MBPolicy = nil, nil }, "boot_aggregate"},
		"keys": {func(_ *oneshotMachine, r *tenant.OneshotRequest) {
			r.RuntimePolicy.Content = bytes.Replace(r.RuntimePolicy.Content, []byte(`"verification-keys":""`), []byte(`"verification-keys":"{\"meta\": {\"version\": 1}, \"pubkeys\": [], \"keyids\": []}"`), 1)
		}, "count for nothing without enrolment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newOneshotMachine(t)
			r := allowing(t, m)
			c.change(m, &r)
			result, err := m.Run(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, note := range result.Notes {
				if strings.Contains(note, c.text) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%q is said %d times: %q", c.text, n, result.Notes)
			}
		})
	}
}

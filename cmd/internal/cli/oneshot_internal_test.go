package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/tpmdev"
)

// TestTPMFailure: exit code and advice of each kind of failure.
func TestTPMFailure(t *testing.T) {
	t.Parallel()
	for kind, want := range map[tpmdev.Kind]int{
		tpmdev.BadAddress: exitUsage, tpmdev.Unsupported: exitUsage, tpmdev.NoBank: exitUsage,
		tpmdev.Forbidden: exitAuth, tpmdev.Password: exitAuth,
		tpmdev.NoKey:  exitNotFound,
		tpmdev.Absent: exitUnreachable, tpmdev.Unreachable: exitUnreachable,
		tpmdev.Occupied: exitConflict,
		tpmdev.NoTPM:    exitFailure, tpmdev.Moving: exitFailure, tpmdev.Failed: exitFailure,
	} {
		err := tpmFailure(fmt.Errorf("around: %w", &tpmdev.Error{Kind: kind, TPM: "x", Err: errors.New("cause"), Hint: "do this"}))
		var advised interface{ HintText() string }
		if exitCode(err) != want || !errors.As(err, &advised) || advised.HintText() != "do this" || err.Error() != "around: TPM x: cause" {
			t.Errorf("%s: %v, exit code %d, want %d", kind, err, exitCode(err), want)
		}
	}
	for _, cause := range []error{errInterrupted, context.Canceled} {
		if err := tpmFailure(&tpmdev.Error{Kind: tpmdev.Failed, Err: cause}); exitCode(err) != exitInterrupted {
			t.Errorf("%v: exit code %d", cause, exitCode(err))
		}
	}
	if err := tpmFailure(os.ErrExist); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
}

// TestTPMPassword: what tpm2-tools would take for a password.
func TestTPMPassword(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(path, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newApp([]string{"keylime_tenant"}, nil, Streams{In: strings.NewReader("from input\n"), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	for text, want := range map[string]tpmdev.Secret{"": "", "word": "word", "str:hex:00": "hex:00", "hex:0x4142": "AB", "hex:4142": "AB", "file:" + path: "from file", "file:-": "from input", "a:b": "a:b"} {
		got, err := a.tpmPassword("--pw", text)
		if err != nil || got != want {
			t.Errorf("%q is %q, %v", text, string(got), err)
		}
	}
	for _, text := range []string{"hex:4", "hex:zz", "file:" + path + "x", "session:s.ctx", "pcr:sha256:0"} {
		if got, err := a.tpmPassword("--pw", text); exitCode(err) != exitUsage {
			t.Errorf("%q is %q, %v", text, string(got), err)
		}
	}
}

// TestOneshotScreen: what a verifier or machine says does nothing to a terminal,
// and no list is without end.
func TestOneshotScreen(t *testing.T) {
	t.Parallel()
	r := &oneshotResult{OneshotResult: &tenant.OneshotResult{Time: time.Unix(0, 0), Verifier: &tenant.OneshotVerdict{Address: "\x1b"}, TPM: tenant.OneshotTPM{Address: "\x1b[2J", EncAlg: "ecc256", SignAlg: "ecdsa"},
		Findings: []policy.Finding{{Check: "c", Where: "\x1b]0;x", Message: "bad \x07"}}, Notes: []string{"\x1b"}, Evidence: tenant.ExplainedEvidence{Source: "this machine", Quote: "verified"}}}
	for range manyFiles + 5 {
		r.Verifier.Failures = append(r.Verifier.Failures, tenant.OneshotFailure{EventID: "id\x1b", Words: "words\r\n$ rm", Context: json.RawMessage(`{"a": "` + strings.Repeat("x\x1b", 2000) + `"}`)})
	}
	r.Verifier.Failures[0].Context = json.RawMessage(`{}`)
	var b bytes.Buffer
	if err := render.New(render.Options{Out: &b, Err: &b}).Result("oneshot", r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.ContainsAny(text, "\x1b\x07\r") {
		t.Errorf("%q", text)
	}
	for _, want := range []string{"VERIFIER     refuses this machine", "JUDGED HERE  refuses: 1 finding\n", "and 5 more (-o json shows all)", `25. "id`, "The same, judged here:"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(text) > 20000 || strings.Contains(text, "26. ") {
		t.Errorf("%d characters", len(text))
	}
	if names := r.Names(); len(names) != 1+len(r.Verifier.Failures) || names[0] != "c" {
		t.Errorf("%q", names)
	}
}

// TestOneshotHandles: handles are hexadecimal, with or without 0x.
func TestOneshotHandles(t *testing.T) {
	t.Parallel()
	a := newApp([]string{"keylime_tenant"}, nil, Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	for text, want := range map[string]uint32{"": 0, "generate": 0, "0x81010001": 0x81010001, "0X81010001": 0x81010001, "81010001": 0x81010001} {
		if r, err := a.oneshotRequest(&oneshotFlags{ekHandle: text}); err != nil || r.TPM.EKHandle != want {
			t.Errorf("%q is %#x, %v", text, r.TPM.EKHandle, err)
		}
	}
	for _, text := range []string{"0", "0x", "ek", "0x181010001", "-1"} {
		if r, err := a.oneshotRequest(&oneshotFlags{ekHandle: text}); exitCode(err) != exitUsage {
			t.Errorf("%q is %#x, %v", text, r.TPM.EKHandle, err)
		}
	}
}

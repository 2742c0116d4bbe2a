package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
)

// explainedBy is an explanation with findings.
func explainedBy(findings ...policy.Finding) *explanation {
	return &explanation{Explanation: &tenant.Explanation{ID: "a", Answer: tenant.AnswerRefused, Summary: "a reason", Time: time.Unix(1000, 0),
		Findings: findings, Verifier: &tenant.VerifierAgent{ID: "a", State: "Invalid Quote", AttestationCount: 2, LastReceivedQuote: 990, LastSuccessfulAttestation: 880}}}
}

// shownOf is the explanation as a person reads it.
func shownOf(t *testing.T, x *explanation) string {
	t.Helper()
	var b bytes.Buffer
	if err := render.New(render.Options{Out: &b, Err: &b}).Result("explain", x); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func file(path string) policy.Finding {
	return policy.Finding{Check: runtime.CheckNotInPolicy, Where: path, Event: policy.Int(7), Found: []string{"00ff"}, Message: "file is not in the policy", Remedy: "add it",
		Command: []string{"keylime_tenant", "policy", "merge", "p", "--allow", "00ff  " + path, "-o", "p"}}
}

// TestExplainHostileMachine: what a machine calls its files does nothing to a
// terminal.
func TestExplainHostileMachine(t *testing.T) {
	t.Parallel()
	x := explainedBy(file("/tmp/\x1b[2J\r\n$ rm"))
	x.Summary, x.Notes = "\x1b[31m", []string{"a\x07note"}
	x.Next = []tenant.NextStep{{Text: "do \x1b]0;this", Command: []string{"keylime_tenant", "\x1b[0m"}}}
	x.Event = &tenant.ExplainedEvent{ID: "\x1b", Words: "\x1b"}
	x.Policies = []tenant.ExplainedPolicy{{Kind: tenant.MBKind, Name: "\x1b", Detail: "\x1b"}}
	x.Checks = []tenant.ExplainedCheck{{Name: tenant.PartAgent, Outcome: tenant.CheckRefused, Detail: "\x1b"}}
	x.Evidence = tenant.ExplainedEvidence{Source: "\x1b", Quote: "none"}
	if text := shownOf(t, x); strings.ContainsAny(text, "\x1b\x07\r") {
		t.Errorf("%q", text)
	}
}

func TestExplainScreen(t *testing.T) {
	t.Parallel()
	x := explainedBy(policy.Finding{Check: "c", Where: "the kernel command line", PCR: policy.Int(8), Event: policy.Int(46), Remedy: "accept it",
		Message:  "the kernel command line is another: found \"a b c d\", the policy expects \"a b c e\" (kernels[0])",
		Expected: []string{"a b c e"}, Found: []string{"a b c d"}, Command: []string{"keylime_tenant", "policy", "merge"}})
	x.Saved = []string{"dir/f"}
	text := shownOf(t, x)
	for _, want := range []string{"VERIFIER    Invalid Quote, last quote 10s ago, 2 quotes accepted, the last 2m ago\n", "1. the kernel command line (PCR 8, event 46)\n",
		"the kernel command line is another (kernels[0])\n", "more: d\n", "less: e\n", "This accepts it:\n   keylime_tenant policy merge\n", "Saved\ndir/f\n", "EVIDENCE    none\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	// A command that is among what to do stands there alone.
	x.Next = []tenant.NextStep{{Text: "accept it", Command: []string{"keylime_tenant", "policy", "merge"}}}
	if text = shownOf(t, x); strings.Contains(text, "This accepts it") || !strings.Contains(text, "What to do\n1. accept it\n   keylime_tenant policy merge\n") {
		t.Error(text)
	}
	x.Verifier.State, x.Verifier.AttestationStatus, x.Verifier.AttestationCount, x.Verifier.LastReceivedQuote = "", "TIMEOUT", 0, 0
	if text = shownOf(t, x); !strings.Contains(text, "push model, TIMEOUT, none accepted so far\n") {
		t.Error(text)
	}
}

// TestExplainWidth: running text keeps to the terminal, commands stay whole.
func TestExplainWidth(t *testing.T) {
	t.Parallel()
	x := explainedBy()
	x.Summary = strings.Repeat("word ", 60)
	x.Notes = []string{x.Summary}
	command := []string{"keylime_tenant", strings.Repeat("a", 150)}
	x.Next = []tenant.NextStep{{Text: x.Summary, Command: command}}
	for _, columns := range []int{0, 20, 80, 300} {
		x.columns = columns
		for line := range strings.Lines(shownOf(t, x)) {
			if line = strings.TrimRight(line, "\n"); len(line) > x.width() && !strings.HasSuffix(line, strings.Join(command, " ")) {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}

// TestExplainManyFiles: a few are shown one by one, many as a table that ends.
func TestExplainManyFiles(t *testing.T) {
	t.Parallel()
	var findings []policy.Finding
	for i := range 30 {
		findings = append(findings, file(fmt.Sprintf("/f%d", i)))
	}
	boot := policy.Finding{Check: "measured-boot.x", Where: "the boot", Message: "the boot differs"}
	if text := shownOf(t, explainedBy(findings[:3]...)); !strings.Contains(text, "3. /f2 (line 7)") || strings.Contains(text, "files not allowed") {
		t.Error(text)
	}
	text := shownOf(t, explainedBy(append([]policy.Finding{boot}, findings...)...))
	if !strings.Contains(text, "30 files not allowed, the first 25 of them") || !strings.Contains(text, "/f24 ") || strings.Contains(text, "/f25 ") ||
		strings.Index(text, "the boot differs") > strings.Index(text, "files not allowed") {
		t.Error(text)
	}
	if text = shownOf(t, explainedBy(append(slices.Clone(findings[:4]), boot)...)); strings.Index(text, "the boot differs") < strings.Index(text, "4 files not allowed") {
		t.Error(text)
	}
}

func TestExplainFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := emptyDirectory(dir); err != nil {
		t.Error(err)
	}
	if err := emptyDirectory(filepath.Join(dir, "new")); err != nil {
		t.Error(err)
	}
	a := newApp([]string{"keylime_tenant"}, nil, Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	saved, err := a.saveEvidence(filepath.Join(dir, "new"), []tenant.EvidenceFile{{Name: tenant.FileIMAList, Data: nil}, {Name: tenant.FileQuote, Data: []byte(`{"quote": "r", "nonce": "n"}`)}})
	if err != nil || len(saved) != 2 {
		t.Fatal(saved, err)
	}
	if info, err := os.Stat(saved[1]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := emptyDirectory(filepath.Join(dir, "new")); err == nil {
		t.Error("a directory with files is taken for an empty one")
	}
	if err := emptyDirectory(saved[0]); err == nil {
		t.Error("a file is taken for an empty directory")
	}
	m, err := a.readEvidence(filepath.Join(dir, "new"))
	if err != nil || m.IMAList == nil || m.BootLog != nil || m.Quote == nil || m.Quote.Nonce != "n" || m.IMAListFile != saved[0] {
		t.Errorf("%+v, %v", m, err)
	}
	for name, content := range map[string]string{tenant.FileQuote: `{"quote": "r"}`, tenant.FileBootLog: "{}", tenant.FileIMAList: "no list"} {
		spoilt := t.TempDir()
		if err := os.WriteFile(filepath.Join(spoilt, tenant.FileIMAList), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(spoilt, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := a.readEvidence(spoilt)
		var bad *fileError
		if !errors.As(err, &bad) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.readEvidence(t.TempDir()); exitCode(err) != exitUsage {
		t.Error(err)
	}
}

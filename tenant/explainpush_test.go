package tenant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy"
)

// pushedVerifier is a verifier in push mode.
type pushedVerifier struct {
	Verifier
	has map[int]*verifier.Attestation
	err error
	// asked are the numbers that were asked for.
	asked []int
}

func (v *pushedVerifier) Attestation(_ context.Context, _ string, index int) (*verifier.Attestation, error) {
	v.asked = append(v.asked, index)
	if v.err != nil {
		return nil, v.err
	}
	if index == verifier.Latest {
		for n := range v.has {
			index = max(index, n)
		}
	}
	if a := v.has[index]; a != nil {
		return a, nil
	}
	if len(v.has) == 0 {
		return nil, verifier.ErrNoAttestations
	}
	return nil, &client.Error{Kind: client.NotFound, HTTP: 404}
}

// pushedWorld is a world whose agent attests itself.
type pushedWorld struct {
	*explained
	v *pushedVerifier
}

func newPushed(t *testing.T) *pushedWorld {
	t.Helper()
	x := newExplained(t)
	v := &pushedVerifier{Verifier: x.t.Verifier, has: map[int]*verifier.Attestation{}}
	x.t.Verifier = v
	x.agent.IP, x.agent.Port, x.agent.State, x.agent.TPMPolicy = nil, nil, verifier.GetQuote, `{"mask": "0x0"}`
	return &pushedWorld{x, v}
}

// shows adds an attestation: what the machine shows now of its list from a line
// on.
func (x *pushedWorld) shows(t *testing.T, index, from int, evaluation string) *verifier.Attestation {
	t.Helper()
	nonce := []byte(fmt.Sprintf("%016d", index))
	registers := make([]int, 16)
	for n := range registers {
		registers[n] = n
	}
	attest, signature, blob, err := x.machine.TPM().Quote(nonce, registers, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	evidence := x.machine.Evidence()
	log, list := b64(evidence.Log), strings.Join(strings.SplitAfter(string(evidence.IMA), "\n")[from:], "")
	booted, received := time.Unix(1_700_000_000, 0), time.Unix(1_700_000_100+int64(index), 0)
	a := &verifier.Attestation{Index: index, AttestationRecord: verifier.AttestationRecord{Stage: verifier.StageComplete, Evaluation: evaluation,
		SystemInfo: verifier.SystemInfo{BootTime: &booted}, EvidenceReceivedAt: &received, Evidence: []verifier.Evidence{
			{Class: verifier.ClassCertification, Type: verifier.TypeTPMQuote,
				Chosen: &verifier.ChosenParameters{Challenge: b64(nonce), SignatureScheme: "ecdsa", HashAlgorithm: "sha256", SelectedSubjects: verifier.Subjects{"sha256": registers, "sha1": nil}},
				Data:   &verifier.EvidenceData{Message: b64(attest), Signature: b64(signature), SubjectData: verifier.Blob(b64(blob))}},
			{Class: verifier.ClassLog, Type: verifier.TypeUEFILog, Data: &verifier.EvidenceData{Entries: &log}},
			{Class: verifier.ClassLog, Type: verifier.TypeIMALog, Chosen: &verifier.ChosenParameters{StartingOffset: &from}, Data: &verifier.EvidenceData{Entries: &list}},
		}}}
	x.v.has[index] = a
	return a
}

func (x *pushedWorld) runs(t *testing.T, path string) {
	t.Helper()
	if _, err := x.machine.RunFile(path, []byte(path)); err != nil {
		t.Fatal(err)
	}
}

// checkOf is how a check ended.
func checkOf(x *Explanation, part string) ExplainedCheck {
	i := slices.IndexFunc(x.Checks, func(c ExplainedCheck) bool { return c.Name == part })
	if i < 0 {
		return ExplainedCheck{}
	}
	return x.Checks[i]
}

func has(notes []string, text string) bool {
	return slices.ContainsFunc(notes, func(note string) bool { return strings.Contains(note, text) })
}

// TestExplainPushed: what an agent has shown the verifier is judged like what
// one shows that is asked.
func TestExplainPushed(t *testing.T) {
	t.Parallel()
	x := newPushed(t)
	x.shows(t, 0, 0, verifier.EvaluationPass)
	found := x.explain(t)
	if found.Answer != AnswerHealthy || found.Evidence.Quote != "verified" || found.Evidence.Attestation.Index != 0 || found.Failure() != nil || !has(found.Notes, "is the verifier's word") {
		t.Errorf("%+v", found)
	}
	for _, part := range []string{PartQuote, PartLog, PartBoot, PartFiles} {
		if c := checkOf(found, part); c.Outcome != CheckPassed || !c.Proven {
			t.Errorf("%+v", c)
		}
	}
	// An attestation that awaits its evidence says nothing.
	x.v.has[1] = &verifier.Attestation{Index: 1, AttestationRecord: verifier.AttestationRecord{Stage: verifier.StageAwaiting}}
	if found = x.explain(t); found.Evidence.Attestation.Index != 0 {
		t.Errorf("%+v", found.Evidence)
	}
}

// TestExplainPushedSpoilt spoils one thing each, and names the check.
func TestExplainPushedSpoilt(t *testing.T) {
	t.Parallel()
	another := func(s string) string {
		raw, _ := base64.StdEncoding.DecodeString(s)
		raw[len(raw)-1] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	for name, test := range map[string]struct {
		spoil func(*pushedWorld, *verifier.Attestation)
		check string
	}{
		"challenge": {func(_ *pushedWorld, a *verifier.Attestation) { a.Evidence[0].Chosen.Challenge = "AAAA" }, "quote.nonce"},
		"signature": {func(_ *pushedWorld, a *verifier.Attestation) {
			a.Evidence[0].Data.Signature = another(a.Evidence[0].Data.Signature)
		}, "quote.signature"},
		"registers": {func(_ *pushedWorld, a *verifier.Attestation) {
			a.Evidence[0].Data.SubjectData = verifier.Blob(another(string(a.Evidence[0].Data.SubjectData)))
		}, "quote."},
		"asked": {func(_ *pushedWorld, a *verifier.Attestation) {
			a.Evidence[0].Chosen.SelectedSubjects["sha256"] = append(a.Evidence[0].Chosen.SelectedSubjects["sha256"], 17)
		}, "quote.pcr-missing"},
		"AK":        {func(x *pushedWorld, _ *verifier.Attestation) { x.record.AIKTPM = "AAAA" }, "quote.ak"},
		"log":       {func(_ *pushedWorld, a *verifier.Attestation) { text := "%"; a.Evidence[1].Data.Entries = &text }, checkLogEncoding},
		"IMA list":  {func(_ *pushedWorld, a *verifier.Attestation) { text := ""; a.Evidence[2].Data.Entries = &text }, "ima.pcr-mismatch"},
		"algorithm": {func(x *pushedWorld, _ *verifier.Attestation) { x.agent.AcceptTPMHashAlgs = []string{"sha512"} }, "quote."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newPushed(t)
			test.spoil(x, x.shows(t, 4, 0, verifier.EvaluationFail))
			x.agent.AttestationStatus = "FAIL"
			found := x.explain(t)
			if found.Answer != AnswerRefused || len(found.Findings) == 0 || !strings.HasPrefix(found.Findings[0].Check, test.check) || !strings.Contains(found.Summary, "the verifier has refused attestation 4 of 2023-") {
				t.Errorf("%s: %s: %+v", found.Answer, found.Summary, found.Findings)
			}
			var refused *RefusedError
			if !errors.As(found.Failure(), &refused) {
				t.Error(found.Failure())
			}
		})
	}
}

// TestExplainPushedParts: parts of the IMA list are put together as far as the
// verifier has them.
func TestExplainPushedParts(t *testing.T) {
	t.Parallel()
	lines := func(x *pushedWorld) int { return strings.Count(string(x.machine.Evidence().IMA), "\n") }
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		x := newPushed(t)
		x.shows(t, 0, 0, verifier.EvaluationPass)
		n := lines(x)
		x.runs(t, "/usr/bin/unknown")
		x.shows(t, 1, n, verifier.EvaluationFail)
		x.agent.AttestationStatus = "FAIL"
		found := x.explain(t)
		c := checkOf(found, PartFiles)
		if len(found.Findings) != 1 || found.Findings[0].Where != "/usr/bin/unknown" || *found.Findings[0].Event != n+1 || !c.Proven || c.Outcome != CheckRefused || *found.Evidence.IMALines != n+1 {
			t.Errorf("%+v %+v", c, found.Findings)
		}
		if i := slices.IndexFunc(found.Files, func(f EvidenceFile) bool { return f.Name == FileIMAList }); i < 0 || string(found.Files[i].Data) != string(x.machine.Evidence().IMA) {
			t.Error("the whole list is not there to be kept")
		}
	})
	// The first attestation has lines 1 to n, those up to line m are gone, the
	// last that passed has the next line, the failed one the one after.
	gap := func(t *testing.T) (*pushedWorld, int) {
		x := newPushed(t)
		x.shows(t, 0, 0, verifier.EvaluationPass)
		x.runs(t, "/usr/bin/gone")
		m := lines(x)
		x.runs(t, "/usr/bin/passed")
		x.shows(t, 5, m, verifier.EvaluationPass)
		x.runs(t, "/usr/bin/unknown")
		x.shows(t, 6, m+1, verifier.EvaluationFail)
		x.agent.AttestationStatus = "FAIL"
		return x, m
	}
	t.Run("start proven by a quote", func(t *testing.T) {
		t.Parallel()
		x, m := gap(t)
		found := x.explain(t)
		c := checkOf(found, PartFiles)
		if len(found.Findings) != 1 || found.Findings[0].Where != "/usr/bin/unknown" || *found.Findings[0].Event != m+2 || !c.Proven || *found.Evidence.Attestation.IMAFrom != m+1 ||
			!has(found.Notes, fmt.Sprintf("from line %d on: that part is judged against the PCR 10 that the quote of attestation 5", m+2)) {
			t.Errorf("%+v %+v %q", c, found.Findings, found.Notes)
		}
		if i := slices.IndexFunc(found.Files, func(f EvidenceFile) bool { return f.Name == FileIMAList }); i >= 0 {
			t.Error("a part is kept as if it were the list")
		}
		// A list that leads elsewhere from there is found out.
		text := strings.Replace(*x.v.has[6].Evidence[2].Data.Entries, "/usr/bin/unknown", "/usr/bin/another", 1)
		x.v.has[6].Evidence[2].Data.Entries = &text
		if found = x.explain(t); !slices.ContainsFunc(found.Findings, func(f policy.Finding) bool { return f.Check == "ima.pcr-mismatch" }) {
			t.Errorf("%+v", found.Findings)
		}
	})
	t.Run("not proven", func(t *testing.T) {
		t.Parallel()
		x, m := gap(t)
		x.v.has[5].Evidence[0].Data.Signature = x.v.has[0].Evidence[0].Data.Signature
		found := x.explain(t)
		c := checkOf(found, PartFiles)
		if c.Proven || c.Outcome != CheckRefused || !strings.Contains(c.Detail, "as claimed") || *found.Evidence.Attestation.IMAFrom != m || !has(found.Notes, "that part is what the machine claims") {
			t.Errorf("%+v %q", c, found.Notes)
		}
	})
	t.Run("another boot", func(t *testing.T) {
		t.Parallel()
		x, _ := gap(t)
		other := time.Unix(1, 0)
		x.v.has[0].SystemInfo.BootTime, x.v.has[5].SystemInfo.BootTime = &other, nil
		if c := checkOf(x.explain(t), PartFiles); c.Proven {
			t.Errorf("%+v", c)
		}
	})
	t.Run("not too many questions", func(t *testing.T) {
		t.Parallel()
		x, _ := gap(t)
		late := x.v.has[6]
		late.Index = 100_000
		x.v.has[late.Index] = late
		delete(x.v.has, 6)
		x.explain(t)
		if n := len(x.v.asked); n > maxEarlier+2 {
			t.Errorf("%d questions", n)
		}
	})
}

// TestExplainPushedSince: a failure that the verifier still holds is explained,
// although later ones have passed.
func TestExplainPushedSince(t *testing.T) {
	t.Parallel()
	x := newPushed(t)
	good := x.machine.Evidence()
	x.runs(t, "/usr/bin/unknown")
	x.shows(t, 0, 0, verifier.EvaluationFail)
	if err := x.machine.Boot(good); err != nil {
		t.Fatal(err)
	}
	x.shows(t, 1, 0, verifier.EvaluationPass)
	x.agent.AttestationStatus = "FAIL"
	found := x.explain(t)
	if found.Answer != AnswerRecovered || found.Evidence.Attestation.Index != 0 || found.Evidence.Attestation.Latest != 1 || len(found.Findings) != 1 ||
		!strings.Contains(found.Summary, "/usr/bin/unknown") || !strings.Contains(found.Summary, "has passed since") {
		t.Errorf("%+v", found)
	}
	if !slices.ContainsFunc(found.Next, func(s NextStep) bool { return len(s.Command) > 1 && s.Command[1] == "update" }) {
		t.Errorf("%+v", found.Next)
	}
	// The failure that is held is gone from the verifier.
	delete(x.v.has, 0)
	if found = x.explain(t); found.Answer != AnswerRecovered || !strings.Contains(found.Summary, "earlier failure") {
		t.Errorf("%+v", found)
	}
	// What failed is accepted here: nobody knows why it failed. One that is being
	// judged says nothing yet.
	x.shows(t, 2, 0, verifier.EvaluationFail)
	x.shows(t, 3, 0, verifier.EvaluationPending)
	if found = x.explain(t); found.Answer != AnswerUndetermined || found.Evidence.Attestation.Index != 2 || !has(found.Notes, "ima.quote_progress") || !has(found.Notes, "what can be between the two") {
		t.Errorf("%s %q", found.Answer, found.Notes)
	}
}

// TestExplainPushedNone: what is said when there is nothing to judge.
func TestExplainPushedNone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*pushedWorld)
		detail string
		note   string
	}{
		"no push": {func(x *pushedWorld) { x.v.err = fmt.Errorf("%w: 404", verifier.ErrNoPush) }, "cannot be asked; --evidence DIR", ""},
		"none":    {func(*pushedWorld) {}, "has no evidence of it yet", ""},
		"awaited": {func(x *pushedWorld) { x.v.has[3] = &verifier.Attestation{Index: 3} }, "has no evidence of it yet", ""},
		"refused": {func(x *pushedWorld) {
			x.v.err = &client.Error{Kind: client.Unauthorized, HTTP: 403, Server: "verifier"}
		}, "could not be had", "403 Forbidden"},
		"no such calls": {func(x *pushedWorld) { x.t.Verifier = x.v.Verifier }, "cannot be asked; --evidence DIR", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newPushed(t)
			test.change(x)
			found := x.explain(t)
			if c := checkOf(found, PartAgent); c.Outcome != CheckNotJudged || !strings.Contains(c.Detail, test.detail) || found.Evidence.Attestation != nil || test.note != "" && !has(found.Notes, test.note) {
				t.Errorf("%+v %q", c, found.Notes)
			}
		})
	}
}

// TestExplainPushedRecorded: the evidence of a real verifier (testdata/push).
func TestExplainPushedRecorded(t *testing.T) {
	t.Parallel()
	x := newPushed(t)
	for n := range 2 {
		text, err := os.ReadFile(fmt.Sprintf("../testdata/push/%d.json", n))
		if err != nil {
			t.Fatal(err)
		}
		var body verifier.Body
		a := &verifier.Attestation{Index: n}
		if err := errors.Join(json.Unmarshal(text, &body), body.Read(verifier.ResourceAttestation, &a.AttestationRecord)); err != nil {
			t.Fatal(err)
		}
		x.v.has[n] = a
	}
	x.record.AIKTPM = verifier.Find(x.v.has[0].Evidence, verifier.TypeTPMQuote).Capabilities.CertificationKeys[0].PublicB64
	x.agent.AttestationStatus = "FAIL"
	found := x.explain(t)
	if found.Answer != AnswerRefused || found.Evidence.Quote != "verified" || *found.Evidence.IMALines != 54 || len(found.Findings) != 1 || found.Findings[0].Where != "/usr/local/bin/unknown" {
		t.Errorf("%s: %+v", found.Summary, found.Findings)
	}
}

// TestLastAttestation: one more question, for an agent of the push model alone,
// and no failure of a status.
func TestLastAttestation(t *testing.T) {
	t.Parallel()
	x := newPushed(t)
	status := func() *AgentStatus {
		s, err := x.t.AgentStatus(context.Background(), testID, 0)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if a := x.t.LastAttestation(t.Context(), status()); a != nil {
		t.Errorf("none: %+v", a)
	}
	x.shows(t, 41, 0, verifier.EvaluationFail).FailureReason = verifier.ReasonPolicy
	a := x.t.LastAttestation(t.Context(), status())
	if a.Number != 42 || a.Received == nil || a.Words() != "failed: a policy is not satisfied" || len(x.v.asked) != 2 {
		t.Errorf("%+v %q", a, a.Words())
	}
	for stage, want := range map[string]string{verifier.StageAwaiting: "its evidence is awaited", verifier.StageEvaluating: "its evidence is being judged"} {
		if words := (&LastAttestation{Stage: stage, Evaluation: "pending"}).Words(); words != want {
			t.Errorf("%q, want %q", words, want)
		}
	}
	x.v.err = &client.Error{Kind: client.Unauthorized, HTTP: 403, Server: "verifier"}
	if a = x.t.LastAttestation(t.Context(), status()); a == nil || !strings.Contains(a.Unavailable, "403") {
		t.Errorf("refused: %+v", a)
	}
	x.v.err = fmt.Errorf("%w", verifier.ErrNoPush)
	if a = x.t.LastAttestation(t.Context(), status()); a != nil {
		t.Errorf("no push: %+v", a)
	}
	x.v.err = nil
	ip, port := "127.0.0.1", 9002
	x.agent.IP, x.agent.Port = &ip, &port
	asked := len(x.v.asked)
	if a = x.t.LastAttestation(t.Context(), status()); a != nil || len(x.v.asked) != asked {
		t.Errorf("pull: %+v", a)
	}
}

// FuzzParts: parts that fit are put together to what they were taken from, and
// none makes the reader fail.
func FuzzParts(f *testing.F) {
	f.Add("a\nb\nc\n", 0, 1, 2)
	f.Add("a\nb", 1, 0, 0)
	f.Add("", -1, 5, 9)
	f.Fuzz(func(t *testing.T, whole string, first, second, last int) {
		lines := strings.SplitAfter(whole, "\n")
		at := func(from, to int) *verifier.Attestation {
			text := ""
			if from >= 0 && from < len(lines) {
				text = strings.Join(lines[from:max(from, min(to, len(lines)))], "")
			}
			return &verifier.Attestation{AttestationRecord: verifier.AttestationRecord{Evaluation: verifier.EvaluationPass, Evidence: []verifier.Evidence{
				{Type: verifier.TypeIMALog, Chosen: &verifier.ChosenParameters{StartingOffset: &from}, Data: &verifier.EvidenceData{Entries: &text}}}}}
		}
		part, _ := partOf(at(last, len(lines)))
		lists := joined(part, []*verifier.Attestation{at(first, last), at(second, last), at(0, second)})
		if best := lists[len(lists)-1]; best.first == 0 && last >= 0 && last < len(lines) && best.text != whole {
			t.Errorf("%q from %q, %d %d %d", best.text, whole, first, second, last)
		}
	})
}

package tenant

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// compressed gives a quote the form of API 1.0.
func compressed(t *testing.T, q *agent.Quote) {
	t.Helper()
	parts := strings.Split(q.Quote[1:], ":")
	for i, part := range parts {
		raw, err := base64.StdEncoding.DecodeString(part)
		if err != nil {
			t.Error(err)
		}
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		_, _ = z.Write(raw)
		_ = z.Close()
		parts[i] = base64.StdEncoding.EncodeToString(b.Bytes())
	}
	q.Quote = "r" + strings.Join(parts, ":")
}

func TestPlainAgents(t *testing.T) {
	t.Parallel()
	disabled, empty, cert := "disabled", "", certPEM
	tests := []struct {
		name         string
		cert         *string
		allow, plain bool
		compat       bool
		refused      bool
		version      string
		// told are the events of plain agents: disabled, connecting.
		told [][2]bool
	}{
		{name: "certificate", cert: &cert, version: "2.5"},
		{name: "certificate, none wanted", cert: &cert, plain: true, version: "2.5", told: [][2]bool{{false, true}}},
		{name: "none", cert: nil, refused: true},
		{name: "none, classic", cert: nil, compat: true, refused: true},
		{name: "none, allowed", cert: nil, allow: true, version: "1.0", told: [][2]bool{{false, true}}},
		{name: "none, none wanted", cert: nil, plain: true, version: "1.0", told: [][2]bool{{false, true}}},
		{name: "empty, allowed", cert: &empty, allow: true, version: "2.5", told: [][2]bool{{false, true}}},
		{name: "disabled", cert: &disabled, refused: true, told: [][2]bool{{true, false}}},
		{name: "disabled, classic", cert: &disabled, compat: true, version: "2.5", told: [][2]bool{{true, false}, {true, true}}},
		{name: "disabled, allowed", cert: &disabled, allow: true, version: "2.5", told: [][2]bool{{true, false}, {true, true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), goodAdd()
			w.record.MTLSCert, r.Compat = test.cert, test.compat
			if test.version == "1.0" {
				w.quote = func(q *agent.Quote) { compressed(t, q) }
			}
			tenant := w.tenant(t)
			tenant.AllowPlainAgents, tenant.PlainAgents = test.allow, test.plain
			_, err := tenant.Add(context.Background(), r)
			if test.refused != isInvalid(PlainAgentRefused)(err) || !test.refused && err != nil {
				t.Fatalf("error %v", err)
			}
			var told [][2]bool
			for _, e := range w.events {
				if p, ok := e.(PlainAgent); ok {
					told = append(told, [2]bool{p.Disabled, p.Connecting})
				}
			}
			if !slices.Equal(told, test.told) {
				t.Errorf("told %v, want %v", told, test.told)
			}
			if test.refused {
				return
			}
			if got := first[AgentVersion](w); got.Version != test.version || (got.Negotiation == nil) != (test.version == "1.0") || w.posted[0].SupportedVersion != test.version {
				t.Errorf("version %+v", got)
			}
			if pinned := w.index("dial 10.0.0.7:9002 pinned=true") >= 0; pinned != (len(test.told) == 0) {
				t.Errorf("pinned: %t", pinned)
			}
		})
	}
}

func TestQuoteRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.before = func(call string, nth int) error {
		if call == "agent.IdentityQuote" && nth < 4 {
			return []error{noConnection(), refusal(client.Refused, 503, ""), refusal(client.Refused, 504, "")}[nth-1]
		}
		return nil
	}
	if _, err := w.tenant(t).Add(context.Background(), goodAdd()); err != nil {
		t.Fatal(err)
	}
	var delays []time.Duration
	for _, e := range w.events {
		if retry, ok := e.(QuoteRetry); ok {
			delays = append(delays, retry.Delay)
			if retry.Max != 5 || retry.Try != len(delays) || retry.Err == nil {
				t.Errorf("event %+v", retry)
			}
		}
	}
	if want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}; !slices.Equal(delays, want) {
		t.Errorf("delays %v, want %v", delays, want)
	}
}

func TestQuoteGivesUp(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{5: 5, 1: 1, 0: 1, -1: 1} {
		w := newWorld(t)
		w.before = on("agent.IdentityQuote", 0, noConnection())
		tenant := w.tenant(t)
		tenant.Retry.Max = limit
		_, err := tenant.Add(context.Background(), goodAdd())
		var step *StepError
		if !errors.As(err, &step) || step.Tries != want || w.count["agent.IdentityQuote"] != want {
			t.Errorf("limit %d: %d tries, error %v", limit, w.count["agent.IdentityQuote"], err)
		}
	}
}

func TestAddWaitsThrough503(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.before = func(call string, nth int) error {
		switch {
		case call == "verifier.Agent" && nth == 2:
			return refusal(client.Refused, 503, "")
		case call == "verifier.Agent" && nth == 3:
			return notFound("agent id not found")
		}
		return nil
	}
	if _, err := w.tenant(t).Add(context.Background(), goodAdd()); err != nil {
		t.Fatal(err)
	}
	if got := first[Added](w); got.Tries != 2 {
		t.Errorf("event %+v", got)
	}
	if got := first[AddRetry](w); got.Try != 1 || got.Max != 5 || got.Delay != 2*time.Second {
		t.Errorf("event %+v", got)
	}
}

func TestKeyRetries(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), goodAdd()
	r.VerifyKey = true
	w.before = func(call string, nth int) error {
		if call == "agent.VerifyKey" && nth < 3 {
			return []error{noConnection(), refusal(client.Refused, 400, "Bootstrap key not yet available.")}[nth-1]
		}
		return nil
	}
	result, err := w.tenant(t).Add(context.Background(), r)
	if err != nil || !result.KeyVerified || w.count["agent.VerifyKey"] != 3 {
		t.Errorf("%+v, %v", result, err)
	}
	if got := first[KeyRetry](w); got.Try != 1 || got.Max != 5 || got.Received != 0 {
		t.Errorf("event %+v", got)
	}
}

// TestKeyOfAnotherRun: an agent that still holds the key of an earlier run
// proves that one, which must not count.
func TestKeyOfAnotherRun(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), goodAdd()
	r.VerifyKey, w.withholdV = true, true
	tenant := w.tenant(t)
	tenant.Dial = func(AgentEndpoint) (Agent, Connection, func(), error) {
		return staleAgent{fakeAgent{w}}, fakeConn{w, "agent", "10.0.0.7:9002"}, func() {}, nil
	}
	_, err := tenant.Add(context.Background(), r)
	var wait *WaitError
	if !errors.As(err, &wait) || wait.Received != 96 || wait.Tries != 5 || w.index("Stopped") < 0 {
		t.Errorf("error %v, %+v", err, wait)
	}
}

type staleAgent struct{ fakeAgent }

func (staleAgent) VerifyKey(context.Context, string) (string, *client.Reply, error) {
	return strings.Repeat("ab", 48), &client.Reply{HTTP: 200}, nil
}

func TestWaitingForAPushAgent(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]func(error) bool{"PASS": nil, "FAIL": isRefused("FAIL", ""), "TIMEOUT": is(ErrTimedOut)} {
		w, r := newWorld(t), goodAdd()
		r.Push, r.Payload, r.WaitAttested = true, PayloadInput{}, true
		w.shows = func(a *verifier.Agent, nth int) {
			a.State, a.LastEventID = verifier.NoState, nil
			if nth > 4 {
				if a.AttestationStatus = status; status == "PASS" {
					a.AttestationCount = 1
				}
			}
		}
		_, err := w.tenant(t).Add(context.Background(), r)
		if (err == nil) != (want == nil) || err != nil && !want(err) {
			t.Errorf("%s: %v", status, err)
		}
		if (w.enrolled[testID] != nil) != (want == nil) {
			t.Errorf("%s: enrolled %v", status, w.enrolled[testID])
		}
	}
}

func TestEKOutcomes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	yes := script("yes", `echo "AGENT_UUID=$AGENT_UUID"; test -n "$EK_CERT$EK_TPM" && test "${EK#-----BEGIN PUBLIC KEY-----}" != "$EK" && test "$PROVKEYS" = "{}" && test -n "$TPM_CERT_STORE"`)
	no := script("no", "echo not mine >&2; exit 3")
	emulator := "emulator"
	tests := []struct {
		name    string
		arrange func(w *world, rules *EKRules)
		want    EKOutcome
		check   func(error) bool
		told    []string
	}{
		{"certificate", func(*world, *EKRules) {}, EKByCertificate, nil, []string{"EKVerified"}},
		{"as leniently as upstream", func(_ *world, r *EKRules) { r.Compat = true }, EKByCertificate, nil, []string{"Warning", "EKVerified"}},
		{"with a broken file in the store", func(_ *world, r *EKRules) {
			if err := os.WriteFile(filepath.Join(r.StoreDir, "broken.pem"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}, EKByCertificate, nil, []string{"EKSkipped", "EKVerified"}},
		{"certificate and script", func(_ *world, r *EKRules) { r.Script, r.WorkDir = yes, dir }, EKByBoth, nil, []string{"EKVerified", "EKScriptStarted", "EKScriptOutput"}},
		{"script", func(w *world, r *EKRules) { w.record.EKCert, r.RequireCert, r.Script, r.WorkDir = nil, false, yes, dir }, EKByScript, nil, []string{"EKScriptStarted", "EKScriptOutput"}},
		{"nobody", func(w *world, r *EKRules) { w.record.EKCert, r.RequireCert = nil, false }, EKByNobody, nil, []string{"EKUnchecked"}},
		{"emulator", func(w *world, r *EKRules) { w.record.EKCert, r.AllowEmulator = &emulator, true }, EKEmulator, nil, nil},
		{"script refuses", func(_ *world, r *EKRules) { r.Script, r.WorkDir = no, dir }, "", func(err error) bool {
			var refused *RefusedError
			var failed *ek.ScriptError
			return errors.As(err, &refused) && errors.As(err, &failed) && failed.ExitCode == 3
		}, []string{"EKVerified", "EKScriptStarted", "EKScriptOutput"}},
		{"no store", func(_ *world, r *EKRules) { r.StoreDir = filepath.Join(dir, "nowhere") }, "", isEKCheck(ek.CheckStore), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tenant := w.tenant(t)
			tenant.EK.Env = os.Environ()
			test.arrange(w, &tenant.EK)
			result, err := tenant.Add(context.Background(), goodAdd())
			if (err == nil) != (test.check == nil) || err != nil && !test.check(err) {
				t.Fatalf("error %v", err)
			}
			if err == nil && result.EK != test.want {
				t.Errorf("outcome %q, want %q", result.EK, test.want)
			}
			var told []string
			for _, e := range w.events {
				if name := eventName(e); strings.HasPrefix(name, "EK") || name == "Warning" {
					told = append(told, name)
				}
			}
			if !slices.Equal(told, test.told) {
				t.Errorf("told %q, want %q", told, test.told)
			}
			if output := first[EKScriptOutput](w); tenant.EK.Script == yes && !strings.Contains(string(output.Output), "AGENT_UUID="+testID) {
				t.Errorf("output %q", output.Output)
			}
		})
	}
}

func TestEKScriptInterrupted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	tenant := w.tenant(t)
	tenant.EK.Script, tenant.EK.WorkDir = path, filepath.Dir(path)
	ctx, cancel := context.WithCancel(context.Background())
	emit := tenant.Emit
	tenant.Emit = func(e Event) {
		emit(e)
		if _, started := e.(EKScriptStarted); started {
			cancel()
		}
	}
	_, err := tenant.Add(ctx, goodAdd())
	var refused *RefusedError
	if !errors.Is(err, context.Canceled) || errors.As(err, &refused) || slices.Contains(w.calls(), "agent.PostU") {
		t.Errorf("error %v", err)
	}
}

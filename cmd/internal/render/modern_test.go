package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

const share = "bm9ib2R5IG1heSBzZWUgdGhpcyBzaGFyZSBvZiB0aGUga2V5"

func clock() time.Time { return time.Unix(1_800_000_000, 0) }

// presenter writes into two buffers.
func presenter(o render.Options) (m *render.Modern, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	o.Out, o.Err, o.Now = out, errs, clock
	return render.New(o), out, errs
}

// record is an agent that is attested, with V.
func record() *tenant.VerifierAgent {
	v := verifier.KeyShare(share)
	ip, port := "10.0.0.7", 9002
	return &tenant.VerifierAgent{
		ID: "agent-1", State: "Get Quote", Health: tenant.HealthHealthy, AttestationStatus: "PASS", AttestationCount: 7,
		LastReceivedQuote: clock().Unix() - 3, LastSuccessfulAttestation: clock().Unix() - 3, AttestationPeriod: "2s",
		TPMPolicy: `{"23": ["00"], "22": ["11"], "mask": "0xc00000"}`, HasRuntimePolicy: 1, HasMBRefstate: 1,
		IP: &ip, Port: &port, HashAlg: "sha256", EncAlg: "rsa2048", SignAlg: "rsassa",
		VerifierID: "default", VerifierIP: "10.0.0.5", VerifierPort: 8881,
		Record: &verifier.Agent{ID: "agent-1", Record: verifier.Record{V: &v}},
	}
}

func TestVerifierScreen(t *testing.T) {
	t.Parallel()
	event, severity := "ima.validation.ima-ng.not_in_allowlist", 6
	for _, c := range []struct {
		name   string
		change func(*tenant.VerifierAgent)
		want   []string
		not    []string
	}{
		{"attested", func(*tenant.VerifierAgent) {}, []string{
			"Verifier: agent agent-1\n", "HEALTH         healthy: 7 quotes accepted, the last 3s ago\n", "STATE          Get Quote\n",
			"VERIFIER SAYS  PASS\n", "POLICIES       runtime policy, measured-boot policy, PCR 22, 23\n", "ALGORITHMS     sha256, rsa2048, rsassa\n",
			"ADDRESS        10.0.0.7:9002\n", "VERIFIER       default at 10.0.0.5:8881\n"}, []string{"LAST FAILURE", "LAST QUOTE", share}},
		{"pass of nothing", func(a *tenant.VerifierAgent) {
			a.Health, a.Reason = tenant.HealthPending, "never attested: the verifier says PASS, but has accepted no quote yet"
			a.AttestationCount, a.LastSuccessfulAttestation, a.HashAlg = 0, 0, ""
		}, []string{"never attested: the verifier says PASS, but has accepted no quote yet\n", "VERIFIER SAYS  PASS (of no quote at all)\n",
			"LAST GOOD      never\n", "LAST QUOTE     3s ago\n", "ALGORITHMS     none used yet"}, []string{"SAYS  PASS\n"}},
		{"pending", func(a *tenant.VerifierAgent) {
			a.Health, a.Reason = tenant.HealthPending, "never attested: the verifier has accepted no quote yet"
			a.AttestationCount, a.AttestationStatus = 0, "PENDING"
		}, []string{"never attested: the verifier has accepted no quote yet\n", "SAYS  PENDING\n"}, nil},
		{"stale", func(a *tenant.VerifierAgent) {
			a.Health, a.LastSuccessfulAttestation = tenant.HealthStale, clock().Unix()-11520
		}, []string{"stale: last good quote 3h12m ago, one is due every 2s\n"}, nil},
		{"late", func(a *tenant.VerifierAgent) {
			a.Health, a.LastSuccessfulAttestation = tenant.HealthLate, clock().Unix()-60
		}, []string{"late: last good quote 1m ago, one is due every 2s\n"}, nil},
		{"failed without a word", func(a *tenant.VerifierAgent) {
			a.Health, a.Reason = tenant.HealthFailed, "the verifier does not say why"
		}, []string{"failed: the verifier does not say why; 7 quotes accepted before\n"}, []string{"LAST FAILURE"}},
		{"failed", func(a *tenant.VerifierAgent) {
			a.Health, a.State, a.AttestationStatus = tenant.HealthFailed, "Invalid Quote", "FAIL"
			a.LastEventID, a.SeverityLevel, a.LastEvent = &event, &severity, "a file was used that the runtime policy does not list"
		}, []string{"failed: 7 quotes accepted before\n", "SAYS  FAIL\n",
			"LAST FAILURE   a file was used that the runtime policy does not list\n               ima.validation.ima-ng.not_in_allowlist (severity 6)\n"}, nil},
		{"stopped", func(a *tenant.VerifierAgent) {
			a.Health, a.Reason = tenant.HealthStopped, "the verifier was told to stop attesting it"
		}, []string{"stopped: the verifier was told to stop"}, nil},
		{"push", func(a *tenant.VerifierAgent) { a.State, a.IP, a.Port = "", nil, nil }, []string{"STATE          (push model)\n", "ADDRESS        -\n"}, nil},
		{"nothing checked", func(a *tenant.VerifierAgent) {
			a.HasRuntimePolicy, a.HasMBRefstate, a.TPMPolicy = 0, 0, `{"mask": "0x0"}`
		},
			[]string{"POLICIES       none: only the quote itself is checked\n"}, nil},
		{"hostile", func(a *tenant.VerifierAgent) {
			a.State, a.MetaData = "\x1b[2JGet Quote\nHEALTH attested", strings.Repeat("x", 5000)
		}, []string{`STATE          "\x1b[2JGet Quote\nHEALTH attested"`, "xxx...\n"}, []string{"\x1b", "\nHEALTH attested"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, out, errs := presenter(render.Options{})
			agent := record()
			c.change(agent)
			if err := m.Result("cvstatus", agent); err != nil {
				t.Fatal(err)
			}
			for _, text := range c.want {
				if !strings.Contains(out.String(), text) {
					t.Errorf("lacks %q:\n%s", text, out)
				}
			}
			for _, text := range append(c.not, share) {
				if strings.Contains(out.String(), text) {
					t.Errorf("has %q:\n%s", text, out)
				}
			}
			if errs.Len() > 0 {
				t.Errorf("stderr: %s", errs)
			}
		})
	}
}

// TestShareHidden: V appears in no form of a result, unless it is asked for.
func TestShareHidden(t *testing.T) {
	t.Parallel()
	results := map[string]any{
		"cvstatus": record(),
		"status":   &tenant.StatusResult{ID: "agent-1", Verifier: record()},
		"one":      &tenant.AgentStatus{AgentHealth: tenant.AgentHealth{ID: "agent-1", Health: tenant.HealthHealthy}, Verifier: record()},
		"bulkinfo": &tenant.BulkResult{Agents: []*tenant.VerifierAgent{record()}},
	}
	for verb, result := range results {
		for _, format := range render.Formats() {
			for _, show := range []bool{false, true} {
				m, out, _ := presenter(render.Options{Format: format, ShowSecrets: show})
				if err := m.Result(verb, result); err != nil {
					t.Fatal(err)
				}
				document := format == render.FormatJSON || format == render.FormatYAML || format == render.FormatLines
				table := format == render.FormatTable || format == render.FormatWide
				want := show && (document || table && verb != "bulkinfo")
				if got := strings.Contains(out.String(), share); got != want {
					t.Errorf("%s -o %s, secrets shown %v: V is there: %v\n%s", verb, format, show, got, out)
				}
			}
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	list := &tenant.AgentList{IDs: []string{"one", "two"}}
	empty := &tenant.AgentList{IDs: []string{}}
	for _, c := range []struct {
		format render.Format
		result any
		out    string
		err    string
	}{
		{render.FormatTable, list, "ID\none\ntwo\n", ""},
		{render.FormatName, list, "one\ntwo\n", ""},
		{render.FormatJSON, list, "{\n  \"uuids\": [\n    \"one\",\n    \"two\"\n  ]\n}\n", ""},
		{render.FormatYAML, list, "uuids:\n  - one\n  - two\n", ""},
		{render.FormatTable, empty, "", "no agents\n"},
		{render.FormatName, empty, "", ""},
		{render.FormatJSON, empty, "{\n  \"uuids\": []\n}\n", ""},
		{render.FormatYAML, empty, "uuids: []\n", ""},
		{render.FormatTable, nil, "", ""},
	} {
		m, out, errs := presenter(render.Options{Format: c.format})
		if err := m.Result("reglist", c.result); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.out || errs.String() != c.err {
			t.Errorf("-o %s: got %q and %q, want %q and %q", c.format, out, errs, c.out, c.err)
		}
	}
}

// TestYAMLKeepsTypes: text that looks like something else stays text, keys keep
// their order.
func TestYAMLKeepsTypes(t *testing.T) {
	t.Parallel()
	m, out, _ := presenter(render.Options{Format: render.FormatYAML})
	result := &tenant.PolicyResult{Verb: tenant.PolicyShow, Kind: tenant.RuntimeKind, Name: "yes",
		Policy: json.RawMessage(`{"z": "true", "a": true, "n": null, "f": 1.5, "i": 12345678901234567890, "s": "0x10", "l": [1, {"k": []}]}`)}
	if err := m.Result("showruntimepolicy", result); err != nil {
		t.Fatal(err)
	}
	want := "kind: runtime policy\nname: \"yes\"\npolicy:\n  z: \"true\"\n  a: true\n  \"n\": null\n  f: 1.5\n  i: 12345678901234567890\n  s: \"0x10\"\n  l:\n    - 1\n    - k: []\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	unreachable := &client.Error{Server: "verifier 10.0.0.5:8881", Kind: client.Unreachable, Err: errors.New("connection refused"), Hint: "is it running?"}
	for _, c := range []struct {
		name string
		err  error
		errs string
		json []string
	}{
		{"plain", errors.New("no"), "error: no\n", []string{`"message": "no"`, `"exit_code": 42`}},
		{"server", &tenant.StepError{Step: tenant.StepStatus, ID: "agent-1", Err: unreachable},
			"error: agent-1: asking the verifier: verifier 10.0.0.5:8881 cannot be reached: connection refused\nhint: is it running?\n",
			[]string{`"kind": "unreachable"`, `"server": "verifier 10.0.0.5:8881"`, `"hint": "is it running?"`}},
		{"outer hint wins", &tenant.StepError{Step: tenant.StepStatus, ID: "agent-1", Hint: "outer", Err: unreachable},
			"error: agent-1: asking the verifier: verifier 10.0.0.5:8881 cannot be reached: connection refused\nhint: outer\n", nil},
		{"named once", &tenant.StepError{Step: tenant.StepEnrol, ID: "agent-1", Err: &tenant.NotFoundError{What: "agent", Name: "agent-1", Server: tenant.ServerRegistrar}},
			"error: enrolling with the verifier: agent agent-1 is not known to the registrar\n", nil},
		{"undone", &tenant.UndoneError{Err: errors.New("no"), Undone: []string{"the agent was deleted"},
			Left: []tenant.Leftover{{What: "policy p q", Command: []string{"keylime_tenant", "deletembpolicy", "p q"}}, {What: "a key"}}},
			"error: no\nundone: the agent was deleted\nleft: policy p q\nhint: keylime_tenant deletembpolicy 'p q'\nleft: a key\n",
			[]string{`"undone": [`, `"what": "a key"`}},
		{"quote", &quote.VerificationError{Check: quote.CheckPCR16Binding}, "", []string{`"kind": "quote"`, `"check": "pcr16-binding"`}},
		{"EK", &ek.VerificationError{Check: ek.CheckChain}, "", []string{`"kind": "ek"`, `"check": "chain"`}},
		{"EK script", &tenant.RefusedError{ID: "agent-1", Cause: "no", Err: &ek.ScriptError{Path: "/s.sh", Output: []byte("not on our list\n\x1b[2J\n")}},
			"error: agent agent-1: no\n  /s.sh says: not on our list\n  \"\\x1b[2J\"\n", []string{`"check": "script"`}},
		{"file", &client.FileError{Option: "client_key", Path: "/k", Cause: "no such file"}, "error: client_key /k: no such file\n", []string{`"kind": "tls-file"`}},
		{"joined", errors.Join(errors.New("a"), &tenant.WaitError{Cause: "b", Hint: "c"}), "error: a\n  b\nhint: c\n", nil},
		{"hostile", errors.New("\x1b[2J"), "error: \"\\x1b[2J\"\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, out, errs := presenter(render.Options{})
			m.Fail("add", c.err)
			if out.Len() > 0 || c.errs != "" && errs.String() != c.errs {
				t.Errorf("table: got %q and %q, want %q", out, errs, c.errs)
			}
			m, out, _ = presenter(render.Options{Format: render.FormatJSON, ExitCode: func(error) int { return 42 }})
			m.Fail("add", c.err)
			var document map[string]map[string]any
			if err := json.Unmarshal(out.Bytes(), &document); err != nil || document["error"]["message"] == nil {
				t.Errorf("not one document: %v\n%s", err, out)
			}
			for _, text := range c.json {
				if !strings.Contains(out.String(), text) {
					t.Errorf("lacks %q:\n%s", text, out)
				}
			}
		})
	}
}

// TestOneDocument: a failure after the result adds nothing to stdout.
func TestOneDocument(t *testing.T) {
	t.Parallel()
	for _, format := range []render.Format{render.FormatJSON, render.FormatYAML} {
		m, out, errs := presenter(render.Options{Format: format})
		if err := m.Result("status", &tenant.StatusResult{ID: "agent-1"}); err != nil {
			t.Fatal(err)
		}
		before := out.String()
		m.Fail("status", errors.New("no"))
		if out.String() != before || errs.String() != "error: no\n" {
			t.Errorf("-o %s: stdout %q, stderr %q", format, out, errs)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	warning := tenant.Warning{Text: "beware", Hint: "do this"}
	step := tenant.QuoteRetry{ID: "agent-1", Try: 1, Max: 5, Delay: 2 * time.Second}
	for _, c := range []struct {
		name  string
		o     render.Options
		event tenant.Event
		want  string
	}{
		{"warning", render.Options{}, warning, "warning: beware\nhint: do this\n"},
		{"warning, quiet", render.Options{Quiet: true}, warning, "warning: beware\n"},
		{"warning, JSON", render.Options{Format: render.FormatJSON}, warning, "warning: beware\nhint: do this\n"},
		{"step unasked", render.Options{}, step, ""},
		{"step", render.Options{Steps: true}, step, "- agent agent-1 does not answer yet (1/5), next try in 2s\n"},
		{"step, debug", render.Options{Debug: true}, step, "- agent agent-1 does not answer yet (1/5), next try in 2s\n"},
		{"step, quiet", render.Options{Steps: true, Quiet: true}, step, ""},
		{"skipped certificate", render.Options{}, tenant.EKSkipped{Path: "/s/x.pem", Err: errors.New("empty")},
			"warning: certificate store: /s/x.pem is not used: empty\n"},
		{"unchecked EK", render.Options{}, tenant.EKUnchecked{ID: "agent-1"},
			"warning: nobody vouches for the TPM of agent agent-1: require_ek_cert is off and there is no ek_check_script\n"},
		{"plain agent", render.Options{Quiet: true}, tenant.PlainAgent{ID: "agent-1", Host: "::1", Port: 9002, Disabled: true},
			"warning: agent agent-1 is reached at [::1]:9002 without TLS: whoever is in between can read the payload's key share\n"},
		{"said once", render.Options{}, tenant.PlainAgent{ID: "agent-1", Disabled: true, Connecting: true}, ""},
		{"versions untold", render.Options{}, tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Version: client.Current(), Fallback: true, Err: errors.New("why")}},
			"warning: the verifier does not tell its API versions (why): speaking 2.6\n"},
		{"unreachable", render.Options{}, tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Version: client.Current(), Fallback: true, Err: &client.Error{Kind: client.Unreachable}}}, ""},
		{"detail", render.Options{Steps: true}, tenant.RegistrarRecord{ID: "agent-1"}, ""},
		{"detail, verbose", render.Options{Verbose: true}, tenant.RegistrarRecord{ID: "agent-1"}, "- the registrar knows agent agent-1\n"},
		{"versions", render.Options{Verbose: true}, tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Version: client.Current(), Theirs: client.Supported()}},
			"- verifier: API version 2.6 (it speaks 2.0 to 2.6)\n"},
		{"push verifier", render.Options{}, tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Fallback: true, Gone: true, Err: errors.New("410")}}, ""},
		{"script", render.Options{Steps: true}, tenant.EKScriptOutput{Output: []byte("one\n\x1b[2J\n")}, "- script: one\n  \"\\x1b[2J\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, out, errs := presenter(c.o)
			m.Event(c.event)
			if errs.String() != c.want || out.Len() > 0 {
				t.Errorf("got %q, want %q; stdout %q", errs, c.want, out)
			}
		})
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	request := client.Trace{Method: "GET", URL: "https://h:1/v2.6/agents/", HTTP: 200, Received: 12, Duration: 1234567 * time.Nanosecond}
	m, _, errs := presenter(render.Options{Steps: true})
	m.Trace(request)
	if errs.Len() > 0 {
		t.Errorf("shown without --debug: %s", errs)
	}
	m, _, errs = presenter(render.Options{Debug: true})
	m.Trace(request)
	if want := "debug: GET https://h:1/v2.6/agents/: 200, 12 bytes in 1.2ms\n"; errs.String() != want {
		t.Errorf("got %q, want %q", errs, want)
	}
}

// TestColor: colour appears where it is allowed only, and takes nothing away.
func TestColor(t *testing.T) {
	t.Parallel()
	plain, out, _ := presenter(render.Options{})
	if err := plain.Result("cvstatus", record()); err != nil {
		t.Fatal(err)
	}
	colored, colorOut, _ := presenter(render.Options{Color: true})
	if err := colored.Result("cvstatus", record()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") || !strings.Contains(colorOut.String(), "\x1b[32m") {
		t.Errorf("plain:\n%q\ncoloured:\n%q", out, colorOut)
	}
	m, _, errs := presenter(render.Options{ErrColor: true})
	m.Fail("add", errors.New("no"))
	if !strings.Contains(errs.String(), "\x1b[") || !strings.Contains(errs.String(), "error:") {
		t.Errorf("got %q", errs)
	}
}

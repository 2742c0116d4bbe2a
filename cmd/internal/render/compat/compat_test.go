package compat

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

const (
	id     = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
	absent = "00000000-0000-4000-8000-000000000bad"
)

// recorded are the stdouts of the recorded runs of the Python tenant.
var recorded = sync.OnceValues(func() (map[string]string, error) {
	file, err := os.Open("../../../../testdata/golden/cases.jsonl")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := map[string]string{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var run struct{ Case, Stdout string }
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil {
			return nil, err
		}
		all[run.Case] = strings.NewReplacer("<N>", "1", "<EPOCH>", "1700000000").Replace(run.Stdout)
	}
	return all, lines.Err()
})

// golden is what the Python tenant wrote in a recorded run, without the records
// that precede the verb, which the command line writes.
func golden(t *testing.T, name string) string {
	t.Helper()
	all, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	stdout, found := all[name]
	if !found {
		t.Fatalf("there is no recorded run %s", name)
	}
	var kept []string
	for _, line := range strings.SplitAfter(stdout, "\n") {
		switch {
		case strings.Contains(line, " - keylime.config - "), strings.Contains(line, "Setting up client TLS..."), strings.Contains(line, "Using default "),
			strings.Contains(line, "No value provided in client_key_password"), strings.Contains(line, "TLS is enabled."):
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// jsonAfter is the JSON line behind the nth record that holds a text.
func jsonAfter(t *testing.T, stdout, text string, nth int) json.RawMessage {
	t.Helper()
	parts := strings.Split(stdout, text+"\n")
	if len(parts) < nth+1 {
		t.Fatalf("no %q in\n%s", text, stdout)
	}
	line, _, _ := strings.Cut(parts[nth], "\n")
	if !json.Valid([]byte(line)) {
		t.Fatalf("not JSON: %s", line)
	}
	return json.RawMessage(line)
}

// speaker is a renderer and what it has written.
type speaker struct {
	*Renderer
	out *bytes.Buffer
}

func speak(t testing.TB, change func(*Options)) speaker {
	t.Helper()
	s := speaker{out: &bytes.Buffer{}}
	log, err := pylog.New(pylog.Default(), pylog.Options{Out: s.out, Err: s.out, Now: func() time.Time { return time.Unix(0, 0).UTC() }})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Log: log, Out: s.out, Err: s.out, RegistrarHost: "127.0.0.1", RegistrarPort: "8891", VerifierHost: "127.0.0.1", VerifierPort: "8881"}
	if change != nil {
		change(&o)
	}
	s.Renderer = New(o)
	return s
}

// text is what was written, with times as in the recorded runs.
func (s speaker) text() string {
	return strings.ReplaceAll(s.out.String(), "1970-01-01 00:00:00.000", "<TS>")
}

func (s speaker) tell(events ...tenant.Event) {
	for _, e := range events {
		s.Event(e)
	}
}

func versions(texts ...string) []client.Version {
	var all []client.Version
	for _, text := range texts {
		v, err := client.ParseVersion(text)
		if err != nil {
			panic(err)
		}
		all = append(all, v)
	}
	return all
}

func spoken(server string) tenant.ServerVersion {
	return tenant.ServerVersion{Server: server, Negotiation: client.Negotiation{Version: client.Current(), Ours: client.Supported()}}
}

func pulled() tenant.AgentVersion {
	return tenant.AgentVersion{ID: id, Version: "2.6", Host: "127.0.0.1", Port: 9002,
		Negotiation: &client.Negotiation{Version: client.Current(), Ours: client.Supported(), Theirs: versions("2.1", "2.2", "2.3", "2.4", "2.5", "2.6")}}
}

// reply is an answer with an envelope.
func reply(code int, status string, results string) *client.Reply {
	text, _ := json.Marshal(status)
	return &client.Reply{HTTP: code, Code: code, Status: status, Results: json.RawMessage(results),
		Body: fmt.Appendf(nil, `{"code": %d, "status": %s, "results": %s}`, code, text, results)}
}

// numbered takes the names of states in a record back to their numbers, and the
// record out of the object that holds it.
func numbered(t *testing.T, shown json.RawMessage) *client.Reply {
	t.Helper()
	var agents map[string]json.RawMessage
	if err := json.Unmarshal(shown, &agents); err != nil || len(agents) != 1 {
		t.Fatal(err, len(agents))
	}
	for _, record := range agents {
		text := string(record)
		for n := verifier.Registered; n <= verifier.TenantQuoteFailed; n++ {
			text = strings.Replace(text, fmt.Sprintf(`"operational_state": %q`, n.String()), fmt.Sprintf(`"operational_state": %d`, n), 1)
		}
		return reply(200, "Success", text)
	}
	return nil
}

// quoteAnswer is the agent's answer in the recorded runs.
func quoteAnswer() *client.Reply {
	return reply(200, "Success", `{"quote": "<QUOTE>", "hash_alg": "sha256", "enc_alg": "rsa2048", "sign_alg": "rsassa", "pubkey": "<PEM PUBLIC KEY>\n"}`)
}

// goodQuote is a recorded quote of PCR 16, verified.
func goodQuote(t *testing.T) quote.Verified {
	t.Helper()
	data, err := os.ReadFile("../../../../testdata/vectors/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Quote struct {
			Nonce  string `json:"nonce"`
			AK     string `json:"aik_tpm_b64"`
			PubKey string `json:"pubkey_pem"`
			Hash   string `json:"hash_alg"`
			Quote  string `json:"quote"`
		} `json:"quote_rsa"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	q := vectors.Quote
	ak, err := base64.StdEncoding.DecodeString(q.AK)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := quote.Verify(quote.Untrusted{Quote: q.Quote, HashAlg: q.Hash, EncAlg: "rsa", SignAlg: "rsassa", TransportKeyPEM: q.PubKey}, quote.Expect{AK: ak, Nonce: q.Nonce, BindTransportKey: true})
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

// proven are the events from the quote to the proof of identity.
func proven(t *testing.T) []tenant.Event {
	return []tenant.Event{tenant.QuoteReceived{ID: id, Reply: quoteAnswer()}, tenant.QuoteVerified{ID: id, Quote: goodQuote(t)}, tenant.IdentityProven{ID: id}}
}

// same compares what was written with a recorded run; edits are the decided
// differences, old and new in turn.
func same(t *testing.T, s speaker, name string, edits ...string) {
	t.Helper()
	want := golden(t, name)
	for i := 0; i < len(edits); i += 2 {
		changed := strings.ReplaceAll(want, edits[i], edits[i+1])
		if changed == want {
			t.Errorf("%s: there is no %q to be different from", name, edits[i])
		}
		want = changed
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(s.text(), "\n")); diff != "" {
		t.Errorf("%s: -want +got\n%s", name, diff)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	s := speak(t, nil)
	name := "142-add-registered"
	shown := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
	s.tell(spoken("registrar"), tenant.RegistrarRecord{ID: id, RegCount: 1, Host: "127.0.0.1", Port: 9002}, pulled(), tenant.PolicyMask{})
	s.tell(proven(t)...)
	s.tell(spoken("verifier"), tenant.Enrolled{ID: id}, tenant.VerifierStatus{ID: id, Reply: shown}, tenant.Added{ID: id})
	if err := s.Result("add", nil); err != nil {
		t.Error(err)
	}
	same(t, s, name)
	if strings.Contains(strings.ToLower(s.text()), "error") {
		t.Error(`the word "error" on success`)
	}
}

// TestAddVerify: V is hidden unless it is asked for.
func TestAddVerify(t *testing.T) {
	t.Parallel()
	name := "271-add-file-verify"
	for _, show := range []bool{false, true} {
		s := speak(t, func(o *Options) { o.ShowSecrets = show })
		shown := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
		s.tell(spoken("registrar"), pulled(), tenant.PolicyMask{})
		s.tell(proven(t)...)
		s.tell(tenant.UDelivered{ID: id}, spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: shown}, tenant.Added{ID: id},
			tenant.KeyRetry{ID: id, Try: 1, Max: 5, Received: 96, Delay: 2 * time.Second}, tenant.KeyVerified{ID: id})
		if show {
			same(t, s, name)
		} else {
			same(t, s, name, `"v": "<B64>"`, `"v": "[redacted]"`)
		}
	}
}

func TestAddPush(t *testing.T) {
	t.Parallel()
	s := speak(t, func(o *Options) { o.Push = true })
	name := "373-add-push"
	shown := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
	s.tell(spoken("registrar"), tenant.AgentVersion{ID: id, Push: true, Version: "2.6", Host: "127.0.0.1", Port: 9002}, tenant.PolicyMask{},
		spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: shown}, tenant.Added{ID: id})
	same(t, s, name)
	s = speak(t, nil)
	s.tell(tenant.AgentVersion{ID: id, Push: true, Version: "2.6"})
	if want := "Defaulting to 2.6 (push_model=True, agent_ip=None, agent_port=None)"; !strings.Contains(s.text(), want) {
		t.Errorf("no %q in %s", want, s.text())
	}
}

// TestPolicyRecords: the records about policies, in the order of upstream.
func TestPolicyRecords(t *testing.T) {
	t.Parallel()
	deprecated := func(option string) tenant.Warning {
		return tenant.Warning{Kind: tenant.WarnDeprecated, Object: option, Text: "ours"}
	}
	for name, events := range map[string][]tenant.Event{
		"329-add-mb-policy":         {tenant.PolicyMask{Final: 0xfbff, MeasuredBoot: true}},
		"343-add-tpm-good22":        {tenant.PolicyMask{FromPolicy: 1 << 22, Final: 1 << 22}},
		"317-add-allowlist-exclude": {tenant.PolicyMask{Final: 0x400}, deprecated("--allowlist"), tenant.LegacyConverted{Name: "allowlist.txt", Flat: true}, deprecated("--exclude")},
		"325-add-svk":               {tenant.PolicyMask{Final: 0x400}, deprecated("--signature-verification-key")},
		"308-add-rp-signed":         {tenant.PolicyMask{Final: 0x400}, tenant.SignatureVerified{Name: "rp-signed.json"}},
	} {
		s := speak(t, nil)
		shown := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
		s.tell(spoken("registrar"), pulled())
		s.tell(events...)
		s.tell(proven(t)...)
		s.tell(spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: shown}, tenant.Added{ID: id})
		same(t, s, name)
	}
	s := speak(t, nil)
	s.tell(tenant.PolicyMask{Final: 0xffff, MeasuredBoot: true}, deprecated("--allowlist"))
	if err := s.Result("add", nil); err != nil {
		t.Error(err)
	}
	if lines := strings.Split(s.text(), "\n"); !strings.HasSuffix(lines[2], "TPM PCR Mask automatically modified is 0xffff to include IMA/Event log PCRs") {
		t.Errorf("got\n%s", s.text())
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	name := "137-update-registered"
	s := speak(t, nil)
	shown := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
	s.tell(spoken("registrar"), pulled(), tenant.PolicyMask{}, spoken("verifier"), tenant.NotEnrolled{ID: id}, tenant.Deleted{ID: id, Absent: true})
	s.tell(proven(t)...)
	s.tell(tenant.VerifierStatus{ID: id, Reply: shown}, tenant.Added{ID: id})
	same(t, s, name, "is deleted from Verifier (127.0.0.1:8881)\n", "is deleted from Verifier (127.0.0.1:8881)\n<TS> - keylime.tenant - INFO - Agent "+id+" was not there before either: nothing was deleted\n")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Options)
	}{
		{"152-cvstatus-added", nil}, {"161-cvstatus-vi", func(o *Options) { o.VerifierID = "xyz" }}, {"163-cvstatus-added-push", func(o *Options) { o.Push = true }},
		{"601-cvstatus-rp-bad", nil}, {"727-pushv-cvstatus", nil}, {"728-pushv-cvstatus-push", func(o *Options) { o.Push = true }}, {"755-cvstatus-stopped-reactivated", func(o *Options) { o.ShowSecrets = true }},
	} {
		s := speak(t, test.change)
		s.tell(spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: numbered(t, jsonAfter(t, golden(t, test.name), "Agent Info from "+s.verifier()+":", 1))})
		same(t, s, test.name)
	}
	for _, name := range []string{"139-regstatus-default-uuid", "721-pushv-regstatus-registered", "151-status-added"} {
		s := speak(t, nil)
		want := golden(t, name)
		var agents map[string]json.RawMessage
		if err := json.Unmarshal(jsonAfter(t, want, "Agent Info from Registrar (127.0.0.1:8891):", 1), &agents); err != nil {
			t.Fatal(err)
		}
		// What the registrar sends: other keys too, and in another order.
		sent := strings.Replace(string(agents[id]), `, "operational_state": "Registered"`, `, "extra": [1]`, 1)
		sent = strings.Replace(sent, `"regcount": 1, `, "", 1)
		sent = strings.Replace(sent, "{", `{"regcount": 1, `, 1)
		s.tell(spoken("registrar"), tenant.RegistrarStatus{ID: id, Raw: json.RawMessage(sent)})
		if name == "151-status-added" {
			s.tell(spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: numbered(t, jsonAfter(t, want, "Agent Info from Verifier (127.0.0.1:8881):", 1))})
		}
		same(t, s, name)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event  tenant.Event
		server string
		change func(*Options)
	}{
		"158-cvlist-vi":         {tenant.VerifierList{Reply: reply(200, "Success", `{"uuids": [["`+id+`"]]}`)}, "verifier", func(o *Options) { o.VerifierID = "default" }},
		"140-cvlist-registered": {tenant.VerifierList{Reply: reply(200, "Success", `{"uuids": []}`)}, "verifier", nil},
		"116-reglist":           {tenant.RegistrarList{Reply: reply(200, "Success", `{"uuids": ["`+id+`"]}`)}, "registrar", nil},
		"115-bulkinfo-empty":    {tenant.VerifierBulk{Reply: reply(200, "Success", `{}`)}, "verifier", nil},
		"616-regdelete-fake":    {tenant.RegistrarDeleted{ID: "fake-agent-1", Reply: reply(200, "Success", `{}`)}, "registrar", nil},
	} {
		s := speak(t, test.change)
		s.tell(spoken(test.server), test.event)
		same(t, s, name)
	}
	s := speak(t, nil)
	one := numbered(t, jsonAfter(t, golden(t, "155-bulkinfo-added"), "Bulk Agent Info:", 1))
	s.tell(spoken("verifier"), tenant.VerifierBulk{Reply: reply(200, "Success", `{"`+id+`": `+string(one.Results)+`}`)})
	same(t, s, "155-bulkinfo-added")
	s = speak(t, nil)
	s.tell(tenant.VerifierBulk{Reply: reply(200, "Success", `{"a": {"operational_state": null, "v": "secret"}, "b": {"v": null}}`)}, tenant.NoAgents{})
	want := `<TS> - keylime.tenant - INFO - Bulk Agent Info:
{"a": {"operational_state": "Not applicable (Push Mode)", "v": "[redacted]"}, "b": {"v": null}}
<TS> - keylime.tenant - INFO - Verifier (127.0.0.1:8881) does not have any agents
`
	if s.text() != want {
		t.Errorf("got\n%s", s.text())
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	agentOf := func(shown *client.Reply) *verifier.Agent {
		a := &verifier.Agent{}
		if err := json.Unmarshal(shown.Results, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	s := speak(t, nil)
	s.tell(spoken("verifier"), tenant.NotEnrolled{ID: id}, tenant.Deleted{ID: id, Absent: true})
	same(t, s, "133-delete-registered", "is deleted from Verifier (127.0.0.1:8881)\n", "is deleted from Verifier (127.0.0.1:8881)\n<TS> - keylime.tenant - INFO - Agent "+id+" was not there before either: nothing was deleted\n")

	s = speak(t, nil)
	s.tell(spoken("verifier"), tenant.DeleteStarted{ID: id}, tenant.Deleted{ID: id, Absent: true, AtDelete: true})
	same(t, s, "136-delete-registered-nvc")

	s = speak(t, nil)
	s.tell(spoken("verifier"), tenant.DeleteStarted{ID: id}, tenant.Deleted{ID: id})
	same(t, s, "169-delete-added-nvc")

	name := "170-delete-added-push"
	s = speak(t, func(o *Options) { o.Push = true })
	first := numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))
	again := jsonAfter(t, golden(t, name), "Agent Info from Verifier default (127.0.0.1:8881):", 1)
	s.tell(spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: first}, tenant.DeleteStarted{ID: id, Agent: agentOf(first)},
		tenant.DeleteRetry{ID: id, Try: 1, Max: 5, Delay: 2 * time.Second}, tenant.Deleted{ID: id, Polled: true, Tries: 1})
	// The record is not shown again at each try.
	same(t, s, name, "<TS> - keylime.tenant - INFO - Agent Info from Verifier default (127.0.0.1:8881):\n"+string(again)+"\n", "")

	name = "164-reactivate-added"
	s = speak(t, nil)
	s.tell(spoken("verifier"), tenant.VerifierStatus{ID: id, Reply: numbered(t, jsonAfter(t, golden(t, name), "Agent Info from Verifier (127.0.0.1:8881):", 1))}, tenant.Reactivated{ID: id})
	same(t, s, name)
}

func TestPolicyAnswers(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]tenant.PolicyAnswer{
		"500-listrp-empty":       {Verb: tenant.PolicyList, Kind: tenant.RuntimeKind, Reply: reply(200, "Success", `{"runtimepolicy names": []}`)},
		"526-delrp":              {Verb: tenant.PolicyDelete, Kind: tenant.RuntimeKind, Reply: &client.Reply{HTTP: 204}},
		"118-listmbpolicy-empty": {Verb: tenant.PolicyList, Kind: tenant.MBKind, Reply: reply(200, "Success", `{"mbpolicy names": []}`)},
		"562-showmb-null":        {Verb: tenant.PolicyShow, Kind: tenant.MBKind, Reply: reply(200, "Success", `{"name": "m2", "mb_policy": null}`)},
		"569-delmb":              {Verb: tenant.PolicyDelete, Kind: tenant.MBKind, Reply: &client.Reply{HTTP: 204}},
	} {
		s := speak(t, nil)
		s.tell(spoken("verifier"), e)
		same(t, s, name)
	}
	s := speak(t, nil)
	s.tell(tenant.PolicyMask{Final: 0xfbff, MeasuredBoot: true}, spoken("verifier"), tenant.PolicyAnswer{Verb: tenant.PolicyAdd, Kind: tenant.MBKind, Reply: reply(201, "Created", `{}`)})
	same(t, s, "551-addmb")
}

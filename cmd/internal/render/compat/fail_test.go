package compat

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// refusal is an answer of a server that is no success.
func refusal(kind client.Kind, code int, status string) *client.Error {
	return &client.Error{Server: "server 127.0.0.1:1", Method: "GET", Path: "/p", Kind: kind, HTTP: code, Reply: reply(code, status, "{}")}
}

// broken is a call that got no answer.
func broken(kind client.Kind, cause error) *client.Error {
	return &client.Error{Server: "verifier 127.0.0.1:8881", Method: "GET", Path: "/p", Kind: kind, Err: cause}
}

func step(s tenant.Step, err error) *tenant.StepError {
	return &tenant.StepError{Step: s, ID: id, Nonce: "NONCE", Err: err}
}

func notRegistered(id string) *tenant.NotFoundError {
	return &tenant.NotFoundError{What: "agent", Name: id, Server: tenant.ServerRegistrar, Err: refusal(client.NotFound, 404, "Agent with ID '"+id+"' not found")}
}

func notEnrolled(id string) *tenant.NotFoundError {
	return &tenant.NotFoundError{What: "agent", Name: id, Server: tenant.ServerVerifier, Err: refusal(client.NotFound, 404, "agent id not found")}
}

// TestGoldenFailures compares with recorded runs; what differs is decided in
// TENANT-CLI.md D.
func TestGoldenFailures(t *testing.T) {
	t.Parallel()
	untilQuote := []tenant.Event{spoken("registrar"), pulled(), tenant.PolicyMask{}}
	reached := append(untilQuote, tenant.QuoteReceived{ID: id, Reply: quoteAnswer()})
	checked := append(reached, tenant.QuoteVerified{ID: id, Quote: goodQuote(t)})
	posted := append(append(untilQuote, proven(t)...), spoken("verifier"))
	policy := func(kind tenant.PolicyKind, verb tenant.PolicyVerb, name string, answer *client.Reply) []tenant.Event {
		return []tenant.Event{spoken("verifier"), tenant.PolicyAnswer{Verb: verb, Kind: kind, Name: name, Reply: answer}}
	}
	for _, test := range []struct {
		name, verb string
		events     []tenant.Event
		err        error
		edits      []string
	}{
		{"010-uuid-0", "cvstatus", nil, &tenant.InvalidError{Kind: tenant.InvalidAgentID, Object: "agent id"}, nil},
		{"518-showrp-noname", "showruntimepolicy", nil, &tenant.InvalidError{Kind: tenant.MissingPolicyName, Classic: "--allowlist_name or --runtime_policy_name is required to show a runtime policy"}, nil},
		{"100-add-absent", "add", []tenant.Event{spoken("registrar")}, notRegistered(absent), []string{"Agent $0", "Agent 0"}},
		{"103-status-absent", "status", []tenant.Event{spoken("registrar")}, notRegistered(absent), nil},
		{"104-cvstatus-absent", "cvstatus", []tenant.Event{spoken("verifier"), tenant.NotEnrolled{ID: absent}}, notEnrolled(absent), nil},
		{"106-reactivate-absent", "reactivate", []tenant.Event{spoken("verifier"), tenant.NotEnrolled{ID: absent}}, notEnrolled(absent), nil},
		{"107-regdelete-absent", "regdelete", []tenant.Event{spoken("registrar"), tenant.RegistrarDeleted{ID: absent, Absent: true, Reply: reply(404, "Agent with ID '"+absent+"' not found", "{}")}}, notRegistered(absent), nil},
		{"109-reactivate-absent-nvc", "reactivate", []tenant.Event{spoken("verifier")}, step(tenant.StepReactivate, refusal(client.Refused, 400, "x")),
			[]string{"Verifier (127.0.0.1:8881).", `Verifier (127.0.0.1:8881).: {"code": 400, "status": "x", "results": {}}`}},
		{"370-add-api-9.9", "add", []tenant.Event{spoken("registrar"), tenant.AgentVersion{ID: id, Version: "9.9", Host: "127.0.0.1", Port: 9002}, tenant.PolicyMask{}},
			step(tenant.StepQuote, refusal(client.Refused, 400, "API version not supported: v9.9")), nil},
		{"383-add-alg-hash-refused", "add", reached, step(tenant.StepVerifyQuote, &quote.VerificationError{Check: quote.CheckAcceptedHash, Expected: "sha512", Found: `"sha256"`}), nil},
		{"385-add-alg-enc-refused", "add", reached, step(tenant.StepVerifyQuote, &quote.VerificationError{Check: quote.CheckAcceptedEnc, Expected: "ecc", Found: `"rsa2048"`}), nil},
		{"382-add-ek-script-missing", "add", append(checked, tenant.EKScriptStarted{ID: id, Path: "/nosuch"}),
			step(tenant.StepVerifyEK, &tenant.RefusedError{ID: id, Err: &ek.ScriptError{Kind: ek.ScriptNotFound, Path: "/nosuch"}}), []string{"YDzInUBe6Xe3am2maAXA", "NONCE"}},
		{"379-add-ek-nostore", "add", checked, step(tenant.StepVerifyEK, &ek.VerificationError{Check: ek.CheckStore, Err: errors.New("it is empty")}),
			[]string{"SjFVaL8uuhBxPvoY6HfO", "NONCE", "No Root CA matched EK Certificate\n", "No Root CA matched EK Certificate\n<TS> - keylime.cert_utils - ERROR - EK certificate refused by check \"store\": it is empty\n"}},
		{"296-add-rp-schema-bad", "add", posted, step(tenant.StepEnrol, refusal(client.Refused, 400, "Runtime policy is malformatted: 'meta' is a required property")), nil},
		{"337-add-mb-name-unknown", "add", posted, step(tenant.StepEnrol, &tenant.NotFoundError{What: string(tenant.MBKind), Name: "nosuch", Server: tenant.ServerVerifier,
			Err: refusal(client.NotFound, 404, "Could not find mb_policy with name nosuch!")}), nil},
		{"290-add-again-same-name", "add", posted, step(tenant.StepEnrol, &tenant.ConflictError{What: "agent", Name: id, Reason: "it is there", Err: refusal(client.Conflict, 409, "it is there")}),
			[]string{`"update" first.`, `"update" first. Reason: 409 it is there`}},
		{"517-showrp-missing", "showruntimepolicy", policy(tenant.RuntimeKind, tenant.PolicyShow, "nosuch", reply(404, "Runtime policy nosuch not found", "{}")),
			&tenant.NotFoundError{What: string(tenant.RuntimeKind), Name: "nosuch", Err: refusal(client.NotFound, 404, "Runtime policy nosuch not found")}, nil},
		{"563-showmb-missing", "showmbpolicy", policy(tenant.MBKind, tenant.PolicyShow, "nosuch", reply(404, "Measured boot policy nosuch not found", "{}")),
			&tenant.NotFoundError{What: string(tenant.MBKind), Name: "nosuch", Err: refusal(client.NotFound, 404, "Measured boot policy nosuch not found")}, nil},
		{"340-deletembpolicy-in-use", "deletembpolicy", policy(tenant.MBKind, tenant.PolicyDelete, "m1", reply(409, "Can't delete mb_policy as it's currently in use by agent "+id, "{}")),
			&tenant.ConflictError{What: string(tenant.MBKind), Name: "m1", Err: refusal(client.Conflict, 409, "Can't delete mb_policy as it's currently in use by agent "+id)}, nil},
		{"505-addrp-schema-bad", "addruntimepolicy", append([]tenant.Event{tenant.PolicyMask{Final: 0x400}}, policy(tenant.RuntimeKind, tenant.PolicyAdd, "p2", reply(400, "Runtime policy is malformatted: 'meta' is a required property", "{}"))...),
			step(tenant.StepPolicy, refusal(client.Refused, 400, "Runtime policy is malformatted: 'meta' is a required property")), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := speak(t, nil)
			s.tell(test.events...)
			s.Fail(test.verb, test.err)
			same(t, s, test.name, test.edits...)
		})
	}
}

// TestFailures: outcomes that no recorded run has; the texts are those of the
// source (TENANT-CLI.md A.12) and of section D.
func TestFailures(t *testing.T) {
	t.Parallel()
	const a, v, r = "Agent " + id + " (127.0.0.1:9002)", "Verifier (127.0.0.1:8881)", "Registrar (127.0.0.1:8891)"
	wait := func(s tenant.Step, tries, received int) error {
		return step(s, &tenant.WaitError{ID: id, Tries: tries, Received: received, Cause: "too late"})
	}
	with := func(e error, hint string) error {
		return &tenant.StepError{Step: tenant.StepVerifyEK, ID: id, Hint: hint, Err: e}
	}
	for _, test := range []struct {
		name, verb string
		err        error
		want       []string // the records, without their time; the last line
	}{
		{"registrar down", "regstatus", step(tenant.StepRegistrar, broken(client.Unreachable, syscall.ECONNREFUSED)), []string{
			"keylime.registrar_client - CRITICAL - verifier 127.0.0.1:8881 cannot be reached: connection refused [Connection refused]",
			"keylime.tenant - ERROR - Agent " + id + " does not exist on " + r + ", or the registrar could not be asked: verifier 127.0.0.1:8881 cannot be reached: connection refused [Connection refused]"}},
		{"registrar broken", "add", step(tenant.StepRegistrar, refusal(client.Refused, 500, "oops")), []string{
			"keylime.registrar_client - CRITICAL - Error: unexpected http response code from Registrar Server: 500",
			"keylime.registrar_client - CRITICAL - Response code 500: oops",
			`keylime.tenant - ERROR - Agent ` + id + ` data not found in the Registrar, or the registrar could not be asked: server 127.0.0.1:1: GET /p: 500 Internal Server Error: "oops"`}},
		{"no common version", "cvlist", &tenant.StepError{Step: tenant.StepList, ID: tenant.ServerVerifier, Err: &client.NoCommonVersionError{Ours: client.Supported()[:1], Theirs: versions("3.0")}}, []string{
			"keylime.tenant - ERROR - No compatible API version with verifier. Tenant supports: ['1.0', '2.0'], Server supports: ['3.0']"}},
		{"no common version with the agent", "add", step(tenant.StepAgentVersion, &client.NoCommonVersionError{Ours: client.Supported()[:1], Theirs: versions("3.0")}), []string{
			"keylime.tenant - ERROR - No compatible API version between tenant and agent " + id + ". Agent supports: ['3.0'], Tenant supports: ['1.0', '2.0']",
			"keylime.tenant - ERROR - Agent " + id + " has no compatible API version. Agent supports: ['3.0'], Tenant supports: ['1.0', '2.0']"}},
		{"agent refuses us", "add", step(tenant.StepAgentVersion, broken(client.ClientRefused, errors.New("alert"))), []string{
			"keylime.tenant - ERROR - Keylime agent does not recognize mTLS certificate form tenant. Check if agents trusted_client_ca is configured correctly [SSLError: TLSV1_ALERT_UNKNOWN_CA]"}},
		{"agent gone", "add", step(tenant.StepAgentVersion, broken(client.Unreachable, io.EOF)), []string{
			"keylime.tenant - ERROR - verifier 127.0.0.1:8881 cannot be reached: EOF [SSLError: EOF occurred in violation of protocol]"}},
		{"no quote", "add", step(tenant.StepQuote, broken(client.TimedOut, errors.New("late"))), []string{
			"keylime.tenant - ERROR - Tenant cannot establish connection to " + a + ": verifier 127.0.0.1:8881: GET /p: late [Read timed out]"}},
		{"bad quote", "add", step(tenant.StepVerifyQuote, &quote.VerificationError{Check: quote.CheckNonce, Expected: "a", Found: "b"}), []string{
			`keylime.tpm - ERROR - quote refused by check "nonce": expected a, found b`,
			"keylime.tenant - ERROR - TPM Quote from " + a + " is invalid for nonce: NONCE"}},
		{"no EK certificate", "add", step(tenant.StepVerifyEK, &ek.VerificationError{Check: ek.CheckNoCertificate, Err: errors.New("none")}), []string{
			"keylime.tenant - WARNING - No EK cert provided, require_ek_cert option in config set to True for " + a,
			"keylime.tenant - ERROR - TPM Quote from " + a + " is invalid for nonce: NONCE"}},
		{"EK of the push model", "add", with(&ek.VerificationError{Check: ek.CheckDates, Err: errors.New("old")}, "look"), []string{
			`keylime.cert_utils - ERROR - EK certificate refused by check "dates": old; look`,
			"keylime.tenant - WARNING - Invalid EK certificate for " + a,
			"keylime.tenant - ERROR - EK of " + a + " is not trusted"}},
		{"EK script cannot run", "add", step(tenant.StepVerifyEK, &ek.ScriptError{Kind: ek.ScriptNotRun, Path: "/s", Err: errors.New("denied")}), []string{
			"keylime.cert_utils - ERROR - Error while trying to run external check script to validate EK: EK script /s cannot be run: denied",
			"keylime.tenant - ERROR - TPM Quote from " + a + " is invalid for nonce: NONCE"}},
		{"U refused", "add", step(tenant.StepPostU, refusal(client.Refused, 400, "no")), []string{
			`keylime.tenant - ERROR - Posting of encrypted U to ` + a + ` failed with response code 400 ({"code": 400, "status": "no", "results": {}})`}},
		{"verifier down", "add", step(tenant.StepEnrol, refusal(client.Refused, 503, "no")), []string{"keylime.tenant - ERROR - Cannot connect to " + v + " while adding " + a + ". Connection refused."}},
		{"verifier late", "add", step(tenant.StepEnrol, refusal(client.Refused, 504, "no")), []string{"keylime.tenant - ERROR - " + v + " timed out while adding " + a + "."}},
		{"enrolled already", "add", step(tenant.StepEnrol, &tenant.ConflictError{What: "agent", Name: id, Reason: "is enrolled"}), []string{
			"keylime.tenant - ERROR - " + v + " responded indicating a conflict for agent " + a + `. Run "delete" or "update" first. Reason: agent ` + id + " is enrolled"}},
		{"not shown", "add", wait(tenant.StepWaitAdded, 5, 0), []string{"keylime.tenant - ERROR - " + a + " still not added to " + v + " after 5 tries"}},
		{"not deleted", "delete", wait(tenant.StepWaitDeleted, 5, 0), []string{"keylime.tenant - ERROR - " + a + " was not deleted from " + v + " after 5 tries"}},
		{"key not derived", "add", wait(tenant.StepVerifyKey, 5, 3), []string{"keylime.tenant - ERROR - Failed key derivation for " + a + " (expected length 96, received 3)"}},
		{"key not derived for a reason", "add", step(tenant.StepVerifyKey, &tenant.RefusedError{ID: id, State: "Invalid Quote", Cause: "bad", Err: &tenant.WaitError{Cause: "late"}}), []string{
			"keylime.tenant - ERROR - Failed key derivation for " + a + ` (expected length 96, received 0): agent ` + id + ` is in state "Invalid Quote": bad`}},
		{"status refused", "cvstatus", step(tenant.StepStatus, refusal(client.Refused, 500, "oops")), []string{
			"keylime.tenant - ERROR - Status command response: 500. Unexpected response from " + v + " while checking status for " + a + ` : <Response [500]>: {"code": 500, "status": "oops", "results": {}}`}},
		{"status 503", "cvstatus", step(tenant.StepStatus, refusal(client.Refused, 503, "oops")), []string{"keylime.tenant - ERROR - Cannot connect to " + v + ". Connection refused."}},
		{"status 504", "cvstatus", step(tenant.StepStatus, refusal(client.Refused, 504, "oops")), []string{"keylime.tenant - ERROR - " + v + " timed out."}},
		{"delete refused", "delete", step(tenant.StepDelete, refusal(client.Refused, 500, "oops")), []string{
			"keylime.tenant - ERROR - Unexpected response code 500 from " + v + " while deleting " + a + `: {"code": 500, "status": "oops", "results": {}}`}},
		{"delete 503", "delete", step(tenant.StepDelete, refusal(client.Refused, 503, "")), []string{"keylime.tenant - ERROR - Cannot connect to " + v + " to delete " + a + ". Connection refused."}},
		{"untrusted", "cvlist", step(tenant.StepList, broken(client.ServerUntrusted, errors.New("unknown CA"))), []string{
			"keylime.tenant - ERROR - verifier 127.0.0.1:8881 is not trusted: unknown CA [SSLError: CERTIFICATE_VERIFY_FAILED]"}},
		{"reset", "reglist", step(tenant.StepList, broken(client.ClientRefused, syscall.ECONNRESET)), []string{
			"keylime.tenant - ERROR - verifier 127.0.0.1:8881 refuses our client certificate: connection reset by peer [Connection reset by peer]"}},
		{"list refused", "cvlist", &tenant.StepError{Step: tenant.StepList, ID: tenant.ServerVerifier, Err: refusal(client.Refused, 500, "oops")}, []string{
			"keylime.tenant - ERROR - Status command response: 500. Unexpected response from " + v + ` while providing agent list : <Response [500]>: {"code": 500, "status": "oops", "results": {}}`}},
		{"list 503", "cvlist", &tenant.StepError{Step: tenant.StepList, ID: tenant.ServerVerifier, Err: refusal(client.Refused, 503, "oops")}, []string{"keylime.tenant - ERROR - Cannot connect to " + v + ". Connection refused."}},
		{"bulk refused", "bulkinfo", &tenant.StepError{Step: tenant.StepList, ID: tenant.ServerVerifier, Err: refusal(client.Refused, 503, "oops")}, []string{
			"keylime.tenant - ERROR - Status command response: 503. Unexpected response from " + v + ` while providing bulk status for all agents : <Response [503]>: {"code": 503, "status": "oops", "results": {}}`}},
		{"reglist refused", "reglist", &tenant.StepError{Step: tenant.StepList, ID: tenant.ServerRegistrar, Err: refusal(client.Refused, 500, "oops")}, []string{
			"keylime.registrar_client - WARNING - Registrar returned: 500 Unexpected response from registrar.",
			"keylime.registrar_client - WARNING - Response code 500: oops",
			"keylime.tenant - ERROR - Agent list from " + r + ` not retrieved: server 127.0.0.1:1: GET /p: 500 Internal Server Error: "oops"`}},
		{"regdelete refused", "regdelete", step(tenant.StepRegDelete, &client.Error{Server: "s", Method: "DELETE", Path: "/p", Kind: client.Refused, HTTP: 500, Reply: &client.Reply{HTTP: 500, Body: []byte("<html>")}}), []string{
			"keylime.registrar_client - WARNING - Status command response: 500 Unexpected response from registrar.",
			"keylime.registrar_client - ERROR - Error: unexpected or malformed http response payload",
			"keylime.tenant - ERROR - Agent " + id + " was not deleted from " + r + ": s: DELETE /p: 500 Internal Server Error"}},
		{"stop refused", "stop", step(tenant.StepStop, refusal(client.Refused, 500, "")), []string{
			"keylime.tenant - ERROR - Stop command response: 500 Unexpected response from " + v + `.: {"code": 500, "status": "", "results": {}}`}},
		{"another step", "add", step(tenant.StepWait, errors.New("lost")), []string{"keylime.tenant - ERROR - lost"}},
		{"owned register", "add", &tenant.InvalidError{Kind: tenant.PCROwned, Classic: "WARNING: PCR 15 is specified"}, []string{"keylime.cli.policies - ERROR - WARNING: PCR 15 is specified"}},
		{"our own words", "add", &tenant.InvalidError{Kind: tenant.InvalidJSON, Object: "o", Cause: "c", Hint: "h"}, []string{"keylime.tenant - ERROR - o: c; h"}},
		{"anything else", "add", io.ErrUnexpectedEOF, []string{"keylime.tenant - ERROR - unexpected EOF"}},
		{"with a text of the old grammar", "frob", oldText{}, []string{"keylime.tenant - ERROR - Invalid command specified: frob"}},
		{"left behind", "add", &tenant.UndoneError{Err: step(tenant.StepEnrol, refusal(client.Refused, 504, "")), Left: []tenant.Leftover{{What: "it stays", Command: []string{"keylime_tenant", "delete", "x"}}, {What: "that too"}}}, []string{
			"keylime.tenant - ERROR - " + v + " timed out while adding " + a + ".",
			"keylime.tenant - WARNING - it stays; to remove it: keylime_tenant delete x",
			"keylime.tenant - WARNING - that too"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := speak(t, nil)
			s.tell(pulled())
			s.out.Reset()
			s.Fail(test.verb, test.err)
			want := "<TS> - " + strings.Join(test.want, "\n<TS> - ") + "\n"
			if s.text() != want {
				t.Errorf("got\n%swant\n%s", s.text(), want)
			}
		})
	}
}

type oldText struct{}

func (oldText) Error() string   { return "no such verb" }
func (oldText) Classic() string { return "Invalid command specified: frob" }

// TestScript: what the script wrote appears once, in the record that fits.
func TestScript(t *testing.T) {
	t.Parallel()
	output := []byte("AGENT_UUID=x\nEK=-----BEGIN PUBLIC KEY-----\n")
	s := speak(t, nil)
	s.tell(pulled(), tenant.EKScriptStarted{ID: id, Path: "/s"}, tenant.EKScriptOutput{ID: id, Output: output}, tenant.IdentityProven{ID: id})
	if !strings.Contains(s.text(), "keylime.cert_utils - INFO - ek_check output: AGENT_UUID=x\nEK=-----BEGIN PUBLIC KEY-----\n\n<TS> - keylime.tenant - INFO - Quote from") {
		t.Errorf("got\n%s", s.text())
	}
	s = speak(t, nil)
	s.tell(pulled(), tenant.EKScriptOutput{ID: id, Output: output})
	s.Fail("add", step(tenant.StepVerifyEK, &tenant.RefusedError{Err: &ek.ScriptError{Kind: ek.ScriptRefused, Path: "/s", Output: output}}))
	if text := s.text(); !strings.Contains(text, "keylime.cert_utils - ERROR - External check script failed to validate EK: AGENT_UUID=x\n") || strings.Count(text, "AGENT_UUID") != 1 {
		t.Errorf("got\n%s", text)
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	for option, what := range map[string]string{"--runtime-policy-url": "IMA policy", "--allowlist-url": "Allowlist", "--signature-verification-key-url": "key", "--signature-verification-key-sig-url": "key signature", "--other": "--other"} {
		s := speak(t, nil)
		s.tell(tenant.Downloading{What: option, URL: "http://h/p"})
		s.Fail("add", refusal(client.NotFound, 404, ""))
		want := fmt.Sprintf("<TS> - keylime.tenant - INFO - Downloading %s from http://h/p\n<TS> - keylime.tenant - ERROR - Downloading %s (http://h/p) failed with status code 404!\n", what, what)
		if s.text() != want {
			t.Errorf("got\n%swant\n%s", s.text(), want)
		}
	}
}

// TestOtherEvents: records that no recorded run has.
func TestOtherEvents(t *testing.T) {
	t.Parallel()
	const a, v = "Agent " + id + " (127.0.0.1:9002)", "Verifier (127.0.0.1:8881)"
	fallback := func(err error, gone bool) tenant.ServerVersion {
		return tenant.ServerVersion{Server: "verifier", Negotiation: client.Negotiation{Version: client.Current(), Fallback: true, Gone: gone, Err: err}}
	}
	using := "keylime.tenant - INFO - Using API version 2.6 for verifier communication"
	for _, test := range []struct {
		event tenant.Event
		want  []string
	}{
		{fallback(broken(client.Unreachable, syscall.ECONNREFUSED), false), []string{"keylime.tenant - WARNING - Error fetching versions from verifier: verifier 127.0.0.1:8881 cannot be reached: connection refused [Connection refused]", using}},
		{fallback(refusal(client.Refused, 500, ""), false), []string{"keylime.tenant - WARNING - Failed to get versions from verifier: 500", using}},
		{fallback(refusal(client.Refused, 410, ""), true), []string{using}},
		{tenant.AgentVersion{ID: id, Version: "2.6", Host: "h", Port: 1, Negotiation: &client.Negotiation{Fallback: true, Version: client.Current()}}, []string{
			"keylime.tenant - WARNING - Could not detect supported API version. Defaulting to 2.6 (push_model=False, agent_ip=h, agent_port=1)", "keylime.tenant - INFO - Using API version 2.6 for agent communication"}},
		{tenant.PlainAgent{ID: id, Connecting: true, Disabled: true}, []string{"keylime.tenant - WARNING - Connecting to " + a + " without using mTLS!"}},
		{tenant.QuoteRetry{ID: id, Try: 1, Max: 5, Delay: 2 * time.Second}, []string{"keylime.tenant - INFO - Tenant connection to " + a + " refused 1/5 times, trying again in 2.0 seconds..."}},
		{tenant.QuoteRetry{ID: id, Try: 2, Max: 5, Delay: 100 * time.Millisecond}, []string{"keylime.tenant - INFO - Tenant connection to " + a + " refused 2/5 times, trying again in 0.1 seconds..."}},
		{tenant.AddRetry{ID: id, Try: 1, Max: 5, Delay: 2500 * time.Millisecond}, []string{"keylime.tenant - INFO - " + a + " still not added to " + v + " at try 1/5, trying again in 2 seconds..."}},
		{tenant.EKUnchecked{ID: id}, []string{"keylime.tenant - WARNING - DANGER: EK cert checking is disabled and no additional checks on EKs have been specified with ek_check_script option for " + a + ". Keylime is not secure!!"}},
		{tenant.EKSkipped{Path: "/s/a.pem", Err: errors.New("asn1: structure error: x")}, []string{"keylime.cert_utils - WARNING - Ignoring certificate file /s/a.pem: asn1: structure issue: x"}},
		{tenant.Stopped{ID: id}, []string{"keylime.tenant - INFO - " + a + " stopped"}},
		{tenant.SignatureVerified{Name: "x509.pem", Key: true}, []string{"keylime.tenant - INFO - Signature verification on x509.pem was successful"}},
		{tenant.SignatureRefused{Envelope: true, Err: errors.New("no valid signature found")}, []string{"keylime.signing - WARNING - Unable to verify DSSE envelope: no valid signature found"}},
		{tenant.SignatureRefused{Err: errors.New("bad")}, []string{"keylime.signing - WARNING - Unable to verify signature: bad"}},
		{tenant.Warning{Kind: tenant.WarnDefaultID, ID: id, Text: "x"}, []string{"keylime.tenant - WARNING - Using default UUID " + id}},
		{tenant.Warning{Kind: tenant.WarnDeprecated, Text: "--supported-version is deprecated"}, []string{"keylime.tenant - WARNING - --supported-version is deprecated"}},
		{tenant.Warning{Kind: tenant.WarnPCROwner, Text: "WARNING: PCR 0 is specified"}, []string{"keylime.cli.policies - WARNING - WARNING: PCR 0 is specified"}},
		{tenant.Warning{Kind: tenant.WarnRegCount, ID: id}, []string{"keylime.tenant - WARNING - WARNING: " + a + " had more than one ek-ekcert registered to it! This might indicate that your system is misconfigured or a malicious host is present. Run 'regdelete' for this agent and restart"}},
		{tenant.Warning{Kind: tenant.WarnPushPayload, Text: "nothing is delivered, an error", Hint: "leave it out"}, []string{"keylime.tenant - WARNING - nothing is delivered, an issue; leave it out"}},
		{tenant.Undone{What: "it was deleted"}, []string{"keylime.tenant - INFO - Taken back: it was deleted"}},
	} {
		s := speak(t, nil)
		s.agentAt(id, "127.0.0.1", 9002)
		s.tell(test.event)
		if want := "<TS> - " + strings.Join(test.want, "\n<TS> - ") + "\n"; s.text() != want {
			t.Errorf("%T: got\n%swant\n%s", test.event, s.text(), want)
		}
	}
	s := speak(t, nil)
	s.tell(tenant.PlainAgent{ID: "fake-mtlsdisabled", Disabled: true})
	if all, err := recorded(); err != nil || !strings.Contains(all["620-add-fake-mtlsdisabled"], s.text()) {
		t.Errorf("not as recorded: %s, %v", s.text(), err)
	}
	s = speak(t, nil)
	s.tell(tenant.UDelivered{}, tenant.Enrolled{}, tenant.EKVerified{}, tenant.LegacyConverted{Name: "x"})
	if s.text() != "" {
		t.Errorf("upstream is silent here: %s", s.text())
	}
}

// TestTrace: the DEBUG record of a request has the shape that suites look for.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := speak(t, nil)
	trace := client.Trace{Method: "GET", URL: "https://127.0.0.1:8881/v2.6/agents/?verifier=", HTTP: 200, Received: 67}
	s.Trace(trace)
	if s.text() != "" {
		t.Errorf("a DEBUG record although the level is INFO: %s", s.text())
	}
	s = speak(t, nil)
	ini, err := config.ParseINI("logging.conf", []byte("[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[formatter_f]\nformat=%(asctime)s.%(msecs)03d - %(name)s - %(levelname)s - %(message)s\ndatefmt=%Y-%m-%d %H:%M:%S\n[logger_root]\nlevel=DEBUG\nhandlers=h\n[handler_h]\nclass=StreamHandler\nformatter=f\nargs=(sys.stdout,)\n"))
	if err != nil {
		t.Fatal(err)
	}
	debug, err := pylog.Parse(ini)
	if err != nil {
		t.Fatal(err)
	}
	log, err := pylog.New(debug, pylog.Options{Out: s.out, Err: s.out, Now: func() time.Time { return time.Unix(0, 0).UTC() }})
	if err != nil {
		t.Fatal(err)
	}
	s.Renderer = New(Options{Log: log, Out: s.out})
	s.Trace(trace)
	s.Trace(client.Trace{Method: "GET", URL: "https://127.0.0.1:8881/x"})
	if want := `<TS> - urllib3.connectionpool - DEBUG - https://127.0.0.1:8881 "GET /v2.6/agents/?verifier= HTTP/1.1" 200 67` + "\n"; s.text() != want {
		t.Errorf("got %swant %s", s.text(), want)
	}
}

func TestForgiven(t *testing.T) {
	t.Parallel()
	if !Forgiven("regdelete", fmt.Errorf("x: %w", notRegistered(id))) || Forgiven("regstatus", notRegistered(id)) || Forgiven("regdelete", io.EOF) {
		t.Error("only regdelete of an unknown agent is forgiven")
	}
}

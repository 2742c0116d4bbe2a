package verifier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sync"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// validID is what an agent id may consist of (PROTOCOL.md 0.3).
var validID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL\pN_.-]+$`) })

// required are the keys that a POST must have, in the order in which upstream
// misses them.
var required = [...]string{"tpm_policy", "metadata", "ima_sign_verification_keys", "revocation_key", "accept_tpm_hash_algs",
	"accept_tpm_encryption_algs", "accept_tpm_signing_algs", "ak_tpm", "runtime_policy", "mb_policy_name", "mb_policy"}

func exception(format string, a ...any) serve.Answer {
	return serve.Fail(http.StatusBadRequest, "Exception error: "+fmt.Sprintf(format, a...))
}

// readAdd reads the body of POST /agents/:id. ok is false beside a refusal.
func readAdd(body []byte) (request wire.AddRequest, no serve.Answer, ok bool) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return request, exception("%v", err), false
	}
	for _, key := range required {
		if _, present := keys[key]; !present {
			return request, exception("'%s'", key), false
		}
	}
	if string(keys["runtime_policy"]) == "null" {
		return request, exception("argument should be a bytes-like object or ASCII string, not 'NoneType'"), false
	}
	// null is as good as absent for the other ones.
	for key, value := range keys {
		if bytes.Equal(value, []byte("null")) {
			delete(keys, key)
		}
	}
	present, err := json.Marshal(keys)
	if err == nil {
		err = json.Unmarshal(present, &request)
	}
	if err != nil {
		return request, exception("%v", err), false
	}
	return request, serve.Answer{}, true
}

// add answers POST /agents/:id, with the checks of PROTOCOL.md 4.1 in their
// order. It is all or nothing.
func (s *Server) add(r *serve.Request) serve.Answer {
	id := r.Params["id"]
	if !validID().MatchString(id) {
		return serve.Fail(http.StatusBadRequest, "agent_id not not valid")
	}
	if len(r.Body) == 0 {
		return serve.Fail(http.StatusBadRequest, "Expected non zero content length")
	}
	request, no, ok := readAdd(r.Body)
	if !ok {
		return no
	}
	if s.o.Push {
		request.CloudagentIP, request.CloudagentPort = nil, nil // nobody is asked there
	} else if no, ok := transportable(request); !ok {
		return no
	}
	request.SupportedVersion = spoken(request.SupportedVersion)
	runtime, no, ok := readRuntime(request.RuntimePolicy)
	if request.RuntimePolicy != "" && !ok {
		return no
	}
	if no, ok := readKeyring(request.IMASignVerificationKeys); !ok {
		return no
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if no, ok := s.checkRuntimeName(request); !ok {
		return no
	}
	if s.agents[id] != nil {
		return serve.Failf(http.StatusConflict, "Agent of uuid %s already exists. Please use delete or update.", id)
	}
	if no, ok := s.checkMBName(id, request); !ok {
		return no
	}
	e := &enrolled{ID: id, Request: request, RuntimeName: nameOr(request.RuntimePolicyName, id), MBName: nameOr(request.MBPolicyName, id)}
	if request.RuntimePolicy != "" {
		s.runtime.set(e.RuntimeName, &runtime)
	} else if request.RuntimePolicyName == "" {
		empty := emptyRuntimePolicy()
		s.runtime.set(e.RuntimeName, &empty)
	}
	if request.MBPolicy != nil || request.MBPolicyName == "" {
		s.mb.set(e.MBName, request.MBPolicy)
	}
	e.Record = s.newRecord(e)
	s.agents[id] = e
	s.order = append(s.order, id)
	if s.o.Push {
		e.Push = &pushed{Accept: true}
	} else {
		s.poll(e)
	}
	return s.saved(serve.OK(nil))
}

func nameOr(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// transportable says whether the agent can be asked at all.
func transportable(request wire.AddRequest) (serve.Answer, bool) {
	if request.MTLSCert == nil || *request.MTLSCert == registrar.Disabled {
		return serve.Fail(http.StatusBadRequest, "mTLS certificate for agent is required!"), false
	}
	if request.CloudagentIP == nil || request.CloudagentPort == nil {
		return exception("'cloudagent_ip': this lab's verifier asks agents itself, and must know where"), false
	}
	return serve.Answer{}, true
}

// spoken is the version to speak with an agent: the one posted, or the current
// one if that is none (PROTOCOL.md 2.3).
func spoken(text string) string {
	version, err := client.ParseVersion(text)
	if err != nil || version.Major != client.Current().Major || version.Compare(client.Current()) > 0 {
		return client.Current().String()
	}
	return text
}

func (s *Server) checkRuntimeName(request wire.AddRequest) (serve.Answer, bool) {
	name, content := request.RuntimePolicyName, request.RuntimePolicy != ""
	switch known := s.runtime.has(name); {
	case name != "" && content && known:
		return serve.Failf(http.StatusConflict, "IMA policy with name %s already exists. Please use a different name or delete the allowlist from the verifier.", name), false
	case name != "" && !content && !known:
		return serve.Failf(http.StatusNotFound, "Could not find IMA policy with name %s!", name), false
	}
	return serve.Answer{}, true
}

func (s *Server) checkMBName(id string, request wire.AddRequest) (serve.Answer, bool) {
	name, content := request.MBPolicyName, request.MBPolicy != nil
	switch known := s.mb.has(nameOr(name, id)); {
	case name != "" && content && known:
		return serve.Failf(http.StatusConflict, "mb_policy with name %s already exists. Please use a different name or delete the mb_policy from the verifier.", name), false
	case name != "" && !content && !known:
		return serve.Failf(http.StatusNotFound, "Could not find mb_policy with name %s!", name), false
	case name == "" && content && known:
		return serve.Failf(http.StatusConflict, "mb_policy with name %s already exists. You can delete the mb_policy from the verifier.", id), false
	}
	return serve.Answer{}, true
}

// newRecord is what a verifier tells of an agent that was just added. The
// caller holds the lock.
func (s *Server) newRecord(e *enrolled) wire.Record {
	q := e.Request
	record := wire.Record{
		OperationalState: wire.Start, V: q.V, IP: q.CloudagentIP,
		TPMPolicy: q.TPMPolicy, MetaData: q.Metadata,
		AcceptTPMHashAlgs: q.AcceptTPMHashAlgs, AcceptTPMEncryptionAlgs: q.AcceptTPMEncryptionAlgs, AcceptTPMSigningAlgs: q.AcceptTPMSigningAlgs,
		VerifierID: s.o.ID, VerifierIP: q.VerifierIP, VerifierPort: q.VerifierPort,
	}
	if q.CloudagentPort != nil {
		port := int(*q.CloudagentPort)
		record.Port = &port
	}
	if s.o.Push {
		record.OperationalState = wire.GetQuote // and stays there
	}
	if record.VerifierIP == "" {
		record.VerifierIP = s.o.Host
	}
	if record.VerifierPort == 0 {
		record.VerifierPort = wire.Port(s.port)
	}
	if s.mb.get(e.MBName) != nil {
		record.HasMBRefstate = 1
	}
	if text := s.runtime.get(e.RuntimeName); text != nil && generatorOf(*text) > generatorEmpty {
		record.HasRuntimePolicy = 1
	}
	return record
}

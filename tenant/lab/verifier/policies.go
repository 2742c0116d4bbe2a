package verifier

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// policies are policies of one kind by name, in the order they were added.
type policies []stored

// stored is a policy under a name; Text is nil for a measured-boot policy that
// was posted as null.
type stored struct {
	Name string  `json:"name"`
	Text *string `json:"text"`
}

func (p policies) index(name string) int {
	return slices.IndexFunc(p, func(s stored) bool { return s.Name == name })
}

func (p policies) has(name string) bool { return p.index(name) >= 0 }

// get is the text of a policy, nil if it is null or unknown.
func (p policies) get(name string) *string {
	if i := p.index(name); i >= 0 {
		return p[i].Text
	}
	return nil
}

func (p *policies) set(name string, text *string) {
	if i := p.index(name); i >= 0 {
		(*p)[i].Text = text
		return
	}
	*p = append(*p, stored{name, text})
}

func (p *policies) remove(name string) {
	*p = slices.DeleteFunc(*p, func(s stored) bool { return s.Name == name })
}

func (p policies) names() []string {
	names := []string{}
	for _, s := range p {
		names = append(names, s.Name)
	}
	return names
}

// generatorEmpty is the generator of the built-in empty policy.
const generatorEmpty = runtime.GeneratorEmpty

// emptyRuntimePolicy is the policy of an agent for which none was posted.
func emptyRuntimePolicy() string { return string(runtime.Empty().Marshal()) }

// generatorOf is meta.generator of a policy's text.
func generatorOf(text string) int {
	var p struct {
		Meta struct {
			Generator int `json:"generator"`
		} `json:"meta"`
	}
	if json.Unmarshal([]byte(text), &p) != nil {
		return runtime.GeneratorUnknown
	}
	return p.Meta.Generator
}

// readRuntime decodes and checks a runtime policy as it is posted: base64 of
// the policy or of an envelope, which is opened without checking its signature,
// as upstream does unless told otherwise. It returns the policy's JSON text; ok
// is false beside a refusal.
func readRuntime(encoded string) (text string, no serve.Answer, ok bool) {
	refuse := func(format string, a ...any) (string, serve.Answer, bool) {
		return "", serve.Failf(http.StatusBadRequest, format, a...), false
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return refuse("Runtime policy is not base64: %v", err)
	}
	if dsse.IsEnvelope(data) {
		if data, err = dsse.Payload(data); err != nil {
			return refuse("Runtime policy cannot be taken out of its envelope: %v", err)
		}
	}
	p, err := runtime.ParsePolicy(data)
	var schema *runtime.SchemaError
	switch {
	case errors.As(err, &schema):
		return refuse("Runtime policy is malformatted: %s", schema.Message)
	case err != nil:
		return refuse("Runtime policy is not valid JSON!")
	}
	// What cannot be evaluated is not taken: it would only seem to be checked.
	if _, err := runtime.NewEvaluator(p, runtime.Options{}); err != nil {
		return refuse("Runtime policy cannot be evaluated by this lab: %v", err)
	}
	return string(data), serve.Answer{}, true
}

// readKeyring checks ima_sign_verification_keys.
func readKeyring(text string) (serve.Answer, bool) {
	if text == "" {
		return serve.Answer{}, true
	}
	if _, err := runtime.ParseKeyring(text); err != nil {
		return exception("%v", err), false
	}
	return serve.Answer{}, true
}

// users are the agents that use a policy. The caller holds the lock.
func (s *Server) users(name string, of func(*enrolled) string) []string {
	var ids []string
	for _, id := range s.order {
		if of(s.agents[id]) == name {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *Server) listRuntime(*serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return serve.OK(wire.RuntimePolicyNames{Names: s.runtime.names()})
}

func (s *Server) showRuntime(r *serve.Request) serve.Answer {
	name := r.Params["name"]
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.runtime.get(name)
	if text == nil {
		return serve.Failf(http.StatusNotFound, "Runtime policy %s not found", name)
	}
	return serve.OK(wire.RuntimePolicyRecord{Name: name, RuntimePolicy: *text})
}

func (s *Server) addRuntime(r *serve.Request) serve.Answer {
	return s.storeRuntime(r, func(name string, known bool) (serve.Answer, bool) {
		return serve.Failf(http.StatusConflict, "Runtime policy with name %s already exists", name), !known
	})
}

func (s *Server) updateRuntime(r *serve.Request) serve.Answer {
	return s.storeRuntime(r, func(name string, known bool) (serve.Answer, bool) {
		return serve.Failf(http.StatusNotFound, "Runtime policy with name %s does not already exist, use POST to create", name), known
	})
}

// storeRuntime stores a runtime policy if allowed says that the name will do.
func (s *Server) storeRuntime(r *serve.Request, allowed func(name string, known bool) (serve.Answer, bool)) serve.Answer {
	name := r.Params["name"]
	if len(r.Body) == 0 {
		return serve.Fail(http.StatusBadRequest, "Expected non zero content length")
	}
	var request wire.RuntimePolicyRequest
	if err := json.Unmarshal(r.Body, &request); err != nil {
		return exception("%v", err)
	}
	if request.RuntimePolicy == "" {
		return exception("'runtime_policy'")
	}
	text, no, ok := readRuntime(request.RuntimePolicy)
	s.mu.Lock()
	defer s.mu.Unlock()
	if no, ok := allowed(name, s.runtime.has(name)); !ok {
		return no
	}
	if !ok {
		return no
	}
	s.runtime.set(name, &text)
	return s.saved(serve.Fail(http.StatusCreated, ""))
}

func (s *Server) deleteRuntime(r *serve.Request) serve.Answer {
	name := r.Params["name"]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runtime.has(name) {
		return serve.Failf(http.StatusNotFound, "Runtime policy %s not found", name)
	}
	if users := s.users(name, func(e *enrolled) string { return e.RuntimeName }); len(users) > 0 {
		return serve.Failf(http.StatusConflict, "Can't delete allowlist as it's currently in use by agent %s", strings.Join(users, ", "))
	}
	s.runtime.remove(name)
	return s.saved(serve.Bare(http.StatusNoContent))
}

func (s *Server) listMB(*serve.Request) serve.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return serve.OK(wire.MBPolicyNames{Names: s.mb.names()})
}

func (s *Server) showMB(r *serve.Request) serve.Answer {
	name := r.Params["name"]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mb.has(name) {
		return serve.Failf(http.StatusNotFound, "Measured boot policy %s not found", name)
	}
	return serve.OK(wire.MBPolicyRecord{Name: name, MBPolicy: s.mb.get(name)})
}

func (s *Server) addMB(r *serve.Request) serve.Answer {
	return s.storeMB(r, func(name string, known bool) (serve.Answer, bool) {
		return serve.Failf(http.StatusConflict, "Measured boot policy with name %s already exists", name), !known
	})
}

// updateMB answers 409 for an unknown name, not 404, as upstream does.
func (s *Server) updateMB(r *serve.Request) serve.Answer {
	return s.storeMB(r, func(name string, known bool) (serve.Answer, bool) {
		return serve.Failf(http.StatusConflict, "Measured boot policy with name %s does not already exist", name), known
	})
}

// storeMB stores a measured-boot policy if allowed says that the name will do.
// The content is judged when it is used, as upstream does.
func (s *Server) storeMB(r *serve.Request, allowed func(name string, known bool) (serve.Answer, bool)) serve.Answer {
	name := r.Params["name"]
	if len(r.Body) == 0 {
		return serve.Fail(http.StatusBadRequest, "Expected non zero content length")
	}
	var request wire.MBPolicyRequest
	if err := json.Unmarshal(r.Body, &request); err != nil {
		return exception("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if no, ok := allowed(name, s.mb.has(name)); !ok {
		return no
	}
	s.mb.set(name, request.MBPolicy)
	return s.saved(serve.Fail(http.StatusCreated, ""))
}

func (s *Server) deleteMB(r *serve.Request) serve.Answer {
	name := r.Params["name"]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mb.has(name) {
		return serve.Failf(http.StatusNotFound, "Measured boot policy %s not found", name)
	}
	if users := s.users(name, func(e *enrolled) string { return e.MBName }); len(users) > 0 {
		return serve.Failf(http.StatusConflict, "Can't delete mb_policy as it's currently in use by agent %s", strings.Join(users, ", "))
	}
	s.mb.remove(name)
	return s.saved(serve.Bare(http.StatusNoContent))
}

package verifier

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

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

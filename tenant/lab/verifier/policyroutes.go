package verifier

import (
	"encoding/json"
	"net/http"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
)

// policyKind is what the endpoints of the two kinds of policies differ in
// (PROTOCOL.md 4.6 and 4.7).
type policyKind struct {
	// path is that of the list, action the last word of the actions' names.
	path, action string
	// name is what messages call a policy of the kind, old what the refusal to
	// delete one calls it.
	name, old string
	stored    *policies
	// list and record are the results of reading.
	list   func(names []string) any
	record func(name string, text *string) any
	// read reads the body of a request. What is wrong with its form counts before
	// the name, what is wrong with the policy after it; nil is nothing.
	read func(body []byte) (text *string, form, content *serve.Answer)
	// unknown is the answer to a change of a policy that is not there.
	unknown func(name string) serve.Answer
	// of is the name of the policy that an agent uses.
	of func(*enrolled) string
}

func (s *Server) runtimeKind() policyKind {
	return policyKind{
		path: "/allowlists", action: "runtime_polic", name: "Runtime policy", old: "allowlist", stored: &s.runtime,
		list:   func(names []string) any { return wire.RuntimePolicyNames{Names: names} },
		record: func(name string, text *string) any { return wire.RuntimePolicyRecord{Name: name, RuntimePolicy: *text} },
		read:   readRuntimeRequest,
		unknown: func(name string) serve.Answer {
			return serve.Failf(http.StatusNotFound, "Runtime policy with name %s does not already exist, use POST to create", name)
		},
		of: func(e *enrolled) string { return e.RuntimeName },
	}
}

func (s *Server) mbKind() policyKind {
	return policyKind{
		path: "/mbpolicies", action: "mb_polic", name: "Measured boot policy", old: "mb_policy", stored: &s.mb,
		list:   func(names []string) any { return wire.MBPolicyNames{Names: names} },
		record: func(name string, text *string) any { return wire.MBPolicyRecord{Name: name, MBPolicy: text} },
		read:   readMBRequest,
		// 409 and not 404, as upstream does.
		unknown: func(name string) serve.Answer {
			return serve.Failf(http.StatusConflict, "Measured boot policy with name %s does not already exist", name)
		},
		of: func(e *enrolled) string { return e.MBName },
	}
}

func readRuntimeRequest(body []byte) (text *string, form, content *serve.Answer) {
	var request wire.RuntimePolicyRequest
	if err := json.Unmarshal(body, &request); err != nil {
		no := exception("%v", err)
		return nil, &no, nil
	}
	if request.RuntimePolicy == "" {
		no := exception("'runtime_policy'")
		return nil, &no, nil
	}
	policy, no, ok := readRuntime(request.RuntimePolicy)
	if !ok {
		return nil, nil, &no
	}
	return &policy, nil, nil
}

// readMBRequest takes any content: it is judged when it is used, as upstream
// does.
func readMBRequest(body []byte) (text *string, form, content *serve.Answer) {
	var request wire.MBPolicyRequest
	if err := json.Unmarshal(body, &request); err != nil {
		no := exception("%v", err)
		return nil, &no, nil
	}
	return request.MBPolicy, nil, nil
}

// policyRoutes are the endpoints of a kind.
func (s *Server) policyRoutes(k policyKind) []serve.Route {
	one := k.path + "/{name}"
	route := func(method, path, action string, handle func(*serve.Request) serve.Answer) serve.Route {
		return serve.Route{Method: method, Path: path, Rights: serve.Admin, Action: action, Handle: handle}
	}
	locked := func(handle func(name string) serve.Answer) func(*serve.Request) serve.Answer {
		return func(r *serve.Request) serve.Answer {
			s.mu.Lock()
			defer s.mu.Unlock()
			return handle(r.Params["name"])
		}
	}
	return []serve.Route{
		route(http.MethodGet, k.path, "list_"+k.action+"ies", locked(func(string) serve.Answer { return serve.OK(k.list(k.stored.names())) })),
		route(http.MethodGet, one, "read_"+k.action+"y", locked(k.show)),
		route(http.MethodPost, one, "create_"+k.action+"y", func(r *serve.Request) serve.Answer {
			return s.storePolicy(k, r, func(name string, known bool) (serve.Answer, bool) {
				return serve.Failf(http.StatusConflict, "%s with name %s already exists", k.name, name), !known
			})
		}),
		route(http.MethodPut, one, "update_"+k.action+"y", func(r *serve.Request) serve.Answer {
			return s.storePolicy(k, r, func(name string, known bool) (serve.Answer, bool) { return k.unknown(name), known })
		}),
		route(http.MethodDelete, one, "delete_"+k.action+"y", locked(func(name string) serve.Answer { return s.deletePolicy(k, name) })),
	}
}

func (k policyKind) notFound(name string) serve.Answer {
	return serve.Failf(http.StatusNotFound, "%s %s not found", k.name, name)
}

// show shows a policy. The caller holds the lock.
func (k policyKind) show(name string) serve.Answer {
	if !k.stored.has(name) {
		return k.notFound(name)
	}
	return serve.OK(k.record(name, k.stored.get(name)))
}

// storePolicy stores a policy if allowed says that the name will do.
func (s *Server) storePolicy(k policyKind, r *serve.Request, allowed func(name string, known bool) (serve.Answer, bool)) serve.Answer {
	name := r.Params["name"]
	if len(r.Body) == 0 {
		return serve.Fail(http.StatusBadRequest, "Expected non zero content length")
	}
	text, form, content := k.read(r.Body)
	if form != nil {
		return *form
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if no, ok := allowed(name, k.stored.has(name)); !ok {
		return no
	}
	if content != nil {
		return *content
	}
	k.stored.set(name, text)
	return s.saved(serve.Fail(http.StatusCreated, ""))
}

// deletePolicy deletes a policy that nobody uses. The caller holds the lock.
func (s *Server) deletePolicy(k policyKind, name string) serve.Answer {
	if !k.stored.has(name) {
		return k.notFound(name)
	}
	if users := s.users(name, k.of); len(users) > 0 {
		return serve.Failf(http.StatusConflict, "Can't delete %s as it's currently in use by agent %s", k.old, strings.Join(users, ", "))
	}
	k.stored.remove(name)
	return s.saved(serve.Bare(http.StatusNoContent))
}

package tenant

import (
	"context"
	"encoding/json"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// RuntimePolicies are the runtime policies that a verifier keeps by name.
type RuntimePolicies interface {
	RuntimePolicies(ctx context.Context) ([]string, *client.Reply, error)
	RuntimePolicy(ctx context.Context, name string) (*verifier.RuntimePolicy, *client.Reply, error)
	AddRuntimePolicy(ctx context.Context, name string, request verifier.RuntimePolicyRequest) (*client.Reply, error)
	UpdateRuntimePolicy(ctx context.Context, name string, request verifier.RuntimePolicyRequest) (*client.Reply, error)
	DeleteRuntimePolicy(ctx context.Context, name string) (*client.Reply, error)
}

// MBPolicies are the measured-boot policies that a verifier keeps by name.
type MBPolicies interface {
	MBPolicies(ctx context.Context) ([]string, *client.Reply, error)
	MBPolicy(ctx context.Context, name string) (*verifier.MBPolicy, *client.Reply, error)
	AddMBPolicy(ctx context.Context, name string, request verifier.MBPolicyRequest) (*client.Reply, error)
	UpdateMBPolicy(ctx context.Context, name string, request verifier.MBPolicyRequest) (*client.Reply, error)
	DeleteMBPolicy(ctx context.Context, name string) (*client.Reply, error)
}

// PolicyStore is what the use cases ask of a verifier about stored policies.
type PolicyStore interface {
	RuntimePolicies
	MBPolicies
}

// PolicyVerb is what is done with a stored policy.
type PolicyVerb string

// The verbs about stored policies.
const (
	PolicyAdd    PolicyVerb = "add"
	PolicyUpdate PolicyVerb = "update"
	PolicyShow   PolicyVerb = "show"
	PolicyDelete PolicyVerb = "delete"
	PolicyList   PolicyVerb = "list"
)

// PolicyKind is the kind of a stored policy.
type PolicyKind string

// The kinds of stored policies.
const (
	RuntimeKind PolicyKind = "runtime policy"
	MBKind      PolicyKind = "measured-boot policy"
)

// PolicyRequest is a verb about stored policies.
type PolicyRequest struct {
	Verb PolicyVerb
	Kind PolicyKind
	// Name of the policy; not for PolicyList.
	Name string
	// Input is the content, for PolicyAdd and PolicyUpdate: Runtime (with
	// Checksum, SignatureKey, Exclude), Allowlist and TPM for one kind,
	// MeasuredBoot for the other. Names in it count for nothing.
	Input PolicyInput
	// Compat as in [AddRequest].
	Compat bool
}

// PolicyResult is the outcome of a verb about stored policies.
type PolicyResult struct {
	Verb PolicyVerb `json:"-"`
	Kind PolicyKind `json:"kind"`
	Name string     `json:"name,omitempty"`
	// Names answers PolicyList.
	Names []string `json:"names,omitzero"`
	// Policy answers PolicyShow: the policy itself, or a JSON string where the
	// verifier holds text that is not JSON.
	Policy json.RawMessage `json:"policy,omitzero"`
	Reply  *client.Reply   `json:"-"`
}

// Policy does a verb about stored policies. Content is checked before the
// first packet.
//
// Errors: *[InvalidError] for the input, *[NotFoundError], *[ConflictError]
// (the name is taken, or the policy is in use), *[StepError] for everything
// else. Whatever the verifier answers is told as [PolicyAnswer] too.
func (t *Tenant) Policy(ctx context.Context, r PolicyRequest) (*PolicyResult, error) {
	if err := checkPolicyRequest(r); err != nil {
		return nil, err
	}
	var n notes
	var p checkedPolicies
	if r.Verb == PolicyAdd || r.Verb == PolicyUpdate {
		in := r.Input
		in.RuntimeName, in.MeasuredBootName = "", ""
		var err error
		if p, err = t.checkPolicies("", in, nil, r.Compat, &n); err != nil {
			t.tell(n)
			return nil, err
		}
		t.emit(p.mask)
	}
	t.tell(n)
	if err := t.askVerifier(ctx); err != nil {
		return nil, &StepError{Step: StepPolicy, ID: r.Name, Err: err}
	}
	result := &PolicyResult{Verb: r.Verb, Kind: r.Kind, Name: r.Name}
	err := t.policyCall(ctx, r, p, result)
	if result.Reply == nil {
		result.Reply = replyOf(err)
	}
	if result.Reply != nil {
		t.emit(PolicyAnswer{Verb: r.Verb, Kind: r.Kind, Name: r.Name, Reply: result.Reply})
	}
	if err != nil {
		return nil, policyError(r, err)
	}
	return result, nil
}

// tell emits what was noted.
func (t *Tenant) tell(n notes) {
	for _, e := range n {
		t.emit(e)
	}
}

func (t *Tenant) policyCall(ctx context.Context, r PolicyRequest, p checkedPolicies, result *PolicyResult) (err error) {
	runtimeBody := verifier.RuntimePolicyRequest{TPMPolicy: p.tpmWire(), RuntimePolicy: p.runtimeWire(), RuntimePolicyKey: p.runtimeKeyWire()}
	mbBody := verifier.MBPolicyRequest{MBPolicy: p.measuredBoot}
	type call struct {
		kind PolicyKind
		verb PolicyVerb
	}
	switch (call{r.Kind, r.Verb}) {
	case call{RuntimeKind, PolicyAdd}:
		result.Reply, err = t.Verifier.AddRuntimePolicy(ctx, r.Name, runtimeBody)
	case call{RuntimeKind, PolicyUpdate}:
		result.Reply, err = t.Verifier.UpdateRuntimePolicy(ctx, r.Name, runtimeBody)
	case call{RuntimeKind, PolicyDelete}:
		result.Reply, err = t.Verifier.DeleteRuntimePolicy(ctx, r.Name)
	case call{RuntimeKind, PolicyList}:
		result.Names, result.Reply, err = t.Verifier.RuntimePolicies(ctx)
	case call{RuntimeKind, PolicyShow}:
		var policy *verifier.RuntimePolicy
		if policy, result.Reply, err = t.Verifier.RuntimePolicy(ctx, r.Name); err == nil {
			result.Policy = asJSON(&policy.RuntimePolicy)
		}
	case call{MBKind, PolicyAdd}:
		result.Reply, err = t.Verifier.AddMBPolicy(ctx, r.Name, mbBody)
	case call{MBKind, PolicyUpdate}:
		result.Reply, err = t.Verifier.UpdateMBPolicy(ctx, r.Name, mbBody)
	case call{MBKind, PolicyDelete}:
		result.Reply, err = t.Verifier.DeleteMBPolicy(ctx, r.Name)
	case call{MBKind, PolicyList}:
		result.Names, result.Reply, err = t.Verifier.MBPolicies(ctx)
	case call{MBKind, PolicyShow}:
		var policy *verifier.MBPolicy
		if policy, result.Reply, err = t.Verifier.MBPolicy(ctx, r.Name); err == nil {
			result.Policy = asJSON(policy.MBPolicy)
		}
	}
	return err
}

// asJSON is a stored text as JSON: itself if it is JSON, else as a string.
func asJSON(text *string) json.RawMessage {
	if text == nil {
		return json.RawMessage("null")
	}
	if json.Valid([]byte(*text)) {
		return json.RawMessage(*text)
	}
	quoted, _ := json.Marshal(*text) // a string cannot fail
	return quoted
}

// policyError names a failed verb by its cause.
func policyError(r PolicyRequest, err error) error {
	kind := client.KindOf(err)
	switch {
	case kind == client.NotFound,
		// An update of a measured-boot policy that is not there is a conflict on
		// the wire (PROTOCOL.md 4.7).
		kind == client.Conflict && r.Verb == PolicyUpdate && r.Kind == MBKind:
		return &NotFoundError{What: string(r.Kind), Name: r.Name, Server: ServerVerifier, Err: err, Hint: policyListHint(r)}
	case kind == client.Conflict:
		hint := "an agent uses it: delete or update that agent first"
		if r.Verb == PolicyAdd {
			hint = "keylime_tenant " + policyCommand(PolicyUpdate, r.Kind) + " " + r.Name + " replaces it"
		}
		return &ConflictError{What: string(r.Kind), Name: r.Name, Reason: serverText(err), Hint: hint, Err: err}
	}
	return &StepError{Step: StepPolicy, ID: r.Name, Err: err}
}

func policyListHint(r PolicyRequest) string {
	if r.Verb == PolicyUpdate {
		return "keylime_tenant " + policyCommand(PolicyAdd, r.Kind) + " " + r.Name + " stores it"
	}
	return "keylime_tenant " + policyCommand(PolicyList, r.Kind) + " shows what there is"
}

// policyCommand is the name of a verb in the command line.
func policyCommand(verb PolicyVerb, kind PolicyKind) string {
	if kind == MBKind {
		return string(verb) + "mbpolicy"
	}
	return string(verb) + "runtimepolicy"
}

// checkPolicyRequest checks what concerns the verb, before the content.
func checkPolicyRequest(r PolicyRequest) error {
	if r.Verb == PolicyList {
		return nil
	}
	if r.Name == "" {
		return missingPolicyName(r)
	}
	if err := CheckPolicyName(r.Name); err != nil {
		return err
	}
	if r.Verb != PolicyAdd && r.Verb != PolicyUpdate {
		return nil
	}
	if r.Kind == MBKind && r.Input.MeasuredBoot == nil {
		return &InvalidError{Kind: MissingPolicy, Object: policyCommand(r.Verb, r.Kind), Cause: "there is no measured-boot policy to store",
			Hint: "add --mb-policy FILE"}
	}
	if r.Kind == RuntimeKind && r.Input.Runtime == nil && r.Input.Allowlist == nil {
		return &InvalidError{Kind: MissingPolicy, Object: policyCommand(r.Verb, r.Kind), Cause: "there is no runtime policy to store",
			Hint: "add --runtime-policy FILE", Classic: "--allowlist or --runtime_policy is required to add a runtime policy"}
	}
	return nil
}

// missingPolicyName has the Python tenant's texts, slips included: suites look
// for them (TENANT-CLI.md A.12).
func missingPolicyName(r PolicyRequest) error {
	option, classic := "--runtime-policy-name", ""
	switch {
	case r.Kind == MBKind && (r.Verb == PolicyAdd || r.Verb == PolicyUpdate):
		option, classic = "--mb-policy-name", "mb_policy_name is required to add measure boot policy"
	case r.Kind == MBKind:
		option, classic = "--mb-policy-name", "--mb_policy_name is required to "+string(r.Verb)+" a runtime policy"
	case r.Verb == PolicyAdd || r.Verb == PolicyUpdate:
		classic = "runtime_policy_name is required to add a runtime policy"
	default:
		classic = "--allowlist_name or --runtime_policy_name is required to " + string(r.Verb) + " a runtime policy"
	}
	return &InvalidError{Kind: MissingPolicyName, Object: policyCommand(r.Verb, r.Kind), Cause: "the name of a policy is missing",
		Hint: "name it: keylime_tenant " + policyCommand(r.Verb, r.Kind) + " NAME, in the classic grammar " + option + " NAME", Classic: classic}
}

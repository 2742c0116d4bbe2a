package tenant

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
)

// emptyPolicy is what a verifier stores for an agent without a runtime policy.
const emptyPolicy = `{"meta": {"version": 1, "generator": 1}, "release": 0, "digests": {}, "excludes": [], "keyrings": {}, "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`

// fakeVerifier behaves as PROTOCOL.md section 4 says, slips included.
type fakeVerifier struct{ w *world }

func (v fakeVerifier) Add(ctx context.Context, id string, r verifier.AddRequest) (*client.Reply, error) {
	after, err := v.w.call("verifier.Add")
	if err != nil {
		return nil, err
	}
	w := v.w
	w.posted = append(w.posted, r)
	_, taken := w.runtime[r.RuntimePolicyName]
	switch {
	case r.RuntimePolicyName != "" && r.RuntimePolicy != "" && taken:
		return nil, conflict("IMA policy with name " + r.RuntimePolicyName + " already exists. Please use a different name or delete the allowlist from the verifier.")
	case r.RuntimePolicyName != "" && r.RuntimePolicy == "" && !taken:
		return nil, notFound("Could not find IMA policy with name " + r.RuntimePolicyName + "!")
	case w.enrolled[id] != nil:
		return nil, conflict("Agent of uuid " + id + " already exists. Please use delete or update.")
	}
	runtimeName, mbName := r.RuntimePolicyName, r.MBPolicyName
	if runtimeName == "" {
		runtimeName = id
	}
	if _, taken := w.runtime[runtimeName]; !taken {
		content, _ := base64.StdEncoding.DecodeString(r.RuntimePolicy)
		if w.runtime[runtimeName] = string(content); r.RuntimePolicy == "" {
			w.runtime[runtimeName] = emptyPolicy
		}
	}
	if mbName == "" {
		mbName = id
		w.mb[mbName] = r.MBPolicy
	} else if r.MBPolicy != nil {
		w.mb[mbName] = r.MBPolicy
	} else if _, ok := w.mb[mbName]; !ok {
		return nil, notFound("Could not find mb_policy with name " + mbName + "!")
	}
	w.enrol(id, r)
	w.used[id] = [2]string{runtimeName, mbName}
	return &client.Reply{HTTP: 200}, after(ctx.Err())
}

// enrol puts an agent into the verifier's table.
func (w *world) enrol(id string, r verifier.AddRequest) *verifier.Agent {
	a := &verifier.Agent{ID: id, State: verifier.Start, Record: verifier.Record{
		V: r.V, IP: r.CloudagentIP, TPMPolicy: r.TPMPolicy, MetaData: r.Metadata, VerifierID: "default", VerifierIP: r.VerifierIP, VerifierPort: r.VerifierPort,
		AcceptTPMHashAlgs: r.AcceptTPMHashAlgs, AcceptTPMEncryptionAlgs: r.AcceptTPMEncryptionAlgs, AcceptTPMSigningAlgs: r.AcceptTPMSigningAlgs,
		AttestationStatus: "PENDING", MaximumAttestationInterval: "10s",
	}}
	if r.CloudagentPort != nil {
		port := int(*r.CloudagentPort)
		a.Port = &port
	}
	if r.RuntimePolicy != "" || r.RuntimePolicyName != "" {
		a.HasRuntimePolicy = 1
	}
	if r.MBPolicy != nil || r.MBPolicyName != "" {
		a.HasMBRefstate = 1
	}
	if r.V != nil && !w.withholdV {
		content, _ := base64.StdEncoding.DecodeString(string(*r.V))
		w.vs = append(w.vs, payload.NewSecret(content))
	}
	w.enrolled[id] = a
	return a
}

func (v fakeVerifier) Agent(ctx context.Context, id string) (*verifier.Agent, *client.Reply, error) {
	after, err := v.w.call("verifier.Agent")
	if err != nil {
		return nil, nil, err
	}
	a := v.w.enrolled[id]
	if a != nil && a.State == verifier.Terminated {
		if v.w.terminating--; v.w.terminating < 0 {
			v.w.forget(id)
			a = nil
		}
	}
	if a == nil {
		return nil, nil, notFound("agent id not found")
	}
	if v.w.shows != nil {
		v.w.shows(a, v.w.count["verifier.Agent"])
	}
	copied := *a
	return &copied, &client.Reply{HTTP: 200}, after(ctx.Err())
}

// forget removes an agent and the policies named like it.
func (w *world) forget(id string) {
	delete(w.enrolled, id)
	delete(w.used, id)
	delete(w.runtime, id)
	delete(w.mb, id)
}

func (v fakeVerifier) Delete(ctx context.Context, id string) (bool, *client.Reply, error) {
	after, err := v.w.call("verifier.Delete")
	if err != nil {
		return false, nil, err
	}
	if v.w.enrolled[id] == nil {
		return false, nil, notFound("agent id not found")
	}
	if v.w.pending > 0 {
		v.w.enrolled[id].State = verifier.Terminated
		v.w.terminating = v.w.pending
		return true, &client.Reply{HTTP: 202}, after(ctx.Err())
	}
	v.w.forget(id)
	return false, &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (v fakeVerifier) Agents(ctx context.Context, _ string) ([]string, *client.Reply, error) {
	if _, err := v.w.call("verifier.Agents"); err != nil {
		return nil, nil, err
	}
	return slices.Sorted(maps.Keys(v.w.enrolled)), &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) Bulk(ctx context.Context, _ string) ([]verifier.Agent, *client.Reply, error) {
	if _, err := v.w.call("verifier.Bulk"); err != nil {
		return nil, nil, err
	}
	var all []verifier.Agent
	for _, id := range slices.Sorted(maps.Keys(v.w.enrolled)) {
		all = append(all, *v.w.enrolled[id])
	}
	return all, &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) Stop(ctx context.Context, id string) (*client.Reply, error) {
	if _, err := v.w.call("verifier.Stop"); err != nil {
		return nil, err
	}
	if v.w.enrolled[id] == nil {
		return nil, refusal(client.Refused, 400, "Exception error: No row was found when one was required")
	}
	v.w.enrolled[id].State = verifier.TenantQuoteFailed
	return &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) Reactivate(ctx context.Context, id string) (*client.Reply, error) {
	if _, err := v.w.call("verifier.Reactivate"); err != nil {
		return nil, err
	}
	if v.w.enrolled[id] == nil {
		return nil, refusal(client.Refused, 400, "Exception error: No row was found when one was required")
	}
	return &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) RuntimePolicies(ctx context.Context) ([]string, *client.Reply, error) {
	if _, err := v.w.call("verifier.RuntimePolicies"); err != nil {
		return nil, nil, err
	}
	return slices.Sorted(maps.Keys(v.w.runtime)), &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) RuntimePolicy(ctx context.Context, name string) (*verifier.RuntimePolicy, *client.Reply, error) {
	after, err := v.w.call("verifier.RuntimePolicy")
	if err != nil {
		return nil, nil, err
	}
	content, ok := v.w.runtime[name]
	if !ok {
		return nil, nil, notFound("Runtime policy " + name + " not found")
	}
	return &verifier.RuntimePolicy{RuntimePolicyRecord: verifier.RuntimePolicyRecord{Name: name, RuntimePolicy: content}}, &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (v fakeVerifier) AddRuntimePolicy(ctx context.Context, name string, r verifier.RuntimePolicyRequest) (*client.Reply, error) {
	if _, err := v.w.call("verifier.AddRuntimePolicy"); err != nil {
		return nil, err
	}
	if _, ok := v.w.runtime[name]; ok {
		return nil, conflict("Runtime policy with name " + name + " already exists")
	}
	return v.putRuntime(name, r)
}

func (v fakeVerifier) UpdateRuntimePolicy(ctx context.Context, name string, r verifier.RuntimePolicyRequest) (*client.Reply, error) {
	if _, err := v.w.call("verifier.UpdateRuntimePolicy"); err != nil {
		return nil, err
	}
	if _, ok := v.w.runtime[name]; !ok {
		return nil, notFound("Runtime policy with name " + name + " does not already exist, use POST to create")
	}
	return v.putRuntime(name, r)
}

func (v fakeVerifier) putRuntime(name string, r verifier.RuntimePolicyRequest) (*client.Reply, error) {
	content, err := base64.StdEncoding.DecodeString(r.RuntimePolicy)
	if err != nil || len(content) == 0 {
		return nil, refusal(client.Refused, 500, "")
	}
	v.w.runtime[name] = string(content)
	v.w.log = append(v.w.log, "tpm_policy "+r.TPMPolicy)
	return &client.Reply{HTTP: 201, Code: 201, Status: "Created"}, nil
}

func (v fakeVerifier) DeleteRuntimePolicy(ctx context.Context, name string) (*client.Reply, error) {
	after, err := v.w.call("verifier.DeleteRuntimePolicy")
	if err != nil {
		return nil, err
	}
	if _, ok := v.w.runtime[name]; !ok {
		return nil, notFound("Runtime policy " + name + " not found")
	}
	for id, used := range v.w.used {
		if used[0] == name {
			return nil, conflict("Can't delete allowlist as it's currently in use by agent " + id)
		}
	}
	delete(v.w.runtime, name)
	return &client.Reply{HTTP: 204}, after(ctx.Err())
}

func (v fakeVerifier) MBPolicies(ctx context.Context) ([]string, *client.Reply, error) {
	if _, err := v.w.call("verifier.MBPolicies"); err != nil {
		return nil, nil, err
	}
	return slices.Sorted(maps.Keys(v.w.mb)), &client.Reply{HTTP: 200}, nil
}

func (v fakeVerifier) MBPolicy(ctx context.Context, name string) (*verifier.MBPolicy, *client.Reply, error) {
	after, err := v.w.call("verifier.MBPolicy")
	if err != nil {
		return nil, nil, err
	}
	content, ok := v.w.mb[name]
	if !ok {
		return nil, nil, notFound("Measured boot policy " + name + " not found")
	}
	return &verifier.MBPolicy{MBPolicyRecord: verifier.MBPolicyRecord{Name: name, MBPolicy: content}}, &client.Reply{HTTP: 200}, after(ctx.Err())
}

func (v fakeVerifier) AddMBPolicy(ctx context.Context, name string, r verifier.MBPolicyRequest) (*client.Reply, error) {
	if _, err := v.w.call("verifier.AddMBPolicy"); err != nil {
		return nil, err
	}
	if _, ok := v.w.mb[name]; ok {
		return nil, conflict("Measured boot policy with name " + name + " already exists")
	}
	v.w.mb[name] = r.MBPolicy
	return &client.Reply{HTTP: 201, Code: 201, Status: "Created"}, nil
}

func (v fakeVerifier) UpdateMBPolicy(ctx context.Context, name string, r verifier.MBPolicyRequest) (*client.Reply, error) {
	if _, err := v.w.call("verifier.UpdateMBPolicy"); err != nil {
		return nil, err
	}
	if _, ok := v.w.mb[name]; !ok {
		return nil, conflict("Measured boot policy with name " + name + " does not already exist")
	}
	v.w.mb[name] = r.MBPolicy
	return &client.Reply{HTTP: 201, Code: 201, Status: "Created"}, nil
}

func (v fakeVerifier) DeleteMBPolicy(ctx context.Context, name string) (*client.Reply, error) {
	if _, err := v.w.call("verifier.DeleteMBPolicy"); err != nil {
		return nil, err
	}
	if _, ok := v.w.mb[name]; !ok {
		return nil, notFound("Measured boot policy " + name + " not found")
	}
	delete(v.w.mb, name)
	return &client.Reply{HTTP: 204}, nil
}

package tenant

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/pyre"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// runtime reads the runtime policy, or makes it of an old allowlist, and adds
// the excludes (PROTOCOL.md 10.1, 10.2, 10.5).
func (c policyCheck) runtime(p *checkedPolicies) error {
	if c.in.Runtime != nil && c.in.Allowlist != nil {
		return &InvalidError{Kind: InvalidRuntimePolicy, Object: "runtime policy", Cause: "a policy and an allowlist are given: only one of them can be it"}
	}
	if c.in.SignatureKey != nil && c.in.Runtime == nil {
		return &InvalidError{Kind: InvalidSignature, Object: "key " + c.in.SignatureKey.Name, Cause: "there is no runtime policy file whose signature it could check"}
	}
	if err := c.checkSum(); err != nil {
		return err
	}
	patterns, err := c.excludes()
	if err != nil {
		return err
	}
	switch {
	case c.in.Runtime != nil:
		return c.runtimeFile(p, patterns)
	case c.in.Allowlist != nil:
		return c.allowlist(p, patterns)
	case c.in.Exclude != nil && c.in.RuntimeName != "":
		c.warn(WarnExcludeAlone, "--exclude", "the exclude list "+c.in.Exclude.Name+" has no effect: a policy that is stored on the verifier is not changed by it",
			"put the patterns into the policy, and store that with updateruntimepolicy")
	case c.in.Exclude != nil:
		c.warn(WarnExcludeAlone, "--exclude", "the exclude list "+c.in.Exclude.Name+" has no effect without a runtime policy",
			"add --runtime-policy FILE, or leave the list out")
	}
	return nil
}

// excludes reads the exclude list; nil if there is none.
func (c policyCheck) excludes() ([]string, error) {
	if c.in.Exclude == nil {
		return nil, nil
	}
	patterns, warnings, err := runtime.ParseExcludes(c.in.Exclude.Content)
	if err != nil {
		return nil, &InvalidError{Kind: InvalidExclude, Object: "exclude list " + c.in.Exclude.Name, Err: err,
			Hint: "each line is a Python regular expression that must match from the beginning of the path, for example /tmp/.*"}
	}
	if c.in.Allowlist != nil {
		// Beside an allowlist upstream takes them as comments too.
		return patterns, nil
	}
	for _, text := range warnings {
		c.warn(WarnExcludeComment, "--exclude", "exclude list "+c.in.Exclude.Name+": "+text, "")
	}
	return patterns, nil
}

func (c policyCheck) runtimeFile(p *checkedPolicies, patterns []string) error {
	file := *c.in.Runtime
	content, err := c.unsealed(p)
	if err != nil {
		return err
	}
	p.runtime, p.payload = file.Content, content
	policy, err := c.judge(file.Name, content)
	if err != nil || c.in.Exclude == nil {
		return err
	}
	switch {
	case dsse.IsEnvelope(file.Content):
		return &InvalidError{Kind: InvalidExclude, Object: "exclude list " + c.in.Exclude.Name, Cause: "a signed policy cannot be changed without spoiling its signature",
			Hint: "put the patterns into the policy, then sign it"}
	case policy == nil:
		return &InvalidError{Kind: InvalidExclude, Object: "exclude list " + c.in.Exclude.Name, Cause: "runtime policy " + file.Name + " has not the form of one, so nothing can be added to it"}
	}
	if c.compat {
		c.deprecated("--exclude")
	}
	if policy.AddExcludes(patterns) > 0 {
		p.runtime = policy.Marshal()
		p.payload = p.runtime
	}
	return c.joined("runtime policy "+file.Name, policy)
}

// joined checks all excludes of a policy together, as a verifier applies them:
// one that is wrong makes it ignore every one (PROTOCOL.md 10.1).
func (c policyCheck) joined(object string, policy *runtime.Policy) error {
	_, err := pyre.Join(policy.Excludes)
	if err == nil {
		return nil
	}
	if c.compat {
		c.warn(WarnPolicyOpen, object, object+": the verifier will ignore all excludes: "+err.Error(), "")
		return nil
	}
	return &InvalidError{Kind: InvalidExclude, Object: "excludes of " + object, Err: err,
		Hint: "a verifier ignores all excludes when one of them is not a Python regular expression"}
}

// judge parses a policy. In the compatible mode one that is JSON, but against
// the schema, is let through with a warning and is then nil: suites look for
// the verifier's own refusal (TENANT-CLI.md D).
func (c policyCheck) judge(name string, content []byte) (*runtime.Policy, error) {
	object := "runtime policy " + name
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, &InvalidError{Kind: InvalidRuntimePolicy, Object: object, Cause: "the file is empty"}
	}
	policy, err := runtime.ParsePolicy(content)
	var schema *runtime.SchemaError
	switch {
	case errors.As(err, &schema) && c.compat && isObject(content):
		c.warn(WarnSchema, object, object+" will be refused by the verifier: "+err.Error(), "")
		return nil, nil
	case err != nil:
		return nil, &InvalidError{Kind: InvalidRuntimePolicy, Object: object, Err: err,
			Hint: "keylime_tenant policy check FILE shows every fault; keylime-policy create runtime makes a policy"}
	}
	if err := c.joined(object, policy); err != nil {
		return nil, err
	}
	c.lint(object, policy)
	return policy, nil
}

// lint tells what in a valid policy will not do what it is for.
func (c policyCheck) lint(object string, policy *runtime.Policy) {
	if c.compat {
		return
	}
	for _, note := range policy.Lint() {
		if note.Grave {
			c.warn(WarnPolicyOpen, object, object+": "+note.Message, note.Remedy)
		}
	}
}

// isObject says whether a text is a JSON object.
func isObject(text []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(text, &object) == nil && object != nil
}

func (c policyCheck) deprecated(option string) {
	c.warn(WarnDeprecated, option, option+" is deprecated: a runtime policy holds both lists",
		"convert them once with keylime_convert_runtime_policy, and use --runtime-policy")
}

func (c policyCheck) allowlist(p *checkedPolicies, patterns []string) error {
	file := *c.in.Allowlist
	c.deprecated("--allowlist")
	policy, warnings, err := runtime.ConvertLegacy(file.Content, nil, c.t.now())
	if err != nil {
		return &InvalidError{Kind: InvalidRuntimePolicy, Object: "allowlist " + file.Name, Err: err,
			Hint: "an allowlist is lines of digest and path, or JSON with \"hashes\"; a runtime policy belongs to --runtime-policy"}
	}
	c.notes.add(LegacyConverted{Name: file.Name, Flat: !json.Valid(file.Content)})
	for _, text := range warnings {
		c.warn(WarnPolicyOpen, "--allowlist", "allowlist "+file.Name+": "+text, "")
	}
	if c.in.Exclude != nil {
		c.deprecated("--exclude")
		policy.AddExcludes(patterns)
	}
	p.runtime = policy.Marshal()
	p.payload = p.runtime
	_, err = c.judge(file.Name, p.runtime)
	return err
}

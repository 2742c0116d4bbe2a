package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// heldPolicy is a policy that the agent is held against, and its text.
type heldPolicy struct {
	ExplainedPolicy
	// text is nil if there is none or it could not be had.
	text []byte
	// file is the path by which commands call it.
	file string
}

// known says that the policy could be had.
func (p heldPolicy) known() bool { return p.text != nil }

// checkPolicies refuses a request with policies that are none.
func (e *explainer) checkPolicies() error {
	if err := CheckAgentID(e.r.ID); err != nil {
		return err
	}
	if in := e.r.MBPolicy; in != nil {
		if _, err := measuredboot.Parse(in.Content); err != nil && !measuredboot.IsEmpty(in.Content) {
			return &InvalidError{Kind: InvalidMBPolicy, Object: "measured-boot policy " + in.Name, Cause: err.Error(), Err: err}
		}
	}
	if in := e.r.RuntimePolicy; in != nil {
		if _, err := parseRuntime(in.Content); err != nil {
			return &InvalidError{Kind: InvalidRuntimePolicy, Object: "runtime policy " + in.Name, Cause: err.Error(), Err: err}
		}
	}
	return nil
}

// parseRuntime reads a runtime policy, plain or in an envelope, whose signature
// is not verified: only what is in it is of interest here.
func parseRuntime(text []byte) (*runtime.Policy, error) {
	if dsse.IsEnvelope(text) {
		var err error
		if text, err = dsse.Payload(text); err != nil {
			return nil, err
		}
	}
	return runtime.ParsePolicy(text)
}

// policyShelf is one kind of stored policies.
type policyShelf struct {
	kind PolicyKind
	// demanded says that the agent is held against one.
	demanded bool
	given    *Input
	option   string
	file     string
	read     func(ctx context.Context, name string) (*string, error)
	list     func(ctx context.Context) ([]string, error)
}

// findPolicies finds out what the agent is held against, as far as the verifier
// shows it.
func (e *explainer) findPolicies(ctx context.Context) {
	store, a := e.t.Verifier, e.agent
	e.boot = e.findPolicy(ctx, policyShelf{kind: MBKind, demanded: a.HasMBRefstate != 0, given: e.r.MBPolicy, option: "--mb-policy", file: FileMBPolicy,
		read: func(ctx context.Context, name string) (*string, error) {
			p, _, err := store.MBPolicy(ctx, name)
			if err != nil {
				return nil, err
			}
			return p.MBPolicy, nil
		},
		list: func(ctx context.Context) ([]string, error) {
			names, _, err := store.MBPolicies(ctx)
			return names, err
		}})
	// With PCR 10 in the mask a verifier judges files in any case, by the empty
	// policy if there is no other (PROTOCOL.md 11.2).
	e.files = e.findPolicy(ctx, policyShelf{kind: RuntimeKind, demanded: a.HasRuntimePolicy != 0 || e.mask&imaMask != 0,
		given: e.r.RuntimePolicy, option: "--runtime-policy", file: FileRuntimePolicy,
		read: func(ctx context.Context, name string) (*string, error) {
			p, _, err := store.RuntimePolicy(ctx, name)
			if err != nil {
				return nil, err
			}
			return &p.RuntimePolicy, nil
		},
		list: func(ctx context.Context) ([]string, error) {
			names, _, err := store.RuntimePolicies(ctx)
			return names, err
		}})
	e.x.Policies = []ExplainedPolicy{e.boot.ExplainedPolicy, e.files.ExplainedPolicy}
	if a.HasRuntimePolicy != 0 && e.mask&imaMask == 0 {
		e.note("it has a runtime policy, but PCR 10 is not in the mask of its tpm_policy: the verifier checks no files")
	}
}

// findPolicy finds one policy: what was given, what the verifier keeps under
// the agent's id, or the only one that it keeps by name. Which of several an
// agent refers to, it does not show (PROTOCOL.md 4.2).
func (e *explainer) findPolicy(ctx context.Context, s policyShelf) heldPolicy {
	found := func(source PolicySource, name, file, detail string, text []byte) heldPolicy {
		return heldPolicy{ExplainedPolicy: ExplainedPolicy{Kind: s.kind, Source: source, Name: name, Detail: detail}, text: text, file: file}
	}
	if s.given != nil {
		given := found(PolicyFile, s.given.Name, s.given.Name, "as given; whether the verifier holds the same is not known", s.given.Content)
		if given.Name == "-" { // standard input has no path that a command could use
			given.file = e.inDir(s.file)
			return e.keep(given, s.file)
		}
		return given
	}
	if !s.demanded {
		return found(PolicyNone, "", "", "none", nil)
	}
	unknown := func(format string, args ...any) heldPolicy {
		detail := fmt.Sprintf(format, args...)
		e.note("the %s is not known: %s; give it with %s FILE", s.kind, detail, s.option)
		return found(PolicyUnknown, "", "", detail, nil)
	}
	text, err := s.read(ctx, e.r.ID)
	if err == nil && text != nil {
		return e.keep(found(PolicyOwn, e.r.ID, e.inDir(s.file), "stored on the verifier under the agent's id", []byte(*text)), s.file)
	}
	if err != nil && client.KindOf(err) != client.NotFound {
		return unknown("%v", err)
	}
	names, err := s.list(ctx)
	if err != nil {
		return unknown("%v", err)
	}
	name, only := onlyOne(names, e.r.ID)
	if !only {
		return unknown("the verifier keeps %d by name, and does not show which of them the agent refers to", len(names))
	}
	if text, err = s.read(ctx, name); err != nil {
		return unknown("%v", err)
	}
	if text == nil {
		return unknown("the only one that the verifier keeps, %s, is null", quoted(name))
	}
	return e.keep(found(PolicyOnly, name, e.inDir(s.file), "the only one that the verifier keeps by name", []byte(*text)), s.file)
}

// keep puts a policy of the verifier among the files.
func (e *explainer) keep(p heldPolicy, name string) heldPolicy {
	e.x.Files = append(e.x.Files, EvidenceFile{Name: name, Data: p.text})
	return p
}

// storedTPMPolicy reads the values in a tpm_policy as a verifier shows it, with
// its mask (PROTOCOL.md 10.3).
func storedTPMPolicy(text string) (map[int][]string, error) {
	values := map[int][]string{}
	if strings.TrimSpace(text) == "" {
		return values, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return nil, fmt.Errorf("not JSON: %s", jsonCause(err))
	}
	for key, raw := range members {
		n, err := strconv.Atoi(key)
		if key == "mask" {
			continue
		}
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s is not the number of a register", quoted(key))
		}
		var one string
		var list []string
		if json.Unmarshal(raw, &one) == nil {
			list = []string{one}
		} else if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("PCR %d has neither a digest nor a list of digests", n)
		}
		values[n] = list
	}
	return values, nil
}

// tpmText is a tpm_policy as the option --tpm-policy takes it, with another
// value accepted for one register; "" adds none. It is "" if there is nothing
// in it.
func tpmText(values map[int][]string, pcr int, more string) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(values)) {
		if n == imaPCR || n == dataPCR {
			continue // such an entry counts for nothing, and is refused
		}
		list := slices.Clone(values[n])
		if n == pcr && more != "" && !slices.Contains(list, more) {
			list = append(list, more)
		}
		text, err := json.Marshal(list)
		if err != nil {
			return ""
		}
		parts = append(parts, fmt.Sprintf(`"%d": %s`, n, text))
	}
	if parts == nil {
		return ""
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/tenant"
)

// quietTenant makes use cases that tell nothing, for questions nobody has asked.
func (a *app) quietTenant(ctx context.Context) (*tenant.Tenant, error) {
	t, err := a.tenant(ctx)
	if err != nil {
		return nil, err
	}
	t.Emit = nil
	return t, nil
}

// registrarNames names the registrar in the cache, verifierNames the verifier.
func (a *app) registrarNames(kind string) string {
	return fmt.Sprintf("%s registrar %s %d", kind, a.configured.RegistrarHost, a.configured.RegistrarPort)
}

func (a *app) verifierNames(kind string) string {
	return fmt.Sprintf("%s verifier %s %d %s", kind, a.configured.VerifierHost, a.configured.VerifierPort, a.global.verifierID)
}

// registeredIDs are the agents of the registrar, for completion.
func (a *app) registeredIDs(ctx context.Context) ([]string, error) {
	if _, err := a.config(ctx); err != nil {
		return nil, err
	}
	return a.remember(ctx, a.registrarNames("agents"), func(ctx context.Context) ([]string, error) {
		t, err := a.quietTenant(ctx)
		if err != nil {
			return nil, err
		}
		list, err := t.RegistrarList(ctx)
		if err != nil {
			return nil, err
		}
		return list.IDs, nil
	})
}

// enrolledIDs are the agents of the verifier, for completion.
func (a *app) enrolledIDs(ctx context.Context) ([]string, error) {
	if _, err := a.config(ctx); err != nil {
		return nil, err
	}
	return a.remember(ctx, a.verifierNames("agents"), func(ctx context.Context) ([]string, error) {
		t, err := a.quietTenant(ctx)
		if err != nil {
			return nil, err
		}
		list, err := t.VerifierList(ctx, a.global.verifierID)
		if err != nil {
			return nil, err
		}
		return list.IDs, nil
	})
}

// policyNames are the names of stored policies, for completion.
func (a *app) policyNames(ctx context.Context, kind tenant.PolicyKind) ([]string, error) {
	if _, err := a.config(ctx); err != nil {
		return nil, err
	}
	return a.remember(ctx, a.verifierNames(string(kind)), func(ctx context.Context) ([]string, error) {
		t, err := a.quietTenant(ctx)
		if err != nil {
			return nil, err
		}
		result, err := t.Policy(ctx, tenant.PolicyRequest{Verb: tenant.PolicyList, Kind: kind})
		if err != nil {
			return nil, err
		}
		return result.Names, nil
	})
}

// anyIDs are the agents of both servers, for completion.
func (a *app) anyIDs(ctx context.Context) ([]string, error) {
	registered, err := a.registeredIDs(ctx)
	enrolled, otherErr := a.enrolledIDs(ctx)
	if err != nil && otherErr != nil {
		return nil, err
	}
	all := slices.Concat(registered, enrolled)
	slices.Sort(all)
	return slices.Compact(all), nil
}

const (
	// nearLimit is how long a list is waited for that would only help to spell
	// an id.
	nearLimit = time.Second
	// nearMost is how many ids are suggested at most: where more are equally
	// near, none is what was meant.
	nearMost = 3
)

// nearAgent adds to the failure that a server does not know an agent which id
// may have been meant.
func (a *app) nearAgent(ctx context.Context, failure error) error {
	var missing *tenant.NotFoundError
	if a.compat() || a.global.quiet || !errors.As(failure, &missing) || missing.What != "agent" || ctx.Err() != nil {
		return failure
	}
	ctx, cancel := context.WithTimeout(ctx, nearLimit)
	defer cancel()
	list := a.registeredIDs
	if missing.Server == tenant.ServerVerifier {
		if registered, err := list(ctx); err == nil && slices.Contains(registered, missing.Name) {
			// Spelt as it should be, and only not enrolled.
			return failure
		}
		list = a.enrolledIDs
	}
	ids, listErr := list(ctx)
	if listErr != nil || slices.Contains(ids, missing.Name) {
		return failure
	}
	near := nearestIDs(missing.Name, ids)
	if len(near) == 0 {
		return failure
	}
	return &advisedError{Err: failure, Advice: "did you mean " + strings.Join(near, " or ") + "?"}
}

// nearestIDs are the ids that differ least from one that does not exist: by two
// edits at most, one for short ones; or the only ones that begin with it.
func nearestIDs(id string, known []string) []string {
	limit := 2
	if len(id) < 8 {
		limit = 1
	}
	var near, begin []string
	for _, k := range known {
		if len(id) >= 3 && strings.HasPrefix(k, id) {
			begin = append(begin, k)
		}
		if k == id || len(k)-len(id) > limit || len(id)-len(k) > limit {
			continue
		}
		switch d := distance(id, k); {
		case d < limit:
			near, limit = []string{k}, d
		case d == limit:
			near = append(near, k)
		}
	}
	if len(near) == 0 {
		near = begin
	}
	if len(near) > nearMost {
		return nil
	}
	return near
}

package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/tenant/durable"
)

// RegisteredKeys are the AKs that an agent has registered.
type RegisteredKeys struct {
	// known says that there are records of registrations at all.
	known bool
	// active are the AKs that count, by their bytes; others were registered
	// without being bound to an EK.
	active, others map[string]bool
	notes          []string
}

// None says that there is no AK by which a quote could be judged.
func (k *RegisteredKeys) None() bool { return len(k.active) == 0 }

// Known says that the store has records of registrations of the agent.
func (k *RegisteredKeys) Known() bool { return k.known }

// maxRegistrations bounds the records of registrations that are read.
const maxRegistrations = 1 << 20

// ReadRegistered reads the records of an agent's registrations. That there are
// none is no error. A record whose signature is wrong, or that is damaged, gives
// no AK. Errors: those of package durable, the context's.
func ReadRegistered(ctx context.Context, store durable.Store, id string) (*RegisteredKeys, error) {
	k := &RegisteredKeys{active: map[string]bool{}, others: map[string]bool{}}
	log, err := store.Log(ctx, durable.Registrations, id)
	var none *durable.NoLogError
	if errors.As(err, &none) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	defer log.Close()
	k.known = true
	numbers, err := log.Select(ctx, durable.Window{})
	if err != nil {
		return nil, err
	}
	if len(numbers) > maxRegistrations {
		k.note("of %d records of registrations the last %d are read", len(numbers), maxRegistrations)
		numbers = numbers[len(numbers)-maxRegistrations:]
	}
	for _, i := range numbers {
		raw, err := log.Read(ctx, i)
		var damage *durable.DamageError
		if errors.As(err, &damage) {
			k.note("the record %d of a registration is left out: %v", i+1, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		k.take(id, i+1, raw.Data)
	}
	return k, nil
}

// take reads one record.
func (k *RegisteredKeys) take(id string, number int, data []byte) {
	g, err := durable.ParseRegistration(data)
	switch {
	case err != nil:
		k.note("the record %d of a registration is left out: %v", number, err)
		return
	case g.AgentID != "" && g.AgentID != id:
		k.note("the record %d of a registration is left out: it is of agent %s", number, quoted(g.AgentID))
		return
	}
	if g.Signature != nil {
		if _, err := g.Signature.Verify(); err != nil {
			k.note("the record %d of a registration is left out: %v", number, err)
			return
		}
		k.note("%s", signatureNote(g.Signature, "registrations", false))
	}
	if g.Active != nil && !*g.Active {
		k.others[string(g.AK)] = true
		return
	}
	k.active[string(g.AK)] = true
}

func (k *RegisteredKeys) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, known := range k.notes {
		if known == text {
			return
		}
	}
	if len(k.notes) < maxNotes {
		k.notes = append(k.notes, text)
	}
}

// maxNotes bounds the notes about an agent.
const maxNotes = 100

// signatureNote says what a signature is worth.
func signatureNote(s *durable.Signature, what string, whole bool) string {
	covered := "the agent's attributes"
	if whole {
		covered += " and its answer"
	}
	fingerprint := s.Fingerprint()
	text := fmt.Sprintf("records of %s are signed with the key that is in them (SHA-256 %s...), which covers %s; whose key that is, and whether the transparency log has the signature, was not checked",
		what, fingerprint[:min(len(fingerprint), 16)], covered)
	if s.TimeStamped {
		text = strings.TrimSuffix(text, ", was not checked") + ", was not checked, nor the time stamp"
	}
	return text
}

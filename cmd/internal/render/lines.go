package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/keylime/keylime-tenant/tenant"
)

// Lined is a result of many parts, each of which -o jsonl writes as a line of
// its own; other results are one line.
type Lined interface{ Lines() []any }

// lines writes a result as JSON, a line for each part.
func (m *Modern) lines(result any) error {
	m.written = true
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for _, part := range m.linesOf(result) {
		if err := encoder.Encode(m.reveal(part)); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
	}
	_, err := m.o.Out.Write(escaped(b.Bytes()))
	return err
}

// linesOf are the parts of a result.
func (m *Modern) linesOf(result any) []any {
	var parts []any
	switch r := result.(type) {
	case Lined:
		return r.Lines()
	case *tenant.AgentList:
		for _, id := range r.IDs {
			parts = append(parts, map[string]string{"agent_id": id})
		}
		return parts
	case *tenant.BulkResult:
		for _, a := range r.Agents {
			parts = append(parts, a)
		}
		return parts
	case *tenant.FleetResult:
		for _, a := range r.Agents {
			parts = append(parts, HealthLine{SchemaLine, a})
		}
		return parts
	case *tenant.PolicyResult:
		if r.Verb != tenant.PolicyList {
			break
		}
		for _, name := range r.Names {
			parts = append(parts, map[string]string{"name": name})
		}
		return parts
	}
	return []any{result}
}

// Failure is the document of a failure, for whoever describes documents.
func Failure() any {
	return struct {
		Error failure `json:"error"`
	}{}
}

package verifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// MediaType is the content type of API 3.
const MediaType = "application/vnd.api+json"

// VersionPush is the version of the API that agents of the push model speak.
const VersionPush = "3.0"

// Token is the bearer token of a session. It prints as [redacted], and goes to
// JSON as it is, since that is how it is handed out.
type Token string

// Format prints [redacted], whatever the verb.
func (Token) Format(f fmt.State, verb rune) { KeyShare("").Format(f, verb) }

// Resource is one object of a JSON:API document.
type Resource struct {
	Type       string          `json:"type"`
	ID         string          `json:"id,omitempty"`
	Attributes json.RawMessage `json:"attributes"`
	Links      map[string]any  `json:"links,omitempty"`
}

// Body is a JSON:API document with one resource (JSON:API 1.1, section 5).
type Body struct {
	Data    *Resource         `json:"data,omitempty"`
	Meta    map[string]any    `json:"meta,omitempty"`
	Links   map[string]string `json:"links,omitempty"`
	JSONAPI map[string]string `json:"jsonapi,omitempty"`
}

// The types of resources.
const (
	ResourceAttestation = "attestation"
	ResourceSession     = "session"
)

// errNoData: JSON, but not what was asked for.
var errNoData = errors.New(`the answer is JSON, but not of API 3: there is no "data"`)

// NewBody is a document with one resource.
func NewBody(kind, id string, attributes any) (*Body, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(attributes); err != nil {
		return nil, fmt.Errorf("encoding a resource of type %s: %w", kind, err)
	}
	return &Body{Data: &Resource{Type: kind, ID: id, Attributes: bytes.TrimSuffix(text.Bytes(), []byte("\n"))}}, nil
}

// Read reads the attributes of the resource, which must be of the type given.
func (b *Body) Read(kind string, into any) error {
	switch {
	case b.Data == nil:
		return errNoData
	case b.Data.Type != kind:
		return fmt.Errorf("the answer holds a %.50q, not a %q", b.Data.Type, kind)
	case len(b.Data.Attributes) == 0:
		return fmt.Errorf("the %s in the answer has no attributes", kind)
	}
	if err := json.Unmarshal(b.Data.Attributes, into); err != nil {
		return fmt.Errorf("the %s in the answer: %w", kind, err)
	}
	return nil
}

// index is the number of an attestation, which its address alone tells; -1 if
// that does not.
func (r *Resource) index() int {
	self, _ := r.Links["self"].(string)
	n, err := strconv.Atoi(path.Base(self))
	if err != nil || n < 0 || !strings.Contains(self, "/attestations/") {
		return -1
	}
	return n
}

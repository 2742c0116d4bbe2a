package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// ekSource is an endorsement key that the command line names: that of an agent
// in the registrar, or one in a file.
type ekSource struct {
	// name is the agent's id or the file.
	name  string
	agent *registrar.Agent // nil for a file
	// public is the key itself, if it is known by itself; certificate the one
	// that comes with it. At least one is there.
	public      *ek.Public
	certificate *ek.Certificate
	// odd says why the agent's certificate cannot be read.
	odd error
}

// source finds out what is meant: a file that exists, or else an agent.
func (e *ekVerbs) source(ctx context.Context, arg string) (*ekSource, error) {
	if isFile(arg) {
		data, err := e.readFile("EK", arg)
		if err != nil {
			return nil, err
		}
		return readEK(arg, data)
	}
	if err := tenant.CheckAgentID(arg); err != nil {
		return nil, err
	}
	t, err := e.tenant(ctx)
	if err != nil {
		return nil, err
	}
	status, err := t.RegistrarStatus(ctx, arg)
	if err != nil {
		return nil, err
	}
	return registeredEK(status.Record)
}

// isFile says whether a word names a file rather than an agent.
func isFile(word string) bool {
	if word == "-" || strings.ContainsRune(word, filepath.Separator) || strings.ContainsRune(word, '/') {
		return true
	}
	switch strings.ToLower(filepath.Ext(word)) {
	case ".pem", ".der", ".crt", ".cer", ".pub", ".bin", ".p7b", ".p7c":
		return true
	}
	info, err := os.Stat(word)
	return err == nil && !info.IsDir()
}

// readEK reads a file: a certificate, or a public key; also either in base64, as
// the registrar and the environment of an ek_check_script hold them.
func readEK(name string, data []byte) (*ekSource, error) {
	s := &ekSource{name: name}
	if inner, err := decodeBase64(string(data)); err == nil && len(inner) > 0 {
		data = inner
	}
	certs, certErr := ek.ReadCertificates(data)
	for _, c := range certs {
		// A bundle may hold the chain too: the EK's is the one that signs nothing.
		if s.certificate == nil || s.certificate.MaySign() && !c.MaySign() {
			s.certificate = c
		}
	}
	if s.certificate != nil {
		return s, nil
	}
	public, err := ek.ReadPublic(data)
	if err != nil {
		return nil, usagef("%s: neither the certificate of an EK (%w) nor an EK's public key (%w)", name, certErr, err)
	}
	s.public = &public
	return s, nil
}

// registeredEK reads an agent's record.
func registeredEK(a *registrar.Agent) (*ekSource, error) {
	s := &ekSource{name: a.ID, agent: a}
	tpm, err := base64.StdEncoding.DecodeString(a.EKTPM)
	if err != nil {
		return nil, fmt.Errorf("agent %s: the registrar's ek_tpm is not base64", a.ID)
	}
	public, err := ek.ParsePublic(tpm)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", a.ID, err)
	}
	s.public = &public
	if a.EKCert == nil || *a.EKCert == "" {
		return s, nil
	}
	der, err := base64.StdEncoding.DecodeString(*a.EKCert)
	if err != nil {
		s.odd = errors.New("it is " + render.Safe(*a.EKCert) + ", which is not base64")
		return s, nil
	}
	s.certificate, s.odd = ek.ParseCertificate(der)
	return s, nil
}

// key is the public key, taken from the certificate if there is no other
// source.
func (s *ekSource) key() (ek.Public, error) {
	if s.public != nil {
		return *s.public, nil
	}
	public, err := s.certificate.Public()
	if err != nil {
		return ek.Public{}, fmt.Errorf("%s: the certificate's key: %w", s.name, err)
	}
	return public, nil
}

// ekResult is what is known of an endorsement key.
type ekResult struct {
	// Source is the agent's id or the file.
	Source   string `json:"source"`
	Agent    bool   `json:"registered_agent"`
	RegCount int    `json:"regcount,omitempty"`
	// Algorithm, Hash and HashPEM are of the key; empty if it cannot be read.
	Algorithm string `json:"algorithm,omitempty"`
	Hash      string `json:"sha256,omitempty"`
	HashPEM   string `json:"hash_ek,omitempty"`

	Certificate *certificateFacts `json:"certificate"`
	// CertificateTrouble says why there is none, or what is wrong with it.
	CertificateTrouble string `json:"certificate_trouble,omitempty"`
}

// certificateFacts are the facts of a certificate of an EK or of an authority.
type certificateFacts struct {
	Vendor       string    `json:"tpm_vendor,omitempty"`
	Manufacturer string    `json:"tpm_manufacturer,omitempty"`
	Model        string    `json:"tpm_model,omitempty"`
	Version      string    `json:"tpm_version,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	Issuer       string    `json:"issuer"`
	Serial       string    `json:"serial"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	Valid        bool      `json:"valid_now"`
	AKI          string    `json:"authority_key_id,omitempty"`
	SKI          string    `json:"subject_key_id,omitempty"`
	Fingerprint  string    `json:"fingerprint_sha256"`
	IssuerURLs   []string  `json:"issuer_urls,omitempty"`
	Notes        []string  `json:"notes,omitempty"`
}

func factsOf(c *ek.Certificate, now time.Time) *certificateFacts {
	return &certificateFacts{
		Vendor: c.Vendor(), Manufacturer: c.Manufacturer, Model: c.Model, Version: c.Version, Subject: c.Subject, Issuer: c.Issuer,
		Serial: c.Serial.String(), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Valid: c.ValidAt(now) == nil,
		AKI: c.AKI, SKI: c.SKI, Fingerprint: c.Fingerprint(), IssuerURLs: c.IssuerURLs, Notes: c.Notes,
	}
}

// result gathers the facts.
func (s *ekSource) result(now time.Time) ekResult {
	r := ekResult{Source: s.name, Agent: s.agent != nil}
	if s.agent != nil {
		r.RegCount = s.agent.RegCount
	}
	if public, err := s.key(); err == nil {
		r.Algorithm, r.Hash, r.HashPEM = public.Algorithm(), public.KeyHash(), public.Hash()
	}
	switch {
	case s.certificate != nil:
		r.Certificate = factsOf(s.certificate, now)
		if s.public != nil && !s.certificate.IsFor(*s.public) {
			r.CertificateTrouble = "it is for another key than the registered EK"
		}
	case s.odd != nil:
		r.CertificateTrouble = s.odd.Error()
	case s.agent != nil:
		r.CertificateTrouble = "the agent has registered none, as TPMs of some clouds have none"
	default:
		r.CertificateTrouble = "the file holds the public key alone"
	}
	return r
}

// Names is the hash by which the key can be pinned.
func (r ekResult) Names() []string { return []string{r.Hash} }

// Screen shows key and certificate.
func (r ekResult) Screen() render.Screen {
	key := render.Section{Title: "endorsement key"}
	from := render.Field{Name: "file", Value: render.Safe(r.Source)}
	if r.Agent {
		from.Name = "agent"
	}
	key.Fields = append(key.Fields, from)
	if r.RegCount > 1 {
		key.Fields = append(key.Fields, render.Field{Name: "registered", Value: fmt.Sprintf("%d times: restarted, or another TPM uses its id", r.RegCount), Tone: render.Doubtful})
	}
	key.Fields = append(key.Fields, fieldsOf("algorithm", r.Algorithm, "sha256 (pin)", r.Hash, "hash_ek", r.HashPEM)...)
	certificate := render.Section{Title: "certificate"}
	if r.CertificateTrouble != "" {
		tone := render.Doubtful
		if r.Certificate != nil {
			tone = render.Bad
		}
		certificate.Fields = append(certificate.Fields, render.Field{Name: "trouble", Value: r.CertificateTrouble, Tone: tone})
	}
	if r.Certificate != nil {
		certificate.Fields = append(certificate.Fields, r.Certificate.fields()...)
	}
	return render.Screen{key, certificate}
}

// fieldsOf makes fields of names and values, without those that are empty.
func fieldsOf(pairs ...string) (fields []render.Field) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fields = append(fields, render.Field{Name: pairs[i], Value: render.Safe(pairs[i+1])})
		}
	}
	return fields
}

func (c *certificateFacts) fields() []render.Field {
	maker := c.Vendor
	switch {
	case maker == "":
		maker = c.Manufacturer
	case c.Manufacturer != "":
		maker += " (" + c.Manufacturer + ")"
	}
	fields := fieldsOf("TPM of", maker, "model", c.Model, "firmware", c.Version, "subject", c.Subject, "issuer", c.Issuer,
		"issuer's key id", c.AKI, "key id", c.SKI, "serial", c.Serial)
	valid := render.Field{Name: "valid", Value: c.NotBefore.Format(time.DateOnly) + " to " + until(c.NotAfter), Tone: render.Good}
	if !c.Valid {
		valid.Value, valid.Tone = "not now: "+valid.Value, render.Bad
	}
	fields = append(fields, valid)
	fields = append(fields, fieldsOf("fingerprint", "sha256 "+c.Fingerprint)...)
	for _, url := range c.IssuerURLs {
		fields = append(fields, render.Field{Name: "issuer is at", Value: render.Safe(url)})
	}
	for _, note := range c.Notes {
		fields = append(fields, render.Field{Name: "note", Value: note})
	}
	return fields
}

// until is the end of a certificate; 9999-12-31 means never (RFC 5280,
// 4.1.2.5).
func until(end time.Time) string {
	if end.Year() == 9999 {
		return "no end"
	}
	return end.Format(time.DateOnly)
}

// Package compat speaks as the Python tenant does: it turns the events, results
// and failures of the use cases into the log records and printed lines of
// keylime_tenant 7.14.3 (TENANT-CLI.md A.11, A.12 and F), with the differences
// decided in its section D. Scripts and test-suites look for these texts, slips
// included; comments name the places where ours differ.
//
// Results are log records here, so that the level in logging.conf filters them
// too, as it always did. The key share V is hidden unless asked for.
package compat

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/tenant"
)

// Options say where to write and what the records name.
type Options struct {
	Log *pylog.Set
	// Out gets the lines that the Python tenant prints itself; Err nothing so
	// far, as logging.conf decides where records go.
	Out, Err io.Writer
	// ShowSecrets prints V instead of "[redacted]".
	ShowSecrets bool
	// Hosts and ports as configured; VerifierID is that of --cvid.
	RegistrarHost, RegistrarPort string
	VerifierHost, VerifierPort   string
	VerifierID                   string
	// Push says that --push-model was given: operational_state is not shown.
	Push bool
}

// Renderer is the presenter of the classic grammar. It is used by one goroutine
// at a time.
type Renderer struct {
	o Options

	tenant, policies, registrar, certs, tpm, ima, signing, http pylog.Logger

	// id is the agent that the call is about, and agentAddr where it is, "" as
	// long as that is not known. verifierID changes once the verifier's record
	// of an agent about to be deleted is known.
	id, agentAddr, verifierID string
	// download is what is being fetched, for the text of its failure.
	download tenant.Downloading
	// held are records that wait for others which the Python tenant writes
	// before them.
	held []held
}

// held is a record that waits.
type held struct {
	write func()
	// passes says which events may overtake it.
	passes func(tenant.Event) bool
	// drop forgets it when the call fails.
	drop bool
}

// New makes a renderer. Options.Log and Options.Out are needed.
func New(o Options) *Renderer {
	return &Renderer{o: o, verifierID: o.VerifierID,
		tenant: o.Log.Logger("keylime.tenant"), policies: o.Log.Logger("keylime.cli.policies"),
		registrar: o.Log.Logger("keylime.registrar_client"), certs: o.Log.Logger("keylime.cert_utils"), tpm: o.Log.Logger("keylime.tpm"),
		ima: o.Log.Logger("keylime.ima"), signing: o.Log.Logger("keylime.signing"), http: o.Log.Logger("urllib3.connectionpool")}
}

// Result ends a call that has succeeded. Everything has been told by events.
func (r *Renderer) Result(string, any) error {
	r.release(false)
	return nil
}

// Event writes the records of an event.
func (r *Renderer) Event(e tenant.Event) {
	for len(r.held) > 0 && !r.held[0].passes(e) {
		write := r.held[0].write
		r.held = r.held[1:]
		write()
	}
	if !r.enrolEvent(e) && !r.statusEvent(e) {
		r.policyEvent(e)
	}
}

// hold keeps a record back; passes says which events overtake it, nil means
// none; drop forgets it when the call fails.
func (r *Renderer) hold(write func(), passes func(tenant.Event) bool, drop bool) {
	if passes == nil {
		passes = func(tenant.Event) bool { return false }
	}
	r.held = append(r.held, held{write, passes, drop})
}

// release writes what is held back.
func (r *Renderer) release(failed bool) {
	for _, h := range r.held {
		if !failed || !h.drop {
			h.write()
		}
	}
	r.held = nil
}

// agent is the name of the agent in records: "Agent ID (IP:PORT)".
func (r *Renderer) agent() string {
	if r.agentAddr == "" {
		return "Agent " + r.id
	}
	return fmt.Sprintf("Agent %s (%s)", r.id, r.agentAddr)
}

// agentAt notes an agent and its address.
func (r *Renderer) agentAt(id, host string, port int) {
	r.id = id
	if host != "" {
		r.agentAddr = host + ":" + portText(port)
	}
}

// verifier is the name of the verifier: "Verifier VID (IP:PORT)".
func (r *Renderer) verifier() string {
	name := "Verifier"
	if r.verifierID != "" {
		name += " " + r.verifierID
	}
	return fmt.Sprintf("%s (%s:%s)", name, r.o.VerifierHost, r.o.VerifierPort)
}

// registrarName is the name of the registrar: "Registrar (IP:PORT)".
func (r *Renderer) registrarName() string {
	return fmt.Sprintf("Registrar (%s:%s)", r.o.RegistrarHost, r.o.RegistrarPort)
}

// print writes a line that is no record.
func (r *Renderer) print(line string) {
	_, _ = io.WriteString(r.o.Out, line+"\n") // a closed pipe ends nothing, as in Python
}

func portText(port int) string {
	if port == 0 {
		return "None"
	}
	return strconv.Itoa(port)
}

// orNone is how Python prints a text that is not there.
func orNone(text string) string {
	if text == "" {
		return "None"
	}
	return text
}

// seconds is a time as Python prints the float: "2.0".
func seconds(d time.Duration) string {
	text := strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// whole is a time in whole seconds, as Python's %d cuts it.
func whole(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// pyVersions is a list of versions as Python prints it.
func pyVersions(more []string, versions []client.Version) string {
	all := make([]string, 0, len(more)+len(versions))
	for _, text := range more {
		all = append(all, pyjson.Quote(text))
	}
	for _, v := range versions {
		all = append(all, pyjson.Quote(v.String()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// withPlain are our versions as the Python tenant counts them: with that of
// agents without TLS, which we speak with agents too.
func withPlain(ours []client.Version) string { return pyVersions([]string{"1.0"}, ours) }

// calm takes the word "error" out of a foreign text: suites take it for a
// failure wherever it stands, and the records of a call that goes on must not
// have it (TENANT-CLI.md F).
func calm(text string) string {
	return strings.NewReplacer("error", "issue", "Error", "Issue", "ERROR", "ISSUE").Replace(text)
}

// Forgiven says whether the Python tenant exits with 0 after a failure that it
// only warns of: regdelete of an agent that the registrar does not have.
func Forgiven(verb string, err error) bool {
	var missing *tenant.NotFoundError
	return verb == "regdelete" && errors.As(err, &missing)
}

// Trace writes the DEBUG record of a request, in the words of Python's HTTP
// library. Requests that got no answer have none.
func (r *Renderer) Trace(t client.Trace) {
	if t.HTTP == 0 || !r.http.Enabled(pylog.Debug) {
		return
	}
	scheme, rest, _ := strings.Cut(t.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	if _, _, err := net.SplitHostPort(host); err != nil {
		host += ":" + map[string]string{"https": "443"}[scheme]
	}
	r.http.Debug(fmt.Sprintf(`%s://%s "%s /%s HTTP/1.1" %d %d`, scheme, host, t.Method, path, t.HTTP, t.Received))
}

package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	wire "github.com/keylime/keylime-tenant/client/agent"
)

// versions are the versions of the API that an agent serves, oldest first
// (PROTOCOL.md 5.1).
var versions = [...]string{"2.1", "2.2", "2.3", "2.4", "2.5", "2.6"}

// maxBody bounds the body of a request in bytes: a payload in base64.
const maxBody = 16 << 20

// answer is what a handler says: an envelope (PROTOCOL.md 0.4).
type answer struct {
	code    int
	status  string
	results any
	allow   string
}

// null are the results of a success without any: the Rust agent sends null.
type null struct{}

// MarshalJSON writes null.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func success(results any) answer { return answer{http.StatusOK, "Success", results, ""} }

func refusal(code int, format string, a ...any) answer {
	return answer{code, fmt.Sprintf(format, a...), struct{}{}, ""}
}

func notAllowed(allow, format string, a ...any) answer {
	r := refusal(http.StatusMethodNotAllowed, format, a...)
	r.allow = allow
	return r
}

func (a *Agent) write(w http.ResponseWriter, r *http.Request, reply answer) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Code    int    `json:"code"`
		Status  string `json:"status"`
		Results any    `json:"results"`
	}{reply.code, reply.status, reply.results})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if reply.code != http.StatusOK {
		a.logf("%s %.200q: %d %.200q", r.Method, r.URL.Path, reply.code, reply.status)
	}
	if reply.allow != "" {
		w.Header().Set("Allow", reply.allow)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(reply.code)
	_, _ = w.Write(bytes.TrimRight(body.Bytes(), "\n")) // a caller that has gone needs no answer
}

// ServeHTTP answers one request. Whether the caller may ask at all, TLS has
// decided before.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.write(w, r, a.route(w, r))
}

// versionPrefix is a path with a version in it.
var versionPrefix = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^/v([0-9]+\.[0-9]+)(/.*)?$`) })

func (a *Agent) route(w http.ResponseWriter, r *http.Request) answer {
	if r.URL.Path == "/version" && r.Method == http.MethodGet {
		return success(wire.Versions{Supported: versions[len(versions)-1], SupportedList: versions[:]})
	}
	m := versionPrefix().FindStringSubmatch(r.URL.Path)
	if m == nil {
		return refusal(http.StatusNotFound, "Not Found")
	}
	version := m[1]
	if !slices.Contains(versions[:], version) {
		return refusal(http.StatusBadRequest, "API version not supported: v%s", version)
	}
	scope, name, _ := strings.Cut(strings.TrimPrefix(m[2], "/"), "/")
	switch r.Method + " " + scope + "/" + name {
	case "GET quotes/identity":
		return a.identityQuote(r, version)
	case "GET quotes/integrity":
		return a.integrityQuote(r, version)
	case "GET keys/pubkey":
		return success(wire.PubKeyResult{PubKeyPEM: a.nkPEM})
	case "GET keys/verify":
		return a.verifyKey(r)
	case "POST keys/ukey":
		return withBody(w, r, a.takeU)
	case "POST keys/vkey":
		return withBody(w, r, a.takeV)
	case "POST notifications/revocation":
		return withBody(w, r, a.takeNotice)
	case "GET agent/info":
		if version != versions[0] {
			tpm := a.machine.tpm
			return success(wire.Info{AgentID: a.id, HashAlg: tpm.HashAlg(), EncAlg: encAlg(tpm.EncAlg(), version), SignAlg: tpm.SignAlg(), AKHandle: akHandle})
		}
	}
	return unknown(r.Method, scope)
}

// unknown is the answer to a path or method that no route has.
func unknown(method, scope string) answer {
	type texts struct{ get, post string }
	known := map[string]texts{
		"quotes":        {get: "URI not supported, only /identity and /integrity are supported for GET in /quotes/ interface"},
		"keys":          {"URI not supported, only /pubkey and /verify are supported for GET in /keys/ interface", "URI not supported, only /ukey and /vkey are supported for POST in /keys/ interface"},
		"notifications": {post: "URI not supported, only /revocation is supported for POST in /notifications/ interface"},
		"agent":         {get: "URI not supported, only /info is supported for GET in /agent interface"},
	}
	text, inScope := known[scope]
	if !inScope {
		text = texts{"Not Implemented: Use /agent, /keys, or /quotes interfaces", "Not Implemented: Use /keys or /notifications interfaces"}
	}
	switch {
	case method == http.MethodGet && text.get != "":
		return refusal(http.StatusBadRequest, "%s", text.get)
	case method == http.MethodPost && text.post != "":
		return refusal(http.StatusBadRequest, "%s", text.post)
	}
	var allow []string
	if text.get != "" {
		allow = append(allow, http.MethodGet)
	}
	if text.post != "" {
		allow = append(allow, http.MethodPost)
	}
	suffix := ""
	if inScope {
		suffix = " in /" + scope + "/ interface"
		if scope == "agent" {
			suffix = " in /agent interface"
		}
	}
	return notAllowed(strings.Join(allow, ", "), "Method is not supported%s", suffix)
}

// withBody reads a JSON body into the type that the handler takes.
func withBody[T any](w http.ResponseWriter, r *http.Request, handle func(T) answer) answer {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return refusal(http.StatusBadRequest, "Payload error: %v", err)
	}
	var body T
	if err := json.Unmarshal(data, &body); err != nil {
		return refusal(http.StatusBadRequest, "Json deserialize error: %v", err)
	}
	return handle(body)
}

// akHandle is the handle of the AK that GET /agent/info tells; the lab's TPM
// has no handles, so that it is the first transient one.
const akHandle = 0x80000000

// encAlg is the name of an encryption algorithm in a version of the API:
// "rsa" and "ecc" before 2.5, with the size from then on (PROTOCOL.md 5.1).
func encAlg(name, version string) string {
	if version >= "2.5" { // versions served are single digits
		return name
	}
	return strings.TrimRight(name, "0123456789")
}

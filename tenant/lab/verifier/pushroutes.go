package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/verifier"
)

// errNoProof: a session is to be proved without a proof.
var errNoProof = errors.New("there is no proof of the type tpm_pop")

// reply is an answer of API 3: a JSON document, or nothing but a status.
type reply struct {
	code   int
	body   any
	header map[string]string
	// after runs when the answer is out.
	after func()
}

// resource is a document with one resource, self its address.
func resource(code int, kind, id, self string, attributes any, meta map[string]any) reply {
	document, err := wire.NewBody(kind, id, attributes)
	if err != nil {
		return reply{code: http.StatusInternalServerError}
	}
	document.Meta, document.JSONAPI = meta, map[string]string{"version": "1.1"}
	if self != "" {
		document.Data.Links = map[string]any{"self": self}
	}
	return reply{code: code, body: document}
}

// refusal is the refusal of an attestation.
func refusal(code int, apiCode, format string, a ...any) reply {
	type item struct {
		Status string `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	return reply{code: code, body: map[string]any{"errors": []item{{strconv.Itoa(code), apiCode, fmt.Sprintf(format, a...)}}, "jsonapi": map[string]string{"version": "1.1"}}}
}

func (r reply) retryAfter(seconds int) reply {
	r.header = map[string]string{"Retry-After": strconv.Itoa(seconds)}
	return r
}

// withPush serves the routes of API 3 that a verifier in push mode has
// (PROTOCOL.md 2.4), and leaves all others to next. Of the rest of API 3, which
// upstream announces and does not serve, there is nothing.
func (s *Server) withPush(next http.Handler, secure bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, isPush := strings.CutPrefix(r.URL.EscapedPath(), "/v"+wire.VersionPush+"/")
		if !isPush {
			next.ServeHTTP(w, r)
			return
		}
		answer := reply{code: http.StatusBadRequest}
		if secure {
			answer = s.pushRoute(w, r, strings.Split(strings.TrimSuffix(rest, "/"), "/"))
		}
		s.o.Log(fmt.Sprintf("verifier: %s %.200q: %d", r.Method, r.URL.Path, answer.code))
		answer.write(w)
		if answer.after != nil {
			answer.after()
		}
	})
}

func (r reply) write(w http.ResponseWriter) {
	text, err := json.Marshal(r.body)
	if r.body == nil || err != nil {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(r.code)
		return
	}
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", wire.MediaType)
	w.WriteHeader(r.code)
	_, _ = w.Write(text) // a caller that has gone needs no answer
}

// pushRoute finds the route of a path, checks who calls, and answers.
func (s *Server) pushRoute(w http.ResponseWriter, r *http.Request, path []string) reply {
	for i := range path {
		segment, err := url.PathUnescape(path[i])
		if err != nil || segment == "" {
			return reply{code: http.StatusNotFound}
		}
		path[i] = segment
	}
	which := ""
	switch {
	case len(path) == 1 && path[0] == "sessions", len(path) == 2 && path[0] == "sessions":
	case len(path) == 3 && path[0] == "agents" && path[2] == "attestations":
	case len(path) == 4 && path[0] == "agents" && path[2] == "attestations":
		which = path[3]
	default:
		return reply{code: http.StatusNotFound}
	}
	limit := int64(maxBody)
	if path[0] == "sessions" { // of anybody, and what they name is kept
		limit = maxSessionBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return reply{code: http.StatusBadRequest}
	}
	switch r.Method + " " + path[0] + strconv.Itoa(len(path)) {
	case "POST sessions1":
		return s.openSession(r, body)
	case "PATCH sessions2":
		return s.proveSession(path[1], body)
	case "GET agents3", "GET agents4":
		return s.asAdmin(r, func() reply { return s.showAttestations(path[1], which) })
	case "POST agents3":
		return s.asAgent(r, path[1], func() reply { return s.beginAttestation(path[1], body) })
	case "PATCH agents4":
		return s.asAgent(r, path[1], func() reply { return s.takeEvidence(path[1], which, body) })
	}
	return reply{code: http.StatusMethodNotAllowed}
}

// asAdmin answers an administrator: one with a certificate, and without a token.
func (s *Server) asAdmin(r *http.Request, answer func() reply) reply {
	if _, tokens := r.Header["Authorization"]; tokens {
		return s.asAgent(r, "", answer)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && r.TLS.PeerCertificates[0].Subject.CommonName != "" {
		return answer()
	}
	return sessionError(http.StatusForbidden, "Action read_attestation requires admin authentication (mTLS certificate)")
}

// asAgent answers the agent of an id, known by the token of its session. A
// certificate counts for nothing there.
func (s *Server) asAgent(r *http.Request, id string, answer func() reply) reply {
	header := r.Header.Get("Authorization")
	token, is := strings.CutPrefix(header, "Bearer ")
	switch {
	case header == "":
		return sessionError(http.StatusForbidden, "Action submit_attestation requires agent authentication (PoP token)")
	case !is:
		return sessionError(http.StatusUnauthorized, "Invalid Authorization header format")
	}
	switch s.tokenOf(token) {
	case "":
		return sessionError(http.StatusUnauthorized, "Invalid authentication token")
	case id:
		return answer()
	}
	return sessionError(http.StatusForbidden, "An agent may reach its own attestations only, and read none")
}

// addressOf is the address of a caller, without its port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

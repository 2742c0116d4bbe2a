// Package serve holds what the lab's registrar and verifier have in common as
// HTTP servers: routes below a version prefix, the rights of PROTOCOL.md 1.2,
// the JSON envelope of 0.4, and listeners that leave nothing behind when they
// are closed.
//
// It serves API 2.0 to 2.6 and never 1.0 or 3.0, which upstream advertises but
// does not serve to a tenant (PROTOCOL.md 2.1 and 2.4); what agents of the push
// model need of 3.0, the lab's verifier serves beside it.
package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/client"
)

// Rights says who may call a route.
type Rights int

// The rights of PROTOCOL.md 1.2.
const (
	// Public routes are open to everybody.
	Public Rights = iota
	// Admin routes need a client certificate of a trusted CA.
	Admin
	// AdminOrOwner routes need that, or a token ([API.Bearer]) of the agent that
	// the parameter "id" names.
	AdminOrOwner
)

// Route is one method on one path.
type Route struct {
	Method string
	// Path is matched below the version prefix, segment by segment; a segment
	// in braces takes any one that is not empty: "/agents/{id}".
	Path string
	// Unversioned routes have no version prefix.
	Unversioned bool
	// Plain routes may be called without TLS.
	Plain  bool
	Rights Rights
	// Action names the route in the answer to a caller without rights.
	Action string
	Handle func(*Request) Answer
}

// Request is a call that has passed all checks of this package.
type Request struct {
	*http.Request
	// Params are the path's variable segments, unescaped.
	Params map[string]string
	// Body is the whole body.
	Body []byte
}

// Answer is what a handler says. The zero Code means 200.
type Answer struct {
	Code int
	// Status is the text of the envelope; empty: the standard reason phrase.
	Status string
	// Results is marshalled; nil means {}.
	Results any
	// Empty leaves the body out.
	Empty bool
	// Indent formats this body as the registrar does, whatever API.Indent says.
	Indent bool
}

// OK is the answer 200 Success with results; nil results are {}.
func OK(results any) Answer { return Answer{Code: http.StatusOK, Status: "Success", Results: results} }

// Fail is a refusal in the envelope; an empty status is the reason phrase.
func Fail(code int, status string) Answer { return Answer{Code: code, Status: status} }

// Failf is Fail with a formatted text.
func Failf(code int, format string, a ...any) Answer { return Fail(code, fmt.Sprintf(format, a...)) }

// Bare is an answer without a body.
func Bare(code int) Answer { return Answer{Code: code, Empty: true} }

// API is a set of routes and how they answer.
type API struct {
	Routes []Route
	// Indent formats bodies as the registrar does; otherwise as the verifier.
	Indent bool
	// MaxBody is the largest request body in bytes.
	MaxBody int64
	// Bearer is the agent that a token was given to, "" for one that does not count;
	// nil if there are no tokens.
	Bearer func(token string) string
	// Log is told of each call in one line; nil means nobody listens.
	Log func(line string)
}

// methods are those a server of Keylime knows; others are answered with 501.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Handler returns the routes as a handler for one listener. secure says that
// the listener speaks TLS.
func (a *API) Handler(secure bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := a.answer(w, r, secure)
		if a.Log != nil {
			a.Log(fmt.Sprintf("%s %.200q: %d", r.Method, r.URL.Path, answer.code()))
		}
		a.write(w, answer)
	})
}

// answer goes through the checks in the order of PROTOCOL.md 1.2.
func (a *API) answer(w http.ResponseWriter, r *http.Request, secure bool) Answer {
	if !slices.Contains(methods[:], r.Method) {
		return Bare(http.StatusNotImplemented)
	}
	route, params, found := a.find(r)
	switch {
	case !found:
		return Bare(http.StatusNotFound)
	case route == nil:
		return Bare(http.StatusMethodNotAllowed)
	case !secure && !route.Plain:
		return Bare(http.StatusBadRequest)
	}
	if route.Rights != Public {
		if answer, refused := a.authorize(r, route, params["id"]); refused {
			return answer
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.MaxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return Bare(http.StatusRequestEntityTooLarge)
		}
		return Bare(http.StatusBadRequest)
	}
	return route.Handle(&Request{Request: r, Params: params, Body: body})
}

// find looks for a route. found says that the path exists at all; the route is
// nil when it does so with other methods only.
func (a *API) find(r *http.Request) (route *Route, params map[string]string, found bool) {
	path := strings.TrimSuffix(r.URL.EscapedPath(), "/")
	versioned, rest := cutVersion(path)
	for i := range a.Routes {
		candidate := &a.Routes[i]
		under := rest
		if candidate.Unversioned {
			under = path
		} else if !versioned {
			continue
		}
		p, ok := match(candidate.Path, under)
		if !ok {
			continue
		}
		found = true
		if candidate.Method == r.Method {
			return candidate, p, true
		}
	}
	return nil, nil, found
}

// cutVersion takes a version prefix that this package serves off a path.
func cutVersion(path string) (ok bool, rest string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	number, isVersion := strings.CutPrefix(first, "v")
	if !isVersion {
		return false, ""
	}
	if number != "2" && !slices.Contains(Versions(), number) {
		return false, ""
	}
	return true, "/" + rest
}

func match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	params := map[string]string{}
	for i, w := range want {
		segment, err := url.PathUnescape(have[i])
		if err != nil {
			return nil, false
		}
		if name, variable := strings.CutPrefix(w, "{"); variable {
			if segment == "" {
				return nil, false
			}
			params[strings.TrimSuffix(name, "}")] = segment
		} else if w != segment {
			return nil, false
		}
	}
	return params, true
}

// authorize decides whether the caller may use a route that is not public.
func (a *API) authorize(r *http.Request, route *Route, id string) (Answer, bool) {
	// With an Authorization header only the token counts, never the certificate.
	if header, tokens := r.Header["Authorization"]; tokens {
		token, _ := strings.CutPrefix(header[0], "Bearer ")
		who := ""
		if a.Bearer != nil {
			who = a.Bearer(token)
		}
		switch {
		case who == "":
			return denied(http.StatusUnauthorized, "Invalid authentication token"), true
		case route.Rights == AdminOrOwner && who == id:
			return Answer{}, false
		}
		return denied(http.StatusForbidden, "Action "+route.Action+" is not allowed to agent "+who), true
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && r.TLS.PeerCertificates[0].Subject.CommonName != "" {
		return Answer{}, false
	}
	detail := "Action " + route.Action + " requires admin authentication (mTLS certificate)"
	if route.Rights == AdminOrOwner {
		detail = "Action " + route.Action + " requires authentication"
	}
	return denied(http.StatusForbidden, detail), true
}

// denial is the body of 401 and 403, which is no envelope.
type denial struct {
	Errors []denialItem `json:"errors"`
}

type denialItem struct {
	Status string `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func denied(code int, detail string) Answer {
	return Answer{Code: code, Results: denial{[]denialItem{{fmt.Sprint(code), http.StatusText(code), detail}}}}
}

// Versions are the versions served, in ascending order.
func Versions() []string {
	var names []string
	for _, v := range client.Supported() {
		names = append(names, v.String())
	}
	return names
}

// versionsResult is what GET /version answers.
type versionsResult struct {
	Current   string   `json:"current_version"`
	Supported []string `json:"supported_versions"`
}

// VersionRoutes are GET on the paths given, open to all, which tell the
// versions served.
func VersionRoutes(paths ...string) []Route {
	var routes []Route
	for _, path := range paths {
		routes = append(routes, Route{Method: http.MethodGet, Path: path, Unversioned: true, Plain: true,
			Handle: func(*Request) Answer { return OK(versionsResult{client.Current().String(), Versions()}) }})
	}
	return routes
}

func (a Answer) code() int {
	if a.Code == 0 {
		return http.StatusOK
	}
	return a.Code
}

// envelope is the body of every answer but denials.
type envelope struct {
	Code    int             `json:"code"`
	Status  string          `json:"status"`
	Results json.RawMessage `json:"results"`
}

func (a *API) write(w http.ResponseWriter, answer Answer) {
	code := answer.code()
	if answer.Empty || code == http.StatusNoContent {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(code)
		return
	}
	body, err := answer.body(a.Indent || answer.Indent)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A caller that has gone away needs no answer.
	_, _ = w.Write(body)
}

func (a Answer) body(indent bool) ([]byte, error) {
	if d, ok := a.Results.(denial); ok {
		raw, err := marshal(d)
		if err != nil {
			return nil, err
		}
		return python(raw, indent), nil
	}
	e := envelope{Code: a.code(), Status: a.Status, Results: json.RawMessage("{}")}
	if e.Status == "" {
		e.Status = http.StatusText(e.Code)
	}
	if a.Results != nil {
		raw, err := marshal(a.Results)
		if err != nil {
			return nil, err
		}
		e.Results = raw
	}
	raw, err := marshal(e)
	if err != nil {
		return nil, err
	}
	return python(raw, indent), nil
}

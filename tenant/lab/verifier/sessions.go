package verifier

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	wire "github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The defaults of upstream (PROTOCOL.md 2.4).
const (
	challengeBytes   = 16
	challengeLife    = time.Minute
	sessionLife      = 3 * time.Minute
	sessionsPerAgent = 15
	sessionWindow    = time.Minute
	// sessionsPerAddress is how many one address may ask for where an agent may ask
	// for sessionsPerAgent.
	sessionsPerAddress = 50
)

// session is one session of an agent: open until it is proved, and then known by
// its token.
type session struct {
	id, agent string
	challenge []byte
	created   time.Time
	ends      time.Time // of the challenge, then of the token
	token     string    // "" until it is proved
}

// sessions are all sessions, and who has asked for them when. The server's lock
// guards them.
type sessions struct {
	open  map[string]*session
	asked map[string][]time.Time
}

// openSession answers POST /sessions: a challenge, also for an agent that nobody
// has enrolled.
func (s *Server) openSession(r *http.Request, body []byte) reply {
	var request wire.SessionRequest
	if err := readResource(body, wire.ResourceSession, &request); err != nil {
		return sessionError(http.StatusBadRequest, err.Error())
	}
	if request.AgentID == "" {
		return sessionError(http.StatusBadRequest, "agent_id is required")
	}
	offered := false
	for _, a := range request.Supported {
		offered = offered || a.Type == wire.AuthenticationType
	}
	if !offered {
		return sessionError(http.StatusBadRequest, "authentication_supported must include tpm_pop authentication type")
	}
	challenge, id := make([]byte, challengeBytes), make([]byte, 16)
	if !s.random(challenge) || !s.random(id) {
		return reply{code: http.StatusInternalServerError}
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions.forgetOld(now)
	// The address first: what it asks for in vain is not counted for an agent.
	wait := s.sessions.tooOften("ip:"+addressOf(r), s.o.SessionLimit*sessionsPerAddress/sessionsPerAgent, now)
	if wait == 0 {
		wait = s.sessions.tooOften("agent:"+request.AgentID, s.o.SessionLimit, now)
	}
	if wait > 0 {
		refusal := sessionError(http.StatusTooManyRequests, "Rate limit exceeded. Please try again later.")
		refusal.header = map[string]string{"Retry-After": strconv.Itoa(int(math.Ceil(wait.Seconds())))}
		return refusal
	}
	n := &session{id: hex.EncodeToString(id), agent: request.AgentID, challenge: challenge, created: now, ends: now.Add(challengeLife)}
	s.sessions.open[n.id] = n
	return resource(http.StatusOK, wire.ResourceSession, n.id, "", wire.SessionRecord{AgentID: n.agent,
		Requested: []wire.Authentication{{Class: wire.AuthenticationClass, Type: wire.AuthenticationType,
			Chosen: &wire.ChosenParameters{Challenge: base64.StdEncoding.EncodeToString(challenge)}}},
		CreatedAt: utc(now), ChallengesExpireAt: utc(n.ends)}, nil)
}

// proveSession answers PATCH /sessions/:id: a token, for the proof that the agent
// possesses the AK that it is enrolled with. Each session may be proved once.
func (s *Server) proveSession(id string, body []byte) reply {
	var request wire.SessionRequest
	if err := readResource(body, wire.ResourceSession, &request); err != nil {
		return sessionError(http.StatusBadRequest, err.Error())
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sessions.open[id]
	switch {
	case request.AgentID == "":
		return sessionError(http.StatusBadRequest, "agent_id is required")
	case n == nil || n.token != "":
		return sessionError(http.StatusNotFound, "Session not found")
	case n.agent != request.AgentID:
		return sessionError(http.StatusBadRequest, "Agent ID mismatch")
	}
	record := wire.SessionRecord{AgentID: n.agent, Evaluation: wire.EvaluationFail, CreatedAt: utc(n.created), ChallengesExpireAt: utc(n.ends), ResponseReceivedAt: utc(now)}
	e := s.agents[n.agent]
	if now.After(n.ends) || e == nil {
		// As upstream: no word about which of the two it is.
		delete(s.sessions.open, id)
		return resource(http.StatusOK, wire.ResourceSession, id, "", record, nil)
	}
	secret := make([]byte, 32)
	if err := proofOf(request, e.Request.AKTPM, n.challenge); err != nil || !s.random(secret) {
		s.logf("agent %s: its proof of possession is refused: %v", n.agent, err)
		delete(s.sessions.open, id)
		return resource(http.StatusUnauthorized, wire.ResourceSession, id, "", record, nil)
	}
	for other, old := range s.sessions.open {
		if old.agent == n.agent && old.token != "" {
			delete(s.sessions.open, other)
		}
	}
	n.token, n.ends = id+"."+base64.RawURLEncoding.EncodeToString(secret), now.Add(sessionLife)
	record.Evaluation, record.Token, record.TokenExpiresAt = wire.EvaluationPass, wire.Token(n.token), utc(n.ends)
	return resource(http.StatusOK, wire.ResourceSession, id, "", record, nil)
}

// proofOf checks a proof of possession: TPM2_Certify of the AK by the AK, with
// the challenge.
func proofOf(request wire.SessionRequest, akB64 string, challenge []byte) error {
	if len(request.Provided) == 0 || request.Provided[0].Type != wire.AuthenticationType || request.Provided[0].Data == nil {
		return errNoProof
	}
	decode := base64.StdEncoding.DecodeString
	attest, err := decode(request.Provided[0].Data.Message)
	if err != nil {
		return err
	}
	signature, err := decode(request.Provided[0].Data.Signature)
	if err != nil {
		return err
	}
	ak, err := decode(akB64)
	if err != nil {
		return err
	}
	return quote.VerifyCertify(attest, signature, ak, ak, challenge)
}

// bearer is the agent that a token is of, "" for one that does not count. The
// caller holds the lock.
func (s *Server) bearer(token string) string {
	now := s.o.Now()
	for _, n := range s.sessions.open {
		if n.token != "" && subtle.ConstantTimeCompare([]byte(n.token), []byte(token)) == 1 && !now.After(n.ends) {
			return n.agent
		}
	}
	return ""
}

// tokenOf is bearer for callers without the lock.
func (s *Server) tokenOf(token string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bearer(token)
}

// extend lets the session of an agent live on: a good quote proves possession
// too. The caller holds the lock.
func (s *Server) extend(agent string) {
	for _, n := range s.sessions.open {
		if n.agent == agent && n.token != "" {
			n.ends = s.o.Now().Add(sessionLife)
		}
	}
}

// forgetOld drops what is over.
func (l *sessions) forgetOld(now time.Time) {
	if l.open == nil {
		l.open, l.asked = map[string]*session{}, map[string][]time.Time{}
	}
	for id, n := range l.open {
		if now.After(n.ends) {
			delete(l.open, id)
		}
	}
	for key, times := range l.asked {
		if now.Sub(times[len(times)-1]) > sessionWindow {
			delete(l.asked, key)
		}
	}
}

// tooOften counts a question, or tells how long to wait with it.
func (l *sessions) tooOften(key string, limit int, now time.Time) time.Duration {
	times := l.asked[key]
	for len(times) > 0 && now.Sub(times[0]) >= sessionWindow {
		times = times[1:]
	}
	if len(times) >= limit {
		return sessionWindow - now.Sub(times[0])
	}
	l.asked[key] = append(times, now)
	return 0
}

func (s *Server) random(b []byte) bool {
	_, err := io.ReadFull(s.o.Rand, b)
	return err == nil
}

// utc is a time as the verifier tells it.
func utc(t time.Time) *time.Time {
	t = t.UTC()
	return &t
}

// sessionError is a refusal of a route of sessions, whose items have a title and
// no code.
func sessionError(code int, detail string) reply {
	type item struct {
		Status string `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	return reply{code: code, body: map[string][]item{"errors": {{strconv.Itoa(code), http.StatusText(code), detail}}}}
}

// readResource reads the attributes of the one resource in a body.
func readResource(body []byte, kind string, into any) error {
	var document wire.Body
	if err := json.Unmarshal(body, &document); err != nil {
		return err
	}
	return document.Read(kind, into)
}

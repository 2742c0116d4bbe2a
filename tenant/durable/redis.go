package durable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// redisStore is a Redis server with a sorted set for each agent and kind, named
// PREFIX_KIND_ID, whose scores are times in seconds.
type redisStore struct {
	name, prefix string
	base64       bool
	conn         *respConn
}

// openRedis connects to a server.
func openRedis(ctx context.Context, u storeURL, o Options) (Store, error) {
	s := &redisStore{name: u.shown(), prefix: u.query["prefix"], base64: o.Encoding == "base64"}
	failed := func(err error, hint string) (Store, error) {
		return nil, &OpenError{Store: s.name, Err: err, Hint: hint}
	}
	host, port, err := net.SplitHostPort(u.host)
	if err != nil || host == "" || port == "" || strings.Contains(u.host, "@") {
		return nil, &UnsupportedError{Object: "the store " + s.name, Cause: "it names no host with a port", Hint: "it is redis://HOST:PORT?db=N&password=FILE&prefix=NAME"}
	}
	password, err := secret(u.query["password"], o.Getenv)
	if err != nil {
		return failed(errors.New("the file with the password cannot be read"), "")
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return failed(err, "is the Redis server up, and is its address the one in persistent_store_url?")
	}
	s.conn = &respConn{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	commands := [][]string{{"SELECT", "0"}}
	if db := u.query["db"]; db != "" {
		commands[0][1] = db
	}
	if password != "" {
		commands = slices.Insert(commands, 0, []string{"AUTH", password})
	}
	for _, words := range commands {
		if _, err := s.conn.call(ctx, words...); err != nil {
			_ = conn.Close()
			hint := passwordHint(err, password != "")
			return nil, &OpenError{Store: s.name, Err: fmt.Errorf("%s: %w", words[0], err), Hint: hint, Unauthorized: hint != ""}
		}
	}
	return s, nil
}

// passwordHint says what to do about a server that wants another password, ""
// for any other failure.
func passwordHint(err error, given bool) string {
	refused := serverError("")
	if !errors.As(err, &refused) {
		return ""
	}
	for _, word := range []string{"NOAUTH", "WRONGPASS", "invalid password", "without any password"} {
		switch {
		case !strings.Contains(string(refused), word):
		case given:
			return "the password in the address of the store is not the server's"
		default:
			return "password= in the address of the store names the file with the password"
		}
	}
	return ""
}

// secret is a password as upstream finds it: the content of a file, or the value
// of an environment variable, or the text itself.
func secret(text string, getenv func(string) (string, bool)) (string, error) {
	if text == "" {
		return "", nil
	}
	if rest, home := strings.CutPrefix(text, "~/"); home {
		if dir, set := getenv("HOME"); set {
			text = filepath.Join(dir, rest)
		}
	}
	if _, err := os.Stat(text); err == nil {
		data, err := os.ReadFile(text)
		if err != nil {
			return "", err
		}
		text = strings.TrimSpace(string(data))
	}
	if value, set := getenv(text); set {
		text = value
	}
	return text, nil
}

func (s *redisStore) Name() string { return s.name }

func (s *redisStore) Close() error { return s.conn.conn.Close() }

func (s *redisStore) failed(err error) error { return &OpenError{Store: s.name, Err: err} }

func (s *redisStore) key(kind Kind, id string) string {
	return s.prefix + "_" + string(kind) + "_" + id
}

// maxAgents bounds the ids that a server may name.
const maxAgents = 1 << 20

// Agents: see [Store].
func (s *redisStore) Agents(ctx context.Context, kind Kind) ([]string, error) {
	prefix := s.key(kind, "")
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
	seen := map[string]bool{}
	for cursor := "0"; ; {
		answer, err := s.conn.call(ctx, "SCAN", cursor, "MATCH", escape.Replace(prefix)+"*", "COUNT", "1000")
		if err != nil {
			return nil, s.failed(err)
		}
		if len(answer.list) != 2 {
			return nil, s.failed(errReply)
		}
		for _, key := range answer.list[1].list {
			if id, ours := strings.CutPrefix(string(key.text), prefix); ours && id != "" {
				seen[id] = true
			}
		}
		if len(seen) > maxAgents {
			return nil, s.failed(fmt.Errorf("it has more than %d agents", maxAgents))
		}
		if cursor = string(answer.list[0].text); cursor == "0" {
			break
		}
	}
	ids := make([]string, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// Log: see [Store].
func (s *redisStore) Log(ctx context.Context, kind Kind, id string) (Log, error) {
	key := s.key(kind, id)
	n, err := s.count(ctx, "ZCARD", key)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, &NoLogError{Kind: kind, ID: id, Store: s.name}
	}
	return &redisLog{s: s, key: key, n: n}, nil
}

// count is the answer of a command that counts.
func (s *redisStore) count(ctx context.Context, words ...string) (int, error) {
	answer, err := s.conn.call(ctx, words...)
	if err != nil {
		return 0, s.failed(err)
	}
	if answer.n < 0 || answer.n > math.MaxInt32 {
		return 0, s.failed(errReply)
	}
	return int(answer.n), nil
}

// redisLog is one sorted set.
type redisLog struct {
	s   *redisStore
	key string
	n   int

	// second are the records of one second, in the order of their counts of
	// quotes, of which the first is number start: the server orders them by
	// their text.
	second []Raw
	start  int
}

func (l *redisLog) Len() int { return l.n }

func (l *redisLog) Incomplete() bool { return false }

func (l *redisLog) Close() error { return nil }

// Select: see [Log]. Upstream takes times for ranks here.
func (l *redisLog) Select(ctx context.Context, w Window) ([]int, error) {
	first, last := 0, l.n
	var err error
	switch {
	case w.Last:
		first = l.n - 1
	default:
		if !w.From.IsZero() {
			if first, err = l.s.count(ctx, "ZCOUNT", l.key, "-inf", "("+strconv.FormatInt(w.From.Unix(), 10)); err != nil {
				return nil, err
			}
		}
		if !w.To.IsZero() {
			if last, err = l.s.count(ctx, "ZCOUNT", l.key, "-inf", strconv.FormatInt(w.To.Unix(), 10)); err != nil {
				return nil, err
			}
		}
	}
	var chosen []int
	for i := first; i < min(last, l.n); i++ {
		chosen = append(chosen, i)
	}
	return chosen, nil
}

// Read: see [Log].
func (l *redisLog) Read(ctx context.Context, i int) (Raw, error) {
	if l.second == nil || i < l.start || i >= l.start+len(l.second) {
		if err := l.fetch(ctx, i); err != nil {
			return Raw{}, err
		}
	}
	raw := l.second[i-l.start]
	if !l.s.base64 {
		return raw, nil
	}
	data, err := decodeBase64(raw.Data)
	raw.Data = data
	return raw, err
}

// fetch gets record i, and all of the same second.
func (l *redisLog) fetch(ctx context.Context, i int) error {
	rank := strconv.Itoa(i)
	one, err := l.records(ctx, "ZRANGE", l.key, rank, rank, "WITHSCORES")
	if err != nil {
		return err
	}
	if len(one) != 1 {
		return l.s.failed(errors.New("records have vanished while they were read"))
	}
	second := strconv.FormatInt(one[0].Time.Unix(), 10)
	together, err := l.s.count(ctx, "ZCOUNT", l.key, second, second)
	if err != nil {
		return err
	}
	l.second, l.start = one, i
	if together <= 1 {
		return nil
	}
	if l.start, err = l.s.count(ctx, "ZCOUNT", l.key, "-inf", "("+second); err != nil {
		return err
	}
	if l.second, err = l.records(ctx, "ZRANGE", l.key, strconv.Itoa(l.start), strconv.Itoa(l.start+together-1), "WITHSCORES"); err != nil {
		return err
	}
	if i < l.start || i >= l.start+len(l.second) {
		return l.s.failed(errors.New("records have moved while they were read"))
	}
	slices.SortStableFunc(l.second, func(a, b Raw) int { return l.quotes(a) - l.quotes(b) })
	return nil
}

// quotes is the count of quotes in a record, 0 if it tells none.
func (l *redisLog) quotes(raw Raw) int {
	data := raw.Data
	if l.s.base64 {
		data, _ = decodeBase64(data)
	}
	_, attributes, err := open(data)
	if err != nil {
		return 0
	}
	var n int
	(&reader{members: attributes}).get("attestation_count", &n)
	return min(max(n, 0), math.MaxInt32)
}

// records are the members of a set with their scores.
func (l *redisLog) records(ctx context.Context, words ...string) ([]Raw, error) {
	answer, err := l.s.conn.call(ctx, words...)
	if err != nil {
		return nil, l.s.failed(err)
	}
	if len(answer.list)%2 != 0 {
		return nil, l.s.failed(errReply)
	}
	var all []Raw
	for i := 0; i < len(answer.list); i += 2 {
		score, err := strconv.ParseFloat(string(answer.list[i+1].text), 64)
		if err != nil || !(score >= 0 && score <= lastTime) {
			return nil, l.s.failed(errors.New("a record has no time for a score"))
		}
		all = append(all, Raw{Time: time.Unix(int64(score), 0).UTC(), Data: answer.list[i].text})
	}
	return all, nil
}

package durable_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/durable"
)

// member is a member of a sorted set.
type member struct {
	score int64
	text  string
}

// fakeRedis is a Redis server with sorted sets, as far as this package asks.
type fakeRedis struct {
	password, db string
	sets         map[string][]member
	// answer, if not nil, answers a command in its own way.
	answer func(words []string) (reply string, known bool)

	mu    sync.Mutex
	asked []string
}

// dial connects to the server by a pipe.
func (f *fakeRedis) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		r := bufio.NewReader(server)
		for {
			words, err := command(r)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.asked = append(f.asked, strings.Join(words, " "))
			f.mu.Unlock()
			if _, err := io.WriteString(server, f.reply(words)); err != nil {
				return
			}
		}
	}()
	return client, nil
}

func command(r *bufio.Reader) (words []string, err error) {
	var n int
	if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	for range n {
		var size int
		if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words = append(words, string(word[:size]))
	}
	return words, nil
}

func (f *fakeRedis) reply(words []string) string {
	if f.answer != nil {
		if reply, known := f.answer(words); known {
			return reply
		}
	}
	switch words[0] {
	case "AUTH":
		if words[1] != f.password {
			return "-WRONGPASS invalid username-password pair\r\n"
		}
		return "+OK\r\n"
	case "SELECT":
		if f.password != "" && !f.authenticated() {
			return "-NOAUTH Authentication required.\r\n"
		}
		if f.db != "" && words[1] != f.db {
			return "-ERR DB index is out of range\r\n"
		}
		return "+OK\r\n"
	case "SCAN":
		prefix := strings.TrimSuffix(strings.ReplaceAll(words[3], `\`, ""), "*")
		var keys []string
		for key := range f.sets {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		// Two pages, the second of which repeats a key, as a server may.
		if words[1] == "0" && len(keys) > 1 {
			return "*2\r\n" + bulk("7") + list(keys[:len(keys)-1])
		}
		return "*2\r\n" + bulk("0") + list(keys)
	case "ZCARD":
		return fmt.Sprintf(":%d\r\n", len(f.sets[words[1]]))
	case "ZCOUNT":
		n := 0
		for _, m := range f.sets[words[1]] {
			if m.score >= bound(words[2], false) && m.score <= bound(words[3], true) {
				n++
			}
		}
		return fmt.Sprintf(":%d\r\n", n)
	case "ZRANGE":
		all := slices.SortedFunc(slices.Values(f.sets[words[1]]), func(a, b member) int {
			return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.text, b.text))
		})
		first, _ := strconv.Atoi(words[2])
		last, _ := strconv.Atoi(words[3])
		var flat []string
		for i := first; i <= last && i < len(all); i++ {
			flat = append(flat, all[i].text, strconv.FormatInt(all[i].score, 10))
		}
		return list(flat)
	}
	return "-ERR unknown command\r\n"
}

func (f *fakeRedis) authenticated() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.asked, "AUTH "+f.password)
}

func bound(text string, upper bool) int64 {
	open := strings.HasPrefix(text, "(")
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "("), 10, 64)
	switch {
	case err != nil && upper:
		return math.MaxInt64
	case err != nil:
		return math.MinInt64
	case open && upper:
		return n - 1
	case open:
		return n + 1
	}
	return n
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func list(words []string) string {
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += bulk(word)
	}
	return text
}

// counted is a record that begins so that servers order it by its text, and
// tells its count of quotes.
func counted(n int) string {
	return fmt.Sprintf(`{"agent": {"attestation_count": %d}}`, n)
}

func TestRedis(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "redis.auth")
	if err := os.WriteFile(password, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := &fakeRedis{password: "geheim", db: "10", sets: map[string][]member{
		"d*_attestation_a":  {{10, counted(8)}, {20, counted(9)}, {20, counted(10)}, {20, counted(11)}, {30, counted(12)}},
		"d*_registration_a": {{5, "r"}}, "d*_registration_b": {{5, "r"}}, "other_registration_c": {{5, "r"}},
	}}
	store := open(t, durable.Options{URL: "redis://127.0.0.1:6379?db=10&password=" + password + "&prefix=d*", Dial: server.dial})
	if ids, err := store.Agents(t.Context(), durable.Registrations); err != nil || !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("%q %v", ids, err)
	}
	if name := store.Name(); name != "redis://127.0.0.1:6379?db=10&prefix=d*" {
		t.Errorf("name %s", name)
	}
	log, err := store.Log(t.Context(), durable.Attestations, "a")
	if err != nil || log.Len() != 5 {
		t.Fatal(err)
	}
	want := []string{"10: " + counted(8), "20: " + counted(9), "20: " + counted(10), "20: " + counted(11), "30: " + counted(12)}
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for name, test := range map[string]struct {
		w    durable.Window
		want []string
	}{
		"all":  {durable.Window{}, want},
		"from": {durable.Window{From: at(20)}, want[1:]},
		"to":   {durable.Window{To: at(20)}, want[:4]},
		"both": {durable.Window{From: at(11), To: at(29)}, want[1:4]},
		"none": {durable.Window{From: at(31)}, nil},
		"last": {durable.Window{Last: true}, want[4:]},
	} {
		if got := selected(t, log, test.w); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := texts(t, log, []int{3, 1, 2}); !slices.Equal(got, []string{want[3], want[1], want[2]}) {
		t.Errorf("%q", got)
	}
	var none *durable.NoLogError
	if _, err := store.Log(t.Context(), durable.Attestations, "nobody"); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}

func TestRedisEncoded(t *testing.T) {
	t.Parallel()
	server := &fakeRedis{sets: map[string][]member{"_attestation_a": {{1, "b25l"}, {2, "*"}}}}
	store := open(t, durable.Options{URL: "redis://h:1?db=0", Encoding: "base64", Dial: server.dial})
	log, err := store.Log(t.Context(), durable.Attestations, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := selected(t, log, durable.Window{}); !slices.Equal(got, []string{"1: one", "2: the record is not base64"}) {
		t.Errorf("%q", got)
	}
}

// TestRedisRefuses: a server that refuses, or is none, is named with what to do,
// and no password is repeated.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	dead := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
	}
	speaks := func(text string) func(context.Context, string, string) (net.Conn, error) {
		return (&fakeRedis{answer: func([]string) (string, bool) { return text, true }}).dial
	}
	for name, test := range map[string]struct {
		url, want, hint string
		dial            func(context.Context, string, string) (net.Conn, error)
	}{
		"nobody there":   {"redis://h:1?password=geheim", "refused", "is the Redis server up", dead},
		"wrong password": {"redis://h:1?password=geheim", "AUTH: the server answers: WRONGPASS", "is not the server's", (&fakeRedis{password: "x"}).dial},
		"no password":    {"redis://h:1", "SELECT: the server answers: NOAUTH", "password=", (&fakeRedis{password: "x"}).dial},
		"no database":    {"redis://h:1?db=99", "SELECT: the server answers: ERR DB", "", (&fakeRedis{db: "1"}).dial},
		"HTTP":           {"redis://h:1", "none of a Redis server", "", speaks("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"no end":         {"redis://h:1", "none of a Redis server", "", speaks("+OK\n")},
		"number":         {"redis://h:1", "none of a Redis server", "", speaks(":x\r\n")},
		"deep":           {"redis://h:1", "none of a Redis server", "", speaks(strings.Repeat("*1\r\n", 100))},
		"many lists":     {"redis://h:1", "none of a Redis server", "", speaks("*2\r\n*1048575\r\n")},
		"long list":      {"redis://h:1", "none of a Redis server", "", speaks("*99999999\r\n")},
	} {
		_, err := durable.Open(t.Context(), durable.Options{URL: test.url, Dial: test.dial})
		var closed *durable.OpenError
		if !errors.As(err, &closed) || !strings.Contains(err.Error(), test.want) || !strings.Contains(closed.HintText(), test.hint) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRedisStops: a server that does not answer keeps nobody.
func TestRedisStops(t *testing.T) {
	t.Parallel()
	server := &fakeRedis{sets: map[string][]member{"_attestation_a": {{1, "x"}}}}
	store := open(t, durable.Options{URL: "redis://h:1", Dial: server.dial})
	log, err := store.Log(t.Context(), durable.Attestations, "a")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan bool, 1)
	server.mu.Lock()
	server.answer = func([]string) (string, bool) { asked <- true; select {} }
	server.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := log.Read(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

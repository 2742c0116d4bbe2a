package durable

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// FuzzFile: whatever a file holds, it is indexed and read without a panic, and
// what is read lies within it.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"", "10--b25l\n----\n", "10--b25l\n----\n20--dHdv\n----\n", "x", "--\n", "99999999999--\n", "1--*\n\n\r\n----", "-1--AA==\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := indexFile(context.Background(), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		numbers, _ := l.Select(context.Background(), Window{})
		if len(numbers) != l.Len() {
			t.Fatalf("%d of %d records", len(numbers), l.Len())
		}
		for _, i := range numbers {
			raw, err := l.Read(context.Background(), i)
			var damage *DamageError
			if err != nil && !errors.As(err, &damage) {
				t.Fatal(err)
			}
			if raw.Time.Unix() < 0 || len(raw.Data) > len(data) {
				t.Fatalf("%v with %d octets", raw.Time, len(raw.Data))
			}
		}
	})
}

// FuzzRecord: whatever a record holds, it is read or refused, and its signature
// is held against it.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{`{}`, `{"agent": {"agent_id": "a", "ak_tpm": "QUs=", "nonce": "n", "tpm_clockinfo": {"clock": 1}}, "json_response": {"results": {"quote": "r"}}}`,
		`{"agent": {"aik_tpm": "AA==", "active": 1}, "signature": "AA==", "signer_pub_key": "x"}`, `[`, `{"agent": null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(s *Signature, err error) {
			if err == nil && s != nil {
				if _, err := s.Verify(); err == nil {
					t.Fatal("a signature that nobody has made")
				}
				s.Fingerprint()
			}
		}
		if a, err := ParseAttestation(data); a != nil {
			check(a.Signature, err)
		}
		if g, err := ParseRegistration(data); g != nil {
			check(g.Signature, err)
		}
	})
}

// FuzzReply: whatever a server answers, it is read or refused.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR x\r\n", ":12\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "*-1\r\n", "*1\r\n*1\r\n*0\r\n", "$99999999999\r\n", "\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := readReply(bufio.NewReaderSize(bytes.NewReader(data), 16))
		if err == nil && len(answer.text) > len(data) {
			t.Fatalf("%d octets of %d", len(answer.text), len(data))
		}
	})
}

// FuzzURL: an address is split or refused, and no password is shown of it.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"file:///a?prefix=b", "redis://h:1?db=1&password=geheim&prefix=x", "/dir", "file:x", "://", "?", "mysql://u:geheim@h/db", "a://b@c@d/e?password=geheim#x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseURL(text)
		if password := u.query["password"]; err == nil && len(password) > 3 && strings.Count(text, password) == 1 && strings.Contains(u.shown(), password) {
			t.Fatalf("%q shows %q", u.shown(), password)
		}
	})
}

package client

import (
	"context"
	"net/http"
	"testing"
)

// BenchmarkCall is one more call on a connection that is open.
func BenchmarkCall(b *testing.B) {
	known, _ := benchServer(b)
	c := known()
	call := Call{Method: http.MethodGet, Path: "/agents/"}
	for b.Loop() {
		if _, err := c.Do(context.Background(), call); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstCall is what a command pays: reading the files, the handshake,
// the versions, and one call.
func BenchmarkFirstCall(b *testing.B) {
	_, first := benchServer(b)
	for b.Loop() {
		c := first()
		if _, err := c.Negotiate(context.Background()); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Do(context.Background(), Call{Method: http.MethodGet, Path: "/agents/"}); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// benchServer starts a server. The first function makes a client of it, the
// second reads the files as well.
func benchServer(b *testing.B) (client, fresh func() *Client) {
	b.Helper()
	ca := newAuthority(b, "CA")
	f := files(b, ca, clientOf(b, ca))
	s := serveTLS(b, serverOf(b, ca), ca, nil, good(`{"supported_versions": ["2.6"]}`))
	material := load(b, f)
	client = func() *Client { return dialTo(b, s.Listener.Addr(), Config{TLS: material}) }
	fresh = func() *Client { return dialTo(b, s.Listener.Addr(), Config{TLS: load(b, f)}) }
	return client, fresh
}

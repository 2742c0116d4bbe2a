// Package durable reads what Keylime's durable attestation has kept: for each
// agent the records of its registrations, written by a registrar, and those of
// its attestations, written by a verifier before it judged them (keylime
// 7.14.3, keylime/da). A record of an attestation holds all that the verifier
// judged by: the nonce, the AK, the policies, and the agent's answer.
//
// A store is written by servers, and often lies on a machine of its own: its
// records are untrusted. This package bounds their sizes and says of each
// whether it is one; what a record proves, the replay of package tenant finds
// out. It never writes.
//
// Records also hold secrets (V, the key that signs revocations). None of them
// is read.
package durable

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Kind is a kind of records; it is part of names in a store.
type Kind string

// The kinds of records.
const (
	Attestations  Kind = "attestation"
	Registrations Kind = "registration"
)

// MaxRecord is the largest record that is read, in octets of the form it is
// stored in. An IMA list of a million entries needs about half of it.
const MaxRecord = 256 << 20

// Options say where a store is and in which form, as registrar.conf does.
type Options struct {
	// Import is durable_attestation_import, the Python module that wrote the
	// store; "" leaves its kind to the URL.
	Import string
	// URL is persistent_store_url: file:///DIR?prefix=NAME, or
	// redis://HOST:PORT?db=N&password=FILE&prefix=NAME. Without Import the path
	// of a directory will do.
	URL string
	// Format is persistent_store_format, "" means json; Encoding is
	// persistent_store_encoding: base64, or "" for none.
	Format, Encoding string
	// Getenv looks up an environment variable, which may hold the password of a
	// server; nil knows none.
	Getenv func(name string) (value string, found bool)
	// Dial connects to a server; nil means a plain connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Store is an open store. It is not safe for concurrent use.
type Store interface {
	// Name says which store it is, for messages; it holds no password.
	Name() string
	// Agents are the ids of the agents with records of a kind, sorted.
	Agents(ctx context.Context, kind Kind) ([]string, error)
	// Log opens the records of an agent. Error: *[NoLogError] if there are none.
	Log(ctx context.Context, kind Kind, id string) (Log, error)
	Close() error
}

// Log are the records of one kind of one agent, in the order they were written,
// as they were when it was opened.
type Log interface {
	Len() int
	// Select are the numbers of the records of a window, ascending.
	Select(ctx context.Context, w Window) ([]int, error)
	// Read reads one record. Error: *[DamageError] for what is none; Raw then
	// has the time at least.
	Read(ctx context.Context, i int) (Raw, error)
	// Incomplete says that a last record was left out that is being written.
	Incomplete() bool
	Close() error
}

// Raw is a record as it is stored, decoded but not read.
type Raw struct {
	// Time is when the store got it, to the second.
	Time time.Time
	// Data is JSON.
	Data []byte
}

// Window is a time, both ends included. A zero end is open.
type Window struct {
	From, To time.Time
	// Last takes but the last record of all.
	Last bool
}

// contains says whether a time, in seconds since 1970, is in the window.
func (w Window) contains(seconds int64) bool {
	return (w.From.IsZero() || seconds >= w.From.Unix()) && (w.To.IsZero() || seconds <= w.To.Unix())
}

// Open opens a store. Errors: *[UnsupportedError] for a store that cannot be
// read, and why; those of the system.
func Open(ctx context.Context, o Options) (Store, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) (string, bool) { return "", false }
	}
	switch o.Format {
	case "", "json":
		o.Format = "json"
	case "pickle":
		return nil, &UnsupportedError{Object: "persistent_store_format = pickle", Cause: "reading a pickle runs whatever code is in it",
			Hint: "set persistent_store_format = json for registrar and verifier; records that are pickles can be read by Keylime's own keylime_attest alone"}
	default:
		return nil, &UnsupportedError{Object: fmt.Sprintf("persistent_store_format = %.40q", o.Format), Cause: "no such format is known", Hint: "it is json"}
	}
	switch o.Encoding {
	case "", "base64":
	default:
		return nil, &UnsupportedError{Object: fmt.Sprintf("persistent_store_encoding = %.40q", o.Encoding), Cause: "no such encoding is known", Hint: "it is base64, or left empty"}
	}
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	switch o.kind(u) {
	case "file":
		return openFiles(u)
	case "redis":
		return openRedis(ctx, u, o)
	case "sql":
		return nil, &UnsupportedError{Object: "the store " + u.shown(), Cause: "records in SQL databases cannot be read",
			Hint: "Keylime's own class for them cannot list agents either; write records to files: durable_attestation_import = keylime.da.examples.file"}
	}
	if o.Import != "" {
		return nil, &UnsupportedError{Object: fmt.Sprintf("durable_attestation_import = %.80q", o.Import), Cause: "what this module writes is not known here",
			Hint: "known are keylime.da.examples.file and keylime.da.examples.redis; --store URL reads a store of their form"}
	}
	return nil, &UnsupportedError{Object: "the store " + u.shown(), Cause: fmt.Sprintf("no store of kind %.20q is known", u.scheme),
		Hint: "it is file:///DIR?prefix=NAME or redis://HOST:PORT?db=N&prefix=NAME"}
}

// kind is that of the module, which for upstream alone says what a store is, or
// that of the URL.
func (o Options) kind(u storeURL) string {
	if o.Import != "" {
		module := strings.TrimSuffix(o.Import, ".py")
		switch module[strings.LastIndexByte(module, '.')+1:] {
		case "file":
			return "file"
		case "redis":
			return "redis"
		case "sqldb":
			return "sql"
		}
		return ""
	}
	scheme, _, _ := strings.Cut(u.scheme, "+") // mysql+pymysql
	switch scheme {
	case "", "file":
		return "file"
	case "redis":
		return "redis"
	case "sqlite", "mysql", "mariadb", "postgresql", "postgres", "oracle", "mssql":
		return "sql"
	}
	return ""
}

// UnsupportedError is a store that this package does not read.
type UnsupportedError struct {
	// Object is what it is about, Cause why not, Hint what to do.
	Object, Cause, Hint string
}

func (e *UnsupportedError) Error() string { return e.Object + ": " + e.Cause }

// HintText is what to do.
func (e *UnsupportedError) HintText() string { return e.Hint }

// NoLogError: the store has no records of this kind of an agent.
type NoLogError struct {
	Kind  Kind
	ID    string
	Store string
}

func (e *NoLogError) Error() string {
	return fmt.Sprintf("%s has no %s record of agent %.80q", e.Store, e.Kind, e.ID)
}

// DamageError is a record that cannot be read as one.
type DamageError struct {
	// Cause says what is wrong with it; it repeats nothing of the record.
	Cause string
	Err   error
}

func (e *DamageError) Error() string {
	if e.Err != nil {
		return e.Cause + ": " + e.Err.Error()
	}
	return e.Cause
}

func (e *DamageError) Unwrap() error { return e.Err }

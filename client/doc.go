// Package client is the transport to the servers of Keylime: registrar,
// verifier and agents. It speaks HTTP/1.1 over mutually authenticated TLS,
// agrees on a version of the API, opens the JSON envelope of API 2 and turns
// every failure into an [Error] that says by cause what went wrong.
//
// What it trusts: for registrar and verifier the configured certificate
// authorities and nothing else, never the system's; for an agent the very
// certificate that the registrar holds, byte for byte. Host names are not
// checked unless asked for, since Keylime's own certificates do not carry
// useful ones (PROTOCOL.md 1.4). TLS is 1.2 or later. There is no downgrade:
// key material that is missing or unreadable is a [FileError] before anything
// is sent, and plain HTTP is spoken only to a server configured so.
//
// What it does not do: proxies are never used, redirects never followed, and
// text that a server sends appears in messages only quoted and cut to length.
//
// The endpoints of each server are in the packages below this one.
package client

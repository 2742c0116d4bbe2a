// Package payload is the cryptography of what a tenant gives an agent
// (PROTOCOL.md section 7): a key K in two shares, U that the tenant gives the
// agent and V that the verifier gives it after a good quote; the payload sealed
// under K; and the proofs that somebody holds K.
//
// It is pure: bytes in, bytes out. It trusts nothing and sends nothing. Whether
// a transport key is the agent's is for the caller to know, from a verified
// quote. The formats are Keylime's, so they are not negotiable: AES-256-GCM
// with an IV of 16 bytes, HMAC-SHA384, RSA-OAEP with SHA-1. The last is refused
// by Go's crypto/rsa when it runs with GODEBUG=fips140=only.
package payload

// Package tpmdev speaks to a TPM 2.0 on this machine, or to an emulator, and
// makes of it what a verifier wants for an attestation without enrolment: an
// EK, an AK below it and a quote (TCG TPM 2.0 Library, Parts 1 to 3, revision
// 1.59; TCG EK Credential Profile 2.5; PROTOCOL.md 4.8 and 5.2). It needs no
// tpm2-tools, writes no file, and leaves nothing in the TPM: keys and sessions
// are transient and are flushed on every path, also when the caller gives up.
//
// It trusts nobody: what the TPM says is handed on as it is, for
// tenant/quote to verify. It does not bind the AK to the EK by credential
// activation, and does not look for an EK certificate.
//
// Besides tenant/lab/softtpm, which plays a TPM, this is the only package that
// speaks TPM commands.
package tpmdev

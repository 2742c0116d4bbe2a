package ek

import (
	"fmt"
	"strings"
)

// Check names one of the checks of an EK certificate.
type Check string

// The checks.
const (
	// CheckNoCertificate: the registrar holds a certificate at all.
	CheckNoCertificate Check = "no-certificate"
	// CheckCertificate: it can be read.
	CheckCertificate Check = "certificate"
	// CheckPublic: the registered EK can be read.
	CheckPublic Check = "ek-public"
	// CheckStore: the store can be read and holds a certificate.
	CheckStore Check = "store"
	// CheckKeyMatch: the certificate is for the registered EK.
	CheckKeyMatch Check = "key-match"
	// CheckChain: the store holds a certificate of the issuer's name.
	CheckChain Check = "chain"
	// CheckSignature: that certificate's key has signed the EK certificate.
	CheckSignature Check = "signature"
	// CheckIssuer: that certificate may sign others.
	CheckIssuer Check = "issuer"
	// CheckDates: both certificates are valid now.
	CheckDates Check = "dates"
)

// VerificationError says why an EK certificate is refused.
type VerificationError struct {
	Check Check
	// Issuer is the issuer's name in the EK certificate, AKI its authority key
	// identifier in hex; "" when unknown.
	Issuer, AKI string
	// StoreDir is the directory of the store, Loaded the number of
	// certificates read from it.
	StoreDir string
	Loaded   int
	// SkippedFiles are the files of the store that could not be used.
	SkippedFiles []Skipped
	Err          error
}

func (e *VerificationError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "EK certificate refused by check %q", string(e.Check))
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *VerificationError) Unwrap() error { return e.Err }

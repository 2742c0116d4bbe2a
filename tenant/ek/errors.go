package ek

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Check names one of the checks of an EK certificate. The names are stable:
// scripts may look for them.
type Check string

// The checks, in the order in which they are made.
const (
	// CheckNoCertificate: the registrar holds a certificate at all.
	CheckNoCertificate Check = "no-certificate"
	// CheckCertificate: it can be read.
	CheckCertificate Check = "certificate"
	// CheckPublic: the registered EK can be read.
	CheckPublic Check = "ek-public"
	// CheckKeyMatch: the certificate is for the registered EK.
	CheckKeyMatch Check = "key-match"
	// CheckStore: the store can be read and holds a certificate.
	CheckStore Check = "store"
	// CheckChain: the store holds a certificate of the issuer's name.
	CheckChain Check = "chain"
	// CheckSignature: that certificate's key has signed the EK certificate.
	CheckSignature Check = "signature"
	// CheckIssuer: that certificate may sign others.
	CheckIssuer Check = "issuer"
	// CheckDates: both certificates are valid now.
	CheckDates Check = "dates"
	// CheckPinList: the list of pinned EKs can be read and is not empty.
	CheckPinList Check = "pin-list"
	// CheckPin: the registered EK is in that list, for this agent.
	CheckPin Check = "pin"
	// CheckPinOther: the list does not bind this agent to another EK.
	CheckPinOther Check = "pin-other"
)

// VerificationError says why an EK certificate is refused, with what an
// operator needs to find the missing certificate.
type VerificationError struct {
	Check Check
	// Issuer is the issuer's name in the EK certificate, AKI its authority key
	// identifier in hex; "" when unknown.
	Issuer, AKI string
	// StoreDir is the directory of the store, Loaded the number of
	// certificates read from it.
	StoreDir string
	Loaded   int
	// Files are the files of the store that hold these certificates.
	Files []string
	// SkippedFiles are the files of the store that could not be used.
	SkippedFiles []Skipped
	// IssuerURLs are where the EK certificate says that its issuer's
	// certificate is; nobody vouches for that.
	IssuerURLs []string
	Err        error
}

// filesShown is how many files of each kind the text of an error names.
const filesShown = 5

func (e *VerificationError) Error() string {
	var b strings.Builder
	object := "EK certificate"
	if e.Check == CheckPinList || e.Check == CheckPin || e.Check == CheckPinOther {
		object = "EK"
	}
	fmt.Fprintf(&b, "%s refused by check %q: %v", object, string(e.Check), e.Err)
	var facts []string
	if e.Issuer != "" {
		facts = append(facts, fmt.Sprintf("issuer %q", e.Issuer))
	}
	if e.AKI != "" {
		facts = append(facts, "authority key id "+e.AKI)
	}
	if e.StoreDir != "" && (e.Check == CheckStore || e.Check == CheckChain || e.Check == CheckSignature) {
		facts = append(facts, fmt.Sprintf("store %s with %s%s", e.StoreDir, count(e.Loaded, "certificate"), e.tried()))
		for i, s := range e.SkippedFiles {
			if i == filesShown {
				facts = append(facts, fmt.Sprintf("and %d more skipped", len(e.SkippedFiles)-i))
				break
			}
			facts = append(facts, fmt.Sprintf("skipped %s: %v", s.Path, s.Err))
		}
	}
	if len(facts) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(facts, "; "))
	}
	return b.String()
}

// tried names the files whose certificates were tried.
func (e *VerificationError) tried() string {
	var names []string
	for i, path := range e.Files {
		if i == filesShown {
			names = append(names, fmt.Sprintf("and %d more", len(e.Files)-i))
			break
		}
		names = append(names, filepath.Base(path))
	}
	if len(names) == 0 {
		return ""
	}
	return " in " + strings.Join(names, ", ")
}

func (e *VerificationError) Unwrap() error { return e.Err }

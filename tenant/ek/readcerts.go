package ek

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
)

// oidSignedData is PKCS#7 signedData (RFC 2315), the form of .p7b and .p7c.
const oidSignedData = "1.2.840.113549.1.7.2"

// ReadCertificates reads the certificates of a file in any form that makers of
// TPMs hand them out in: PEM with one or more of them, DER, the contents of a
// TPM's memory, or PKCS#7 (.p7b, .p7c) in PEM or DER. Other PEM blocks and text
// between them are passed over. It fails if there is none, or if one cannot be
// read.
func ReadCertificates(data []byte) ([]*Certificate, error) {
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return readDER(data)
	}
	var all []*Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "PKCS7", "CMS":
			certs, err := readDER(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
			}
			all = append(all, certs...)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return all, nil
}

func readDER(data []byte) ([]*Certificate, error) {
	if outer, _, err := readElement(data); err == nil && outer.is(classUniversal, tagSequence) {
		if kind, _, err := readElement(outer.body); err == nil {
			if id, err := oid(kind); err == nil && id == oidSignedData {
				return readPKCS7(outer)
			}
		}
	}
	c, err := ParseCertificate(data)
	if err != nil {
		return nil, err
	}
	return []*Certificate{c}, nil
}

// readPKCS7 reads the certificates of a ContentInfo with SignedData (RFC 2315,
// 7 and 9.1). Nobody's signature is verified: it is a bag of certificates.
func readPKCS7(outer element) ([]*Certificate, error) {
	parts, err := sequence(outer, "PKCS#7")
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 || !parts[1].is(classContext, 0) {
		return nil, errors.New("PKCS#7 without content")
	}
	fields, err := sequenceOf(parts[1].body, "PKCS#7 content")
	if err != nil {
		return nil, err
	}
	var all []*Certificate
	for _, field := range fields {
		if !field.is(classContext, 0) {
			continue
		}
		list, err := children(field.body)
		if err != nil {
			return nil, fmt.Errorf("PKCS#7 certificates: %w", err)
		}
		for i, e := range list {
			c, err := ParseCertificate(e.full)
			if err != nil {
				return nil, fmt.Errorf("certificate %d: %w", i+1, err)
			}
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("PKCS#7 without a certificate")
	}
	return all, nil
}

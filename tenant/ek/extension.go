package ek

// The extensions that this package reads (RFC 5280, section 4.2). All others,
// critical or not, are ignored: an EK certificate has a critical
// subjectAltName and usages that only the TCG knows.
const (
	oidSKI              = "2.5.29.14"
	oidKeyUsage         = "2.5.29.15"
	oidSAN              = "2.5.29.17"
	oidBasicConstraints = "2.5.29.19"
	oidAKI              = "2.5.29.35"
	oidInfoAccess       = "1.3.6.1.5.5.7.1.1"
	oidCAIssuers        = "1.3.6.1.5.5.7.48.2"
)

// Limits of what is kept of an authorityInfoAccess.
const (
	maxIssuerURLs = 4
	maxURL        = 300 // bytes
)

// Attributes of a TPM in the subjectAltName.
const (
	oidManufacturer = "2.23.133.2.1"
	oidModel        = "2.23.133.2.2"
	oidVersion      = "2.23.133.2.3"
)

// parseExtensions reads what it can of the extensions. What it cannot read
// gives no right: an issuer whose basic constraints or key usage are there but
// unreadable may not sign.
func (c *Certificate) parseExtensions(field element) {
	list, err := sequenceOf(field.body, "extensions")
	if err != nil {
		return
	}
	for _, extension := range list {
		parts, err := sequence(extension, "extension")
		if err != nil || len(parts) < 2 {
			continue
		}
		id, err := oid(parts[0])
		value := parts[len(parts)-1] // after the optional critical flag
		if err != nil || !value.is(classUniversal, tagOctetString) {
			continue
		}
		if id == oidKeyUsage {
			c.usage = []byte{} // none, unless it can be read
		}
		if content, _, err := readElement(value.body); err == nil {
			c.parseExtension(id, content)
		}
	}
}

func (c *Certificate) parseExtension(id string, content element) {
	switch id {
	case oidSKI:
		if content.is(classUniversal, tagOctetString) {
			c.SKI = keyID(content.body)
		}
	case oidAKI:
		if parts, err := sequence(content, "AKI"); err == nil {
			for _, p := range parts {
				if p.is(classContext, 0) {
					c.AKI = keyID(p.body)
				}
			}
		}
	case oidKeyUsage:
		if usage, err := bits(content); err == nil {
			c.usage = append([]byte{}, usage...)
		}
	case oidBasicConstraints:
		if parts, err := sequence(content, "basic constraints"); err == nil {
			c.isCA = len(parts) > 0 && parts[0].is(classUniversal, tagBoolean) && len(parts[0].body) == 1 && parts[0].body[0] != 0
		}
	case oidSAN:
		c.parseSAN(content)
	case oidInfoAccess:
		c.parseInfoAccess(content)
	}
}

// parseInfoAccess keeps the addresses of the issuer's certificate.
func (c *Certificate) parseInfoAccess(content element) {
	const uri = 6 // GeneralName
	list, err := sequence(content, "authorityInfoAccess")
	if err != nil {
		return
	}
	for _, description := range list {
		parts, err := sequence(description, "access description")
		if err != nil || len(parts) != 2 || !parts[1].is(classContext, uri) || len(c.IssuerURLs) == maxIssuerURLs {
			continue
		}
		address := string(parts[1].body)
		if id, err := oid(parts[0]); err == nil && id == oidCAIssuers && len(address) <= maxURL && printable(address) == address {
			c.IssuerURLs = append(c.IssuerURLs, address)
		}
	}
}

// parseSAN looks for the TPM's attributes in the directoryNames.
func (c *Certificate) parseSAN(content element) {
	const directoryName = 4
	names, err := sequence(content, "subjectAltName")
	if err != nil {
		return
	}
	for _, general := range names {
		if !general.is(classContext, directoryName) {
			continue
		}
		inner, _, err := readElement(general.body)
		if err != nil {
			continue
		}
		rdns, err := nameAttributes(inner)
		if err != nil {
			continue
		}
		for _, rdn := range rdns {
			for _, a := range rdn {
				switch a.oid {
				case oidManufacturer:
					c.Manufacturer = printable(a.value)
				case oidModel:
					c.Model = printable(a.value)
				case oidVersion:
					c.Version = printable(a.value)
				}
			}
		}
	}
}

// maySign says whether a certificate may vouch for others: the rule of
// crypto/x509 for a trusted root. A certificate of version 1 cannot say.
func (c *Certificate) maySign() bool {
	const certSign = 0x80 >> 5 // keyUsage bit 5
	if c.version == 3 && !c.isCA {
		return false
	}
	return c.usage == nil || (len(c.usage) > 0 && c.usage[0]&certSign != 0)
}

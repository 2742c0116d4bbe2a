package softtpm

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// createPrimary makes the EK of a template: the same each time.
func (d *Device) createPrimary(c *command) tpm2.TPMRC {
	_, template, code := d.creation(c)
	if code != tpm2.TPMRCSuccess {
		return code
	}
	if c.handles[0] != uint32(tpm2.TPMRHEndorsement) {
		return tpm2.TPMRCHierarchy
	}
	if code := d.byPassword(c, d.o.EndorsementAuth); code != tpm2.TPMRCSuccess {
		return code
	}
	if d.transient() >= d.o.Objects {
		return tpm2.TPMRCObjectMemory
	}
	algorithm := "rsa2048"
	if template.Type == tpm2.TPMAlgECC {
		algorithm = "ecc256"
	}
	ek, known := d.primaries[algorithm]
	if !known {
		var err error
		if ek, err = newEK(algorithm, rand.Reader); err != nil {
			return tpm2.TPMRCFailure
		}
		d.primaries[algorithm] = ek
	}
	// The unique part of a template is room, and counts for nothing here.
	wanted, made := *template, ek.public
	wanted.Unique, made.Unique = tpm2.TPMUPublicID{}, tpm2.TPMUPublicID{}
	if !bytes.Equal(publicHead(wanted), publicHead(made)) {
		return tpm2.TPMRCValue
	}
	k := &held{object: ek, qualified: qualify(tpm2.PrimaryHandleName(tpm2.TPMRHEndorsement), ek)}
	c.answered = d.newHandle(firstTransient)
	d.objects[c.answered] = k
	c.answer = append(bytes.Clone(ek.raw), creationAnswer()...)
	c.answer = appendSized(c.answer, ek.name)
	return tpm2.TPMRCSuccess
}

// publicHead is a public area up to its unique part.
func publicHead(p tpm2.TPMTPublic) []byte {
	head := binary.BigEndian.AppendUint16(nil, uint16(p.Type))
	head = binary.BigEndian.AppendUint16(head, uint16(p.NameAlg))
	head = append(head, tpm2.Marshal(p.ObjectAttributes)...)
	head = append(head, tpm2.Marshal(p.AuthPolicy)...)
	if parms, err := p.Parameters.RSADetail(); err == nil {
		return append(head, tpm2.Marshal(parms)...)
	}
	if parms, err := p.Parameters.ECCDetail(); err == nil {
		return append(head, tpm2.Marshal(parms)...)
	}
	return nil
}

// creation reads the parameters that CreatePrimary and Create share.
func (d *Device) creation(c *command) (auth []byte, template *tpm2.TPMTPublic, code tpm2.TPMRC) {
	sensitive := &command{params: c.sized()}
	auth = sensitive.sized()
	sensitive.sized() // data, for sealed objects
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](c.sized())
	c.sized() // outsideInfo
	if _, ok := parameter[tpm2.TPMLPCRSelection](c); !ok || c.spoilt() || sensitive.spoilt() {
		return nil, nil, tpm2.TPMRCInsufficient
	}
	if err != nil || public.Type != tpm2.TPMAlgRSA && public.Type != tpm2.TPMAlgECC {
		return nil, nil, tpm2.TPMRCType
	}
	return auth, public, tpm2.TPMRCSuccess
}

// maxCreated bounds the keys that were made and may still be loaded.
const maxCreated = 64

// creationAnswer is creationData, creationHash and creationTicket, all empty.
func creationAnswer() []byte {
	answer := appendSized(appendSized(nil, nil), nil)
	answer = binary.BigEndian.AppendUint16(answer, uint16(tpm2.TPMSTCreation))
	answer = binary.BigEndian.AppendUint32(answer, uint32(tpm2.TPMRHNull))
	return appendSized(answer, nil)
}

// create makes a restricted signing key below an EK.
func (d *Device) create(c *command) tpm2.TPMRC {
	auth, template, code := d.creation(c)
	if code != tpm2.TPMRCSuccess {
		return code
	}
	parent := d.objects[c.handles[0]]
	if parent == nil {
		return tpm2.TPMRCHandle
	}
	if code := d.authorize(c, parent); code != tpm2.TPMRCSuccess {
		return code
	}
	if !parent.public.ObjectAttributes.Decrypt {
		return tpm2.TPMRCType
	}
	algorithm, hash := "rsa2048", tpm2.TPMAlgID(0)
	if parms, err := template.Parameters.RSADetail(); err == nil {
		if scheme, err := parms.Scheme.Details.RSASSA(); err == nil && parms.KeyBits == 2048 {
			hash = scheme.HashAlg
		}
	} else if parms, err := template.Parameters.ECCDetail(); err == nil {
		algorithm = "ecc256"
		if scheme, err := parms.Scheme.Details.ECDSA(); err == nil && parms.CurveID == tpm2.TPMECCNistP256 {
			hash = scheme.HashAlg
		}
	}
	attributes := template.ObjectAttributes
	if !attributes.Restricted || !attributes.SignEncrypt || attributes.Decrypt || hash == 0 {
		return tpm2.TPMRCAttributes
	}
	b, err := bankByName(bankName(hash))
	if err != nil {
		return tpm2.TPMRCHash
	}
	made, err := newAK(algorithm, b, rand.Reader)
	if err != nil {
		return tpm2.TPMRCFailure
	}
	public := *template
	public.Unique = made.public.Unique
	if made, err = describe(made.private, algorithm, public); err != nil {
		return tpm2.TPMRCValue
	}
	ticket := make([]byte, 32)
	if _, err := rand.Read(ticket); err != nil {
		return tpm2.TPMRCFailure
	}
	if len(d.created) >= maxCreated {
		clear(d.created)
	}
	d.created[string(ticket)] = &held{object: made, auth: bytes.Clone(auth), qualified: qualify(parent.qualified, made)}
	c.answer = append(appendSized(nil, ticket), made.raw...)
	c.answer = append(c.answer, creationAnswer()...)
	return tpm2.TPMRCSuccess
}

// load loads what create has made.
func (d *Device) load(c *command) tpm2.TPMRC {
	ticket, public := c.sized(), c.sized()
	parent := d.objects[c.handles[0]]
	switch {
	case c.spoilt():
		return tpm2.TPMRCInsufficient
	case parent == nil:
		return tpm2.TPMRCHandle
	}
	if code := d.authorize(c, parent); code != tpm2.TPMRCSuccess {
		return code
	}
	k := d.created[string(ticket)]
	switch {
	case k == nil, !bytes.Equal(appendSized(nil, public), k.raw), !bytes.Equal(k.qualified, qualify(parent.qualified, k.object)):
		return tpm2.TPMRCIntegrity
	case d.transient() >= d.o.Objects:
		return tpm2.TPMRCObjectMemory
	}
	c.answered = d.newHandle(firstTransient)
	d.objects[c.answered] = k
	c.answer = appendSized(nil, k.name)
	return tpm2.TPMRCSuccess
}

func (d *Device) readPublic(c *command) tpm2.TPMRC {
	k := d.objects[c.handles[0]]
	if k == nil {
		return tpm2.TPMRCHandle
	}
	c.answer = appendSized(appendSized(bytes.Clone(k.raw), k.name), k.qualified)
	return tpm2.TPMRCSuccess
}

// quote quotes registers by a restricted signing key.
func (d *Device) quote(c *command) tpm2.TPMRC {
	nonce := c.sized()
	scheme := tpm2.TPMAlgID(c.u16())
	selected, ok := parameter[tpm2.TPMLPCRSelection](c)
	k := d.objects[c.handles[0]]
	switch {
	case !ok || c.spoilt():
		return tpm2.TPMRCInsufficient
	case k == nil:
		return tpm2.TPMRCHandle
	case len(nonce) > maxNonce:
		return tpm2.TPMRCSize
	case scheme != tpm2.TPMAlgNull: // the key has its own
		return tpm2.TPMRCScheme
	}
	if code := d.authorize(c, k); code != tpm2.TPMRCSuccess {
		return code
	}
	hash, err := bankByName(bankName(signingHash(k.public)))
	if err != nil {
		return tpm2.TPMRCKey
	}
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	var values [][]byte
	for _, s := range selected.PCRSelections {
		for _, n := range numbersOf(s) {
			if value, _, err := d.t.register(bankName(s.Hash), n); err == nil {
				values = append(values, *value)
			}
		}
	}
	attest := d.t.attestation(k.qualified, nonce, hash.sum(values...), selected)
	signature, err := k.sign(hash, attest)
	if err != nil {
		return tpm2.TPMRCFailure
	}
	c.answer = append(appendSized(nil, attest), signature...)
	return tpm2.TPMRCSuccess
}

// signingHash is the hash of a key's signing scheme, 0 if it has none.
func signingHash(public tpm2.TPMTPublic) tpm2.TPMAlgID {
	if parms, err := public.Parameters.RSADetail(); err == nil {
		if scheme, err := parms.Scheme.Details.RSASSA(); err == nil {
			return scheme.HashAlg
		}
	} else if parms, err := public.Parameters.ECCDetail(); err == nil {
		if scheme, err := parms.Scheme.Details.ECDSA(); err == nil {
			return scheme.HashAlg
		}
	}
	return 0
}

package softtpm

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// DeviceOptions say how a [Device] behaves.
type DeviceOptions struct {
	// EndorsementAuth is the password of the endorsement hierarchy.
	EndorsementAuth []byte
	// Persistent has, at these handles, the TPM's EK, PersistentAK its AK.
	Persistent, PersistentAK []uint32
	// Objects is how many keys can be loaded at a time, 0 for 3, which is what
	// small TPMs have; for sessions the same.
	Objects int
	// Before is told each command before it is executed; a code that is not
	// TPM_RC_SUCCESS is the answer then. nil lets all pass.
	Before func(command tpm2.TPMCC) tpm2.TPMRC
}

// Device speaks TPM commands over a [TPM] (TPM 2.0 Part 3): Startup,
// GetCapability (PCRs, handles), CreatePrimary (an EK by the templates L-1 and
// L-2), ReadPublic, Create and Load (a restricted signing key), StartAuthSession
// and PolicySecret (policy sessions that are neither salted nor bound), Quote,
// PCR_Read, GetRandom and FlushContext. Passwords, policies and the HMAC of
// policy sessions are checked; every other command is refused with
// TPM_RC_COMMAND_CODE. The private part of a key that Create hands out is a
// ticket, good until some more keys have been made. Creation data are empty.
//
// It may be used by several goroutines; commands queue up.
type Device struct {
	t *TPM
	o DeviceOptions

	mu        sync.Mutex
	objects   map[uint32]*held
	sessions  map[uint32]*policySession
	created   map[string]*held
	primaries map[string]object
	next      uint32
}

var _ transport.TPM = (*Device)(nil)

// held is a key at a handle.
type held struct {
	object
	auth []byte
	// qualified is its qualified name.
	qualified []byte
}

// The first handles of their kinds (TPM 2.0 Part 2, section 7.2).
const (
	firstTransient = 0x80000000
	firstPolicy    = 0x03000000
)

const defaultObjects = 3

// NewDevice makes a device of a TPM. What it is sent moves no register.
func NewDevice(t *TPM, o DeviceOptions) *Device {
	if o.Objects == 0 {
		o.Objects = defaultObjects
	}
	d := &Device{t: t, o: o, objects: map[uint32]*held{}, sessions: map[uint32]*policySession{}, created: map[string]*held{}, primaries: map[string]object{}}
	ek := &held{object: t.ek, qualified: qualify(tpm2.PrimaryHandleName(tpm2.TPMRHEndorsement), t.ek)}
	d.primaries[t.ek.algorithm] = t.ek
	for _, handle := range o.Persistent {
		d.objects[handle] = ek
	}
	for _, handle := range o.PersistentAK {
		d.objects[handle] = &held{object: t.ak, qualified: t.qualifiedName()}
	}
	return d
}

// Held says how many keys and sessions are in the device that a caller has to
// flush.
func (d *Device) Held() (keys, sessions int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.transient(), len(d.sessions)
}

func (d *Device) transient() int {
	n := 0
	for handle := range d.objects {
		if handle>>24 == firstTransient>>24 {
			n++
		}
	}
	return n
}

// The size of a header: tag, size, code.
const deviceHeader = 10

// Send executes a command. Its error is always nil: what is wrong with a
// command, the response says.
func (d *Device) Send(command []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, code := parseCommand(command)
	if code == tpm2.TPMRCSuccess && d.o.Before != nil {
		code = d.o.Before(c.code)
	}
	if code == tpm2.TPMRCSuccess {
		code = d.execute(c)
	}
	if code != tpm2.TPMRCSuccess {
		return respond(tpm2.TPMSTNoSessions, code, nil), nil
	}
	var body []byte
	if c.answered != 0 {
		body = binary.BigEndian.AppendUint32(body, c.answered)
	}
	if len(c.auths) == 0 {
		return respond(tpm2.TPMSTNoSessions, code, append(body, c.answer...)), nil
	}
	body = binary.BigEndian.AppendUint32(body, uint32(len(c.answer)))
	body = append(body, c.answer...)
	for _, a := range c.auths {
		body = append(body, d.answerAuth(c, a)...)
	}
	return respond(tpm2.TPMSTSessions, code, body), nil
}

func respond(tag tpm2.TPMST, code tpm2.TPMRC, body []byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(tag))
	out = binary.BigEndian.AppendUint32(out, uint32(deviceHeader+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(code))
	return append(out, body...)
}

// execute does what a command says. The caller holds the lock.
func (d *Device) execute(c *command) tpm2.TPMRC {
	for _, a := range c.auths {
		if a.handle != uint32(tpm2.TPMRSPW) && d.sessions[a.handle] == nil {
			return tpm2.TPMRCValue
		}
	}
	switch c.code {
	case tpm2.TPMCCStartup:
		return tpm2.TPMRCInitialize // it has been on all the time
	case tpm2.TPMCCGetCapability:
		return d.getCapability(c)
	case tpm2.TPMCCGetRandom:
		return getRandom(c)
	case tpm2.TPMCCCreatePrimary:
		return d.createPrimary(c)
	case tpm2.TPMCCReadPublic:
		return d.readPublic(c)
	case tpm2.TPMCCCreate:
		return d.create(c)
	case tpm2.TPMCCLoad:
		return d.load(c)
	case tpm2.TPMCCStartAuthSession:
		return d.startSession(c)
	case tpm2.TPMCCPolicySecret:
		return d.policySecret(c)
	case tpm2.TPMCCQuote:
		return d.quote(c)
	case tpm2.TPMCCPCRRead:
		return d.readPCRs(c)
	case tpm2.TPMCCFlushContext:
		return d.flush(c)
	}
	return tpm2.TPMRCCommandCode
}

// getCapability tells of banks and handles; other properties it has none of.
func (d *Device) getCapability(c *command) tpm2.TPMRC {
	capability, property, count := tpm2.TPMCap(c.u32()), c.u32(), c.u32()
	if c.spoilt() {
		return tpm2.TPMRCInsufficient
	}
	answer := tpm2.TPMSCapabilityData{Capability: capability}
	switch capability {
	case tpm2.TPMCapPCRs:
		banksThere := &tpm2.TPMLPCRSelection{}
		for _, b := range banks() {
			banksThere.PCRSelections = append(banksThere.PCRSelections, tpm2.TPMSPCRSelection{Hash: b.id, PCRSelect: []byte{0xff, 0xff, 0xff}})
		}
		answer.Data = tpm2.NewTPMUCapabilities(capability, banksThere)
	case tpm2.TPMCapHandles:
		var handles []uint32
		for handle := range d.objects {
			handles = append(handles, handle)
		}
		for handle := range d.sessions {
			handles = append(handles, handle)
		}
		handles = slices.DeleteFunc(handles, func(h uint32) bool { return h>>24 != property>>24 || h < property })
		slices.Sort(handles)
		list := &tpm2.TPMLHandle{}
		for _, handle := range handles[:min(len(handles), int(min(count, 256)))] {
			list.Handle = append(list.Handle, tpm2.TPMHandle(handle))
		}
		answer.Data = tpm2.NewTPMUCapabilities(capability, list)
	default:
		return tpm2.TPMRCValue
	}
	c.answer = append([]byte{0}, tpm2.Marshal(answer)...) // moreData: no
	return tpm2.TPMRCSuccess
}

func getRandom(c *command) tpm2.TPMRC {
	n := c.u16()
	if c.spoilt() {
		return tpm2.TPMRCInsufficient
	}
	octets := make([]byte, min(n, 64))
	if _, err := rand.Read(octets); err != nil {
		return tpm2.TPMRCFailure
	}
	c.answer = appendSized(nil, octets)
	return tpm2.TPMRCSuccess
}

// readPCRs gives the first eight of the registers asked for.
func (d *Device) readPCRs(c *command) tpm2.TPMRC {
	selected, ok := parameter[tpm2.TPMLPCRSelection](c)
	if !ok || c.spoilt() {
		return tpm2.TPMRCInsufficient
	}
	const most = 8
	var given tpm2.TPMLPCRSelection
	var values tpm2.TPMLDigest
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	for _, s := range selected.PCRSelections {
		var numbers []uint
		for _, n := range numbersOf(s) {
			if value, _, err := d.t.register(bankName(s.Hash), n); err == nil && len(values.Digests) < most {
				values.Digests = append(values.Digests, tpm2.TPM2BDigest{Buffer: *value})
				numbers = append(numbers, uint(n))
			}
		}
		given.PCRSelections = append(given.PCRSelections, tpm2.TPMSPCRSelection{Hash: s.Hash, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)})
	}
	c.answer = append([]byte{0, 0, 0, 1}, tpm2.Marshal(given)...) // pcrUpdateCounter
	c.answer = append(c.answer, tpm2.Marshal(values)...)
	return tpm2.TPMRCSuccess
}

// numbersOf are the registers of a selection that there can be.
func numbersOf(s tpm2.TPMSPCRSelection) []int {
	var numbers []int
	for n := range min(len(s.PCRSelect)*8, registers) {
		if s.PCRSelect[n/8]&(1<<(n%8)) != 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// bankName is the name of a bank, "" if there is none.
func bankName(id tpm2.TPMAlgID) string {
	for _, b := range banks() {
		if b.id == id {
			return b.name
		}
	}
	return ""
}

func (d *Device) flush(c *command) tpm2.TPMRC {
	handle := c.handles[0]
	switch {
	case d.sessions[handle] != nil:
		delete(d.sessions, handle)
	case d.objects[handle] != nil && handle>>24 == firstTransient>>24:
		delete(d.objects, handle)
	default:
		return tpm2.TPMRCHandle
	}
	return tpm2.TPMRCSuccess
}

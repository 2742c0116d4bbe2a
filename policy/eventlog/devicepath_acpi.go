package eventlog

import "encoding/binary"

// ACPI ids of devices that have a name of their own (UEFI 2.10, 10.3.3): a
// compressed EISA id, PNP or ACPI, with the product number on top.
const (
	hidPCIRoot     = 0x0a0341d0
	hidContainer05 = 0x0a0541d0
	hidContainer06 = 0x0a0641d0
	hidPCIeRoot    = 0x0a0841d0
	hidEC          = 0x0a0941d0
	hidFloppy      = 0x060441d0
	hidKeyboard    = 0x030141d0
	hidSerial      = 0x050141d0
	hidNVDIMM      = 0x00128e09
)

// acpi prints nodes of UEFI 2.10, 10.3.3; false if libefivar would fail.
func (w *nodeWriter) acpi(sub byte) bool {
	switch sub {
	case 0x01:
		return w.acpiHID()
	case 0x02:
		w.acpiHIDEx()
	case 0x03:
		w.WriteString("AcpiAdr(")
		for i := 0; i < (w.size-4)/4; i++ {
			if i > 0 {
				w.WriteByte(',')
			}
			w.printf("0x%x", w.u32(4+4*i))
		}
		w.WriteByte(')')
	default:
		w.printf("AcpiPath(%d,%x)", sub, w.tail(4)[:(w.size-4)/2])
	}
	return true
}

func (w *nodeWriter) acpiHID() bool {
	hid, uid := w.u32(4), w.u32(8)
	switch hid {
	case hidPCIRoot:
		w.printf("PciRoot(0x%x)", uid)
	case hidContainer05, hidContainer06:
		w.WriteString("AcpiContainer()")
	case hidPCIeRoot:
		w.printf("PcieRoot(0x%x)", uid)
	case hidEC:
		w.WriteString("EmbeddedController()")
	case hidFloppy:
		w.printf("Floppy(0x%x)", uid)
	case hidKeyboard:
		w.printf("Keyboard(0x%x)", uid)
	case hidSerial:
		w.printf("Serial(0x%x)", uid)
	case hidNVDIMM:
		return w.nvdimm()
	default:
		w.printf("Acpi(0x%08x,0x%x)", hid, uid)
	}
	return true
}

// nvdimm prints the root of NVDIMMs; the next node must be an AcpiAdr. As in
// libefivar, the handles printed go on to the path's end.
func (w *nodeWriter) nvdimm() bool {
	w.WriteString("NvRoot()")
	next := w.node[w.size:]
	if len(next) < 4 || next[0] != nodeACPI || next[1] != 0x03 {
		return false
	}
	for i := range (w.sizeToEnd(next) - 4) / 4 {
		if w.Len() > w.limit {
			return false
		}
		if i > 0 {
			w.WriteByte(',')
		}
		adr := binary.LittleEndian.Uint32(next[4+4*i:])
		w.printf("NvDimm(0x%03x,0x%01x,0x%01x,0x%01x,0x%01x)",
			adr>>16&0xfff, adr>>12&0xf, adr>>8&0xf, adr>>4&0xf, adr&0x0f00000f)
	}
	return true
}

// sizeToEnd returns the octets from a node up to and with the end node, 0
// without one.
func (w *nodeWriter) sizeToEnd(path []byte) int {
	if w.end == unknownEnd {
		w.end = afterEnd(path)
	}
	if w.end == noEnd {
		return 0
	}
	return len(path) - w.end
}

// afterEnd returns how many octets follow the end node, noEnd without one.
func afterEnd(path []byte) int {
	for {
		if len(path) < 4 {
			return noEnd
		}
		size := int(binary.LittleEndian.Uint16(path[2:]))
		if size < 4 || size > len(path) {
			return noEnd
		}
		kind, sub := path[0], path[1]
		if path = path[size:]; kind == nodeEnd && sub == endEntire {
			return len(path)
		}
	}
}

// acpiHIDEx prints the expanded form, which carries up to three texts.
func (w *nodeWriter) acpiHIDEx() {
	const texts = 16
	limit := w.size - texts
	if limit < 0 {
		limit = 0
	}
	at := texts
	next := func() string {
		s := cstring(w.node[min(at, len(w.node)):min(at+limit, len(w.node))])
		at += len(s) + 1
		limit -= len(s) + 1
		return s
	}
	hid := next()
	if limit == 0 {
		return
	}
	limit = max(limit, 0)
	uid, cid := next(), ""
	hasCID := limit != 0
	if limit > 0 {
		cid = next()
	}
	switch w.u32(4) {
	case hidPCIRoot:
		w.printf("PciRoot(%s)", uid)
	case hidContainer05, hidContainer06:
		w.printf("AcpiContainer(%s)", uid)
	case hidPCIeRoot:
		w.printf("PcieRoot(%s)", uid)
	case hidEC:
		w.WriteString("EmbeddedController()")
	default:
		w.printf("AcpiEx(%s,", hid)
		if hasCID {
			w.printf("%s,", cid)
		} else {
			w.printf("0x%x,", w.u32(12))
		}
		w.printf("%s)", uid)
	}
}

package eventlog

import "encoding/binary"

// media prints nodes of UEFI 2.10, 10.3.5.
func (w *nodeWriter) media(sub byte) {
	switch sub {
	case 0x01:
		w.printf("HD(%d,", int32(w.u32(4)))
		switch w.u8(41) {
		case 0x01:
			w.printf("MBR,0x%x,", binary.LittleEndian.Uint32(w.at(24, 4)))
		case 0x02:
			w.printf("GPT,%s,", w.guid(24))
		default:
			w.printf("%d,%x,", w.u8(41), w.at(24, 16))
		}
		w.printf("0x%x,0x%x)", w.u64(8), w.u64(16))
	case 0x02:
		w.printf("CDROM(%d,0x%x,0x%x)", int32(w.u32(4)), w.u64(8), w.u64(16))
	case 0x03:
		w.vendor("VenMedia")
	case 0x04:
		w.WriteString("File(")
		w.ucs2(4)
		w.WriteByte(')')
	case 0x05:
		w.printf("Media(%s)", w.guid(4))
	case 0x06:
		w.printf("FvFile(%s)", w.guid(4))
	case 0x07:
		w.printf("FvVol(%s)", w.guid(4))
	case 0x08:
		w.printf("Offset(0x%x,0x%x)", w.u64(8), w.u64(16))
	case 0x09:
		w.ramdisk()
	default:
		w.printf("MediaPath(%d,%x)", sub, w.tail(4)[:(w.size-4)/2])
	}
}

func (w *nodeWriter) ramdisk() {
	start, end, instance, label := w.u64(4), w.u64(12), w.u16(36), ""
	switch w.guid(20).String() {
	case "77ab535a-45fc-624b-5560-f7b281d1f96e":
		label = "VirtualDisk"
	case "3d5abd30-4175-87ce-6d64-d2ade523c4bb":
		label = "VirtualCD"
	case "5cea02c9-4d07-69d3-269f-4496fbe096f9":
		label = "PersistentVirtualDisk"
	case "08018188-42cd-bb48-100f-5387d53ded3d":
		label = "PersistentVirtualCD"
	default:
		w.printf("Ramdisk(0x%x,0x%x,%d,%s)", start, end, instance, w.guid(20))
		return
	}
	w.printf("%s(0x%x,0x%x,%d)", label, start, end, instance)
}

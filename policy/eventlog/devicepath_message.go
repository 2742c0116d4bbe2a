package eventlog

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// message prints nodes of UEFI 2.10, 10.3.4.
func (w *nodeWriter) message(sub byte) {
	switch sub {
	case 0x01:
		w.printf("Ata(%d,%d,%d)", w.u8(4), w.u8(5), w.u16(6))
	case 0x02:
		w.printf("SCSI(%d,%d)", w.u16(4), w.u16(6))
	case 0x03:
		w.printf("Fibre(%x,%x)", w.u64(8), w.u64(16))
	case 0x04:
		w.printf("I1394(0x%x)", w.u64(8))
	case 0x05:
		w.printf("USB(%d,%d)", w.u8(4), w.u8(5))
	case 0x06:
		w.printf("I2O(%d)", int32(w.u32(4)))
	case 0x09:
		w.infiniband()
	case 0x0a:
		w.vendorMessage()
	case 0x0b:
		length := 32
		if w.u8(36) < 2 {
			length = 6 // Ethernet
		}
		w.printf("MAC(%x,%d)", w.at(4, length), w.u8(36))
	case 0x0c:
		w.printf("IPv4(%s%s,%x,%x)", ipv4(w.at(4, 4), w.u16(12)), ipv4(w.at(8, 4), w.u16(14)), w.u16(16), w.u8(18))
	case 0x0d:
		w.ipv6()
	case 0x0e:
		w.uart()
	case 0x0f:
		w.usbClass()
	case 0x10:
		w.printf("UsbWwid(%x,%x,%d,", w.u16(6), w.u16(8), w.u16(4))
		w.ucs2(10)
		w.WriteByte(')')
	case 0x11:
		w.printf("Unit(%d)", w.u8(4))
	case 0x12:
		w.printf("Sata(%d,%d,%d)", w.u16(4), w.u16(6), w.u16(8))
	case 0x13:
		w.iscsi()
	case 0x14:
		w.printf("Vlan(%d)", w.u16(4))
	case 0x15:
		w.printf("Fibre(%x,%x)", w.be64(8), w.be64(16))
	case 0x16:
		// SAS, expanded form: libefivar prints it over itself.
		w.stray = true
	case 0x17:
		e := w.at(8, 8)
		w.printf("NVMe(0x%x,%02X-%02X-%02X-%02X-%02X-%02X-%02X-%02X)", w.u32(4), e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7])
	case 0x18:
		w.printf("Uri(%s)", cstring(w.tail(4)))
	case 0x19:
		w.printf("UFS(%d,0x%02x)", w.u8(4), w.u8(5))
	case 0x1a:
		w.printf("SD(%d)", w.u8(4))
	case 0x1b:
		w.printf("Bluetooth(%s)", colons(w.at(4, 6)))
	case 0x1c:
		w.printf("Wi-Fi(%s)", colons(w.at(4, 32)))
	case 0x1d:
		w.printf("eMMC(%d)", w.u8(4))
	case 0x1e:
		w.printf("BluetoothLE(%s,%d)", colons(w.at(4, 6)), w.u8(10))
	case 0x1f:
		w.dns()
	case 0x20:
		w.printf("NVDIMM(%s)", w.guid(4))
	default:
		w.printf("Msg(%d,%x)", sub, w.tail(4))
	}
}

func colons(b []byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ":")
}

func ipv4(b []byte, port uint16) string {
	s := fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
	if port > 0 {
		s += fmt.Sprintf(":%d", port)
	}
	return s
}

// ipv6Address prints an address in brackets; the groups are read in the
// processor's order and the longest run of zeros is found as libefivar does.
func ipv6Address(b []byte) string {
	var groups [8]uint16
	for i := range groups {
		groups[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	longest, at, run, begin, inside := 0, -1, 0, -1, false
	for i, g := range groups {
		switch {
		case g == 0:
			if !inside {
				inside, begin = true, i
			}
			run++
		case inside && run > longest:
			longest, at, run, begin, inside = run, begin, 0, -1, false
		}
	}
	if run > longest {
		longest, at = run, begin
	}
	if longest == 1 {
		at = -1
	}
	var s strings.Builder
	s.WriteByte('[')
	for i := 0; i < 8; i++ {
		if i == at {
			s.WriteString("::")
			i += longest - 1
			continue
		}
		if i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%x", groups[i])
	}
	s.WriteByte(']')
	return s.String()
}

// ipv6 prints both addresses cut by one character, as libefivar does for want
// of room: both to the length of the second.
func (w *nodeWriter) ipv6() {
	local := ipv6Address(w.at(4, 16)) + fmt.Sprintf(":%d", w.u16(36))
	remote := ipv6Address(w.at(20, 16)) + fmt.Sprintf(":%d", w.u16(38))
	room := len(remote) - 1
	w.printf("IPv6(%s<->%s,%x,%x)", local[:min(len(local), room)], remote[:room], w.u16(40), w.u8(42))
}

func (w *nodeWriter) dns() {
	w.WriteString("Dns(")
	for i := range max(0, (w.size-5)/16) {
		if i > 0 {
			w.WriteByte(',')
		}
		if address := w.at(5+16*i, 16); w.u8(4) != 0 {
			w.WriteString(ipv6Address(address))
		} else {
			w.WriteString(ipv4(address, 0))
		}
	}
	w.WriteByte(')')
}

func (w *nodeWriter) infiniband() {
	flags := w.u32(4)
	w.printf("Infiniband(%08x,%x%x,", flags, w.u64(16), w.u64(8))
	if flags&1 != 0 {
		w.printf("%x", w.u64(24))
	} else {
		w.printf("%s", w.guid(24))
	}
	w.printf(",%d,%d)", w.u64(32), w.u64(40))
}

// vendorMessage prints vendor-defined messages, some of which the
// specification names.
func (w *nodeWriter) vendorMessage() {
	label := ""
	switch w.guid(4).String() {
	case "e0c14753-f9be-11d2-9a0c-0090273fc14d":
		label = "VenPcAnsi"
	case "dfa66065-b419-11d3-9a2d-0090273fc14d":
		label = "VenVt100"
	case "7baec70b-57e0-4c76-8e87-2f9e28088343":
		label = "VenVt100Plus"
	case "ad15a0d6-8bec-4acf-a073-d01de77e2d88":
		label = "VenUtf8"
	case "eba4e8d2-3858-41ec-a281-2647ba9660d0":
		label = "DebugPort"
	case "37499a9d-542f-4c89-a026-35da142094e4":
		switch v := w.u32(20); v {
		case 0:
			w.WriteString("UartFlowControl(None)")
		case 1:
			w.WriteString("UartFlowControl(Hardware)")
		case 2:
			w.WriteString("UartFlowControl(XonXoff)")
		default:
			w.printf("UartFlowControl(%d)", int32(v))
		}
		return
	case "d487ddb4-008b-11d9-afdc-001083ffca4d":
		w.sas()
		return
	default:
		w.vendor("VenMsg")
		return
	}
	w.printf("%s(%x)", label, w.tail(20))
}

func (w *nodeWriter) sas() {
	info := w.u8(40)
	if info&0x02 == 0 {
		w.printf("SAS(%x,%x,%x,NoTopology)", w.u64(24), w.u64(32), w.u16(42))
		return
	}
	kind, place, connect := "SAS", "Internal", "Direct"
	if info&0x20 != 0 {
		kind, place = "SATA", "External"
	}
	if info&0x40 != 0 {
		connect = "Expanded"
	}
	w.printf("SAS(%x,%x,%x,%s,%s,%s,%d)", w.u64(24), w.u64(32), w.u16(42), kind, place, connect, int(w.u8(41))+1)
}

func (w *nodeWriter) uart() {
	baud, bits, parity, stop := w.u64(8), w.u8(16), w.u8(17), w.u8(18)
	if baud == 0 {
		baud = 115200
	}
	if bits == 0 {
		bits = 8
	}
	w.printf("Uart(%d,%d,", baud, bits)
	if parity > 5 {
		w.printf("%d,", parity)
	} else {
		w.printf("%c,", "DNEOMS"[parity])
	}
	switch stop {
	case 0:
		w.WriteString("D)")
	case 2:
		w.WriteString("1.5)")
	case 3:
		w.WriteString("2)")
	default:
		w.printf("%d)", stop)
	}
}

func (w *nodeWriter) usbClass() {
	vendor, product, class, sub, protocol := w.u16(4), w.u16(6), w.u8(8), w.u8(9), w.u8(10)
	label := ""
	switch class {
	case 0x01:
		label = "UsbAudio"
	case 0x02:
		label = "UsbCDCControl"
	case 0x03:
		label = "UsbHID"
	case 0x06:
		label = "UsbImage"
	case 0x07:
		label = "UsbPrinter"
	case 0x08:
		label = "UsbMassStorage"
	case 0x09:
		label = "UsbHub"
	case 0x0a:
		label = "UsbCDCData"
	case 0x0b:
		label = "UsbSmartCard"
	case 0x0e:
		label = "UsbVideo"
	case 0xdc:
		label = "UsbDiagnostic"
	case 0xde:
		label = "UsbWireless"
	case 0xfe:
		switch sub {
		case 0x01:
			w.printf("UsbDeviceFirmwareUpdate(0x%x,0x%x,%d)", vendor, product, protocol)
		case 0x02:
			w.printf("UsbIrdaBridge(0x%x,0x%x,%d)", vendor, product, protocol)
		case 0x03:
			w.printf("UsbTestAndMeasurement(0x%x,0x%x,%d)", vendor, product, protocol)
		}
		return
	default:
		w.printf("UsbClass(%x,%x,%d,%d)", vendor, product, sub, protocol)
		return
	}
	w.printf("%s(0x%x,0x%x,%d,%d)", label, vendor, product, sub, protocol)
}

func (w *nodeWriter) iscsi() {
	options, target := w.u16(6), w.tail(18)
	target = target[:min(len(target), 223)]
	choose := func(set bool, yes, no string) string {
		if set {
			return yes
		}
		return no
	}
	auth := "None"
	if options>>10&2 == 0 {
		auth = choose(options>>12&1 != 0, "CHAP_UNI", "CHAP_BI")
	}
	w.printf("iSCSI(%s,%d,0x%x,%s,%s,%s,%s)", cstring(target), w.u16(16), w.be64(8),
		choose(options&2 != 0, "CRC32", "None"), choose(options>>2&2 != 0, "CRC32", "None"),
		auth, choose(w.u16(4) == 0, "TCP", "Unknown"))
}

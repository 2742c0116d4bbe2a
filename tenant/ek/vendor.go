package ek

import (
	"encoding/hex"
	"strings"
)

// VendorName is the name of a maker of TPMs by the id of its EK certificates
// ("id:53544D20"), which is the TPM property TPM_PT_MANUFACTURER in hex. "" if
// the id is not known.
//
// Source: TCG TPM Vendor ID Registry, Family 1.2 and 2.0, version 1.08, table
// 2; besides these the simulators, whose ids the registry does not give out.
func VendorName(id string) string {
	octets, ok := vendorID(id)
	if !ok {
		return ""
	}
	switch octets {
	case "AMD\x00":
		return "AMD"
	case "ANT\x00":
		return "Ant Group"
	case "ARM\x00":
		return "Arm"
	case "ATML":
		return "Atmel"
	case "BRCM":
		return "Broadcom"
	case "CSCO":
		return "Cisco"
	case "FLYS":
		return "Flyslice Technologies"
	case "GOOG":
		return "Google"
	case "HISI":
		return "Huawei"
	case "HPE\x00":
		return "HPE"
	case "HPI\x00":
		return "HP Inc."
	case "IBM\x00":
		return "IBM"
	case "IBM ":
		return "IBM, software TPM (a simulator)"
	case "\x00\x00\x10\x14":
		return "IBM, swtpm (a software TPM)"
	case "IFX\x00":
		return "Infineon"
	case "INTC":
		return "Intel"
	case "KLME":
		return "the lab of keylime_tenant (a software TPM)"
	case "LEN\x00":
		return "Lenovo"
	case "MSFT":
		return "Microsoft"
	case "NSG\x00":
		return "NSING"
	case "NSM ":
		return "National Semiconductor"
	case "NTC\x00":
		return "Nuvoton"
	case "NTZ\x00":
		return "Nationz"
	case "QCOM":
		return "Qualcomm"
	case "ROCC":
		return "Fuzhou Rockchip"
	case "SEAL":
		return "WISeKey"
	case "SECE":
		return "SecEdge"
	case "SMSC":
		return "SMSC"
	case "SMSN":
		return "Samsung"
	case "SNS\x00":
		return "Sinosun"
	case "STM ":
		return "STMicroelectronics"
	case "TXN\x00":
		return "Texas Instruments"
	case "WEC\x00":
		return "Winbond"
	}
	return ""
}

// vendorID are the four octets of an id.
func vendorID(id string) (string, bool) {
	digits, prefixed := strings.CutPrefix(strings.TrimSpace(id), "id:")
	octets, err := hex.DecodeString(digits)
	return string(octets), prefixed && err == nil && len(octets) == 4
}

// Vendor is the maker of the TPM of an EK certificate for people: its name, or
// else the letters that its id stands for; "" if the certificate does not say.
func (c *Certificate) Vendor() string {
	if name := VendorName(c.Manufacturer); name != "" {
		return name
	}
	octets, ok := vendorID(c.Manufacturer)
	letters := strings.TrimRight(octets, "\x00 ")
	if !ok || letters == "" || printable(letters) != letters {
		return ""
	}
	return "not registered (" + letters + ")"
}

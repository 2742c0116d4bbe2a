package eventlog

import "fmt"

// Type is an event type (PFP 1.06, 10.4.1).
type Type uint32

// The event types of the specification. Types 0x8000 to 0xFFFF of the
// conventional range and everything not listed belong to vendors.
const (
	PrebootCert             Type = 0x00
	PostCode                Type = 0x01
	Unused                  Type = 0x02
	NoAction                Type = 0x03
	Separator               Type = 0x04
	Action                  Type = 0x05
	EventTag                Type = 0x06
	SCRTMContents           Type = 0x07
	SCRTMVersion            Type = 0x08
	CPUMicrocode            Type = 0x09
	PlatformConfigFlags     Type = 0x0a
	TableOfDevices          Type = 0x0b
	CompactHash             Type = 0x0c
	IPL                     Type = 0x0d
	IPLPartitionData        Type = 0x0e
	NonhostCode             Type = 0x0f
	NonhostConfig           Type = 0x10
	NonhostInfo             Type = 0x11
	OmitBootDeviceEvents    Type = 0x12
	PostCode2               Type = 0x13
	VariableDriverConfig    Type = 0x80000001
	VariableBoot            Type = 0x80000002
	BootServicesApplication Type = 0x80000003
	BootServicesDriver      Type = 0x80000004
	RuntimeServicesDriver   Type = 0x80000005
	GPTEvent                Type = 0x80000006
	EFIAction               Type = 0x80000007
	PlatformFirmwareBlob    Type = 0x80000008
	HandoffTables           Type = 0x80000009
	PlatformFirmwareBlob2   Type = 0x8000000a
	HandoffTables2          Type = 0x8000000b
	VariableBoot2           Type = 0x8000000c
	GPTEvent2               Type = 0x8000000d
	HCRTM                   Type = 0x80000010
	VariableAuthority       Type = 0x800000e0
	SPDMFirmwareBlob        Type = 0x800000e1
	SPDMFirmwareConfig      Type = 0x800000e2
	SPDMDevicePolicy        Type = 0x800000e3
	SPDMDeviceAuthority     Type = 0x800000e4
)

// name returns the specification's name, "" for an unknown type.
func (t Type) name() string {
	switch t {
	case PrebootCert:
		return "EV_PREBOOT_CERT"
	case PostCode:
		return "EV_POST_CODE"
	case Unused:
		return "EV_UNUSED"
	case NoAction:
		return "EV_NO_ACTION"
	case Separator:
		return "EV_SEPARATOR"
	case Action:
		return "EV_ACTION"
	case EventTag:
		return "EV_EVENT_TAG"
	case SCRTMContents:
		return "EV_S_CRTM_CONTENTS"
	case SCRTMVersion:
		return "EV_S_CRTM_VERSION"
	case CPUMicrocode:
		return "EV_CPU_MICROCODE"
	case PlatformConfigFlags:
		return "EV_PLATFORM_CONFIG_FLAGS"
	case TableOfDevices:
		return "EV_TABLE_OF_DEVICES"
	case CompactHash:
		return "EV_COMPACT_HASH"
	case IPL:
		return "EV_IPL"
	case IPLPartitionData:
		return "EV_IPL_PARTITION_DATA"
	case NonhostCode:
		return "EV_NONHOST_CODE"
	case NonhostConfig:
		return "EV_NONHOST_CONFIG"
	case NonhostInfo:
		return "EV_NONHOST_INFO"
	case OmitBootDeviceEvents:
		return "EV_OMIT_BOOT_DEVICE_EVENTS"
	case PostCode2:
		return "EV_POST_CODE2"
	case VariableDriverConfig:
		return "EV_EFI_VARIABLE_DRIVER_CONFIG"
	case VariableBoot:
		return "EV_EFI_VARIABLE_BOOT"
	case BootServicesApplication:
		return "EV_EFI_BOOT_SERVICES_APPLICATION"
	case BootServicesDriver:
		return "EV_EFI_BOOT_SERVICES_DRIVER"
	case RuntimeServicesDriver:
		return "EV_EFI_RUNTIME_SERVICES_DRIVER"
	case GPTEvent:
		return "EV_EFI_GPT_EVENT"
	case EFIAction:
		return "EV_EFI_ACTION"
	case PlatformFirmwareBlob:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB"
	case HandoffTables:
		return "EV_EFI_HANDOFF_TABLES"
	case PlatformFirmwareBlob2:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB2"
	case HandoffTables2:
		return "EV_EFI_HANDOFF_TABLES2"
	case VariableBoot2:
		return "EV_EFI_VARIABLE_BOOT2"
	case GPTEvent2:
		return "EV_EFI_GPT_EVENT2"
	case HCRTM:
		return "EV_EFI_HCRTM_EVENT"
	case VariableAuthority:
		return "EV_EFI_VARIABLE_AUTHORITY"
	case SPDMFirmwareBlob:
		return "EV_EFI_SPDM_FIRMWARE_BLOB"
	case SPDMFirmwareConfig:
		return "EV_EFI_SPDM_FIRMWARE_CONFIG"
	case SPDMDevicePolicy:
		return "EV_EFI_SPDM_DEVICE_POLICY"
	case SPDMDeviceAuthority:
		return "EV_EFI_SPDM_DEVICE_AUTHORITY"
	}
	return ""
}

// String returns the specification's name ("EV_IPL"), or for an unknown type
// "event type 0x8401".
func (t Type) String() string {
	if name := t.name(); name != "" {
		return name
	}
	return fmt.Sprintf("event type 0x%x", uint32(t))
}

// Known tells whether the type is one of the specification.
func (t Type) Known() bool { return t.name() != "" }

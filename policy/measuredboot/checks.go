package measuredboot

// The checks of [Policy.Evaluate] and [ComparePCRs], names of
// policy.Finding.Check. The condition is that of PROTOCOL.md 10.7.
const (
	// CheckLog: the verifier cannot read the log, or this event of it.
	CheckLog = "measured-boot.log"
	// CheckPolicy: the policy is incomplete, so the verifier's evaluation fails.
	CheckPolicy = "measured-boot.policy"
	// CheckUnexpected: no event of this type is expected in this PCR.
	CheckUnexpected = "measured-boot.unexpected-event"
	// CheckRepeated: an event that may come once (or four times) comes again.
	CheckRepeated = "measured-boot.repeated-event"
	// CheckSeparator: the event between firmware and boot loader has another
	// content or digest.
	CheckSeparator = "measured-boot.separator"
	// CheckAction: an action of the firmware that is not expected, or whose
	// digest is not that of its text.
	CheckAction = "measured-boot.action"
	// CheckBootVariable: a variable among the boot options that is none.
	CheckBootVariable = "measured-boot.boot-variable"
	// CheckVariable: an EFI variable that is not expected, or empty.
	CheckVariable = "measured-boot.variable"
	// CheckSecureBoot: Secure Boot is off instead of on, or the reverse.
	CheckSecureBoot = "measured-boot.secure-boot"
	// CheckPK, CheckKEK, CheckDB and CheckVendorDB: a key that is not allowed,
	// or a list of another form.
	CheckPK       = "measured-boot.pk"
	CheckKEK      = "measured-boot.kek"
	CheckDB       = "measured-boot.db"
	CheckVendorDB = "measured-boot.vendor-db"
	// CheckDBX: a revocation that must be in dbx is not, or dbx is not one
	// list of SHA-256 digests.
	CheckDBX = "measured-boot.dbx"
	// CheckMokTrust: MokListTrusted is neither Yes nor No.
	CheckMokTrust = "measured-boot.mok-list-trusted"
	// CheckMokList and CheckMokListX: another list of machine owner keys.
	CheckMokList  = "measured-boot.mok-list"
	CheckMokListX = "measured-boot.mok-list-x"
	// CheckMok: something else in PCR 14.
	CheckMok = "measured-boot.mok"
	// CheckCommand: a text in PCR 8 that is neither a command of GRUB nor the
	// kernel's command line.
	CheckCommand = "measured-boot.command"
	// CheckFile: a file in PCR 9 that is none of GRUB, kernel and initrd.
	CheckFile = "measured-boot.file"
	// CheckApplications: another number of boot applications.
	CheckApplications = "measured-boot.applications"
	// CheckShim, CheckGrub, CheckKernel: another digest in PCR 4.
	CheckShim   = "measured-boot.shim"
	CheckGrub   = "measured-boot.grub"
	CheckKernel = "measured-boot.kernel"
	// CheckInitrd and CheckVmlinuz: another digest in PCR 9, or not one file.
	CheckInitrd  = "measured-boot.initrd"
	CheckVmlinuz = "measured-boot.vmlinuz"
	// CheckCommandLine: another kernel command line, or not one.
	CheckCommandLine = "measured-boot.kernel-cmdline"
	// CheckKernels and CheckFirmwares: the policy allows none at all.
	CheckKernels   = "measured-boot.kernels"
	CheckFirmwares = "measured-boot.firmwares"
	// CheckSCRTM and CheckFirmware: another firmware version or volume.
	CheckSCRTM    = "measured-boot.scrtm"
	CheckFirmware = "measured-boot.firmware"
	// CheckPCR: the log does not give the quoted value of a PCR.
	CheckPCR = "measured-boot.pcr"
	// CheckBank: the log has no digests of the quote's bank.
	CheckBank = "measured-boot.bank"
	// CheckMissingPCRs: the quote lacks PCRs that the policy needs.
	CheckMissingPCRs = "measured-boot.missing-pcrs"
)

// Keylime's ids of the same failures (PROTOCOL.md 13).
const (
	idPolicy      = "measured_boot.policy_example"
	idParser      = "measured_boot.parser.tpm2_eventlog.error"
	idNoBank      = "measured_boot.parser.invalid_pcrs_hashes"
	idPCR         = "measured_boot.invalid_pcr_"
	idMissingPCRs = "measured_boot.missing_pcrs"
)

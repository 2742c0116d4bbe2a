package cli

import (
	"errors"
	"io/fs"

	"github.com/keylime/keylime-tenant/tenant"
)

// machineLists reads the lists of this machine, again whenever it is asked.
type machineLists struct {
	*app
	// kept is what standard input had, which can be read once.
	kept []byte
}

// machineLogs reads the lists that options name, or those of the kernel, which
// need not be there.
func (a *app) machineLogs(f *oneshotFlags) func(files, boot bool) (*tenant.MachineEvidence, error) {
	l := &machineLists{app: a}
	return func(files, boot bool) (_ *tenant.MachineEvidence, err error) {
		m := &tenant.MachineEvidence{Origin: "this machine"}
		if files {
			if m.IMAList, m.IMAListFile, err = l.list("--ima-log", f.imaLog, kernelIMAList, contentIMAList); err != nil {
				return nil, err
			}
		}
		if boot {
			if m.BootLog, m.BootLogFile, err = l.list("--boot-log", f.bootLog, kernelBootLog, contentBootLog); err != nil {
				return nil, err
			}
			if len(m.BootLog) == 0 {
				m.BootLog = nil // an empty file is no log
			}
		}
		return m, nil
	}
}

// list reads one list: that at path, or the kernel's if path is empty. One of
// the kernel's that is not there is nil; one without content is not.
func (l *machineLists) list(option, path, kernel string, wanted content) (data []byte, from string, err error) {
	if from = path; path == "" {
		from = kernel
	}
	if path == "-" && l.kept != nil {
		return l.kept, from, nil
	}
	d, err := l.openDocument(from)
	switch {
	case err != nil && path == "" && errors.Is(err, fs.ErrNotExist):
		return nil, from, nil
	case err != nil && errors.Is(err, fs.ErrPermission):
		return nil, from, &advisedError{Err: err, Advice: "root alone may read it: run this as root, or name a copy with " + option}
	case err != nil:
		return nil, from, err
	case d.content != wanted && d.content != contentEmpty:
		d.close()
		return nil, from, d.unfit(wanted.String())
	}
	if data, err = d.bytes(); err != nil {
		return nil, from, err
	}
	if data == nil {
		data = []byte{}
	}
	if path == "-" {
		l.kept = data
	}
	return data, from, nil
}

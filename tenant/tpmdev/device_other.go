//go:build !linux

package tpmdev

import "errors"

func openDevice(string) (link, error) {
	return nil, errors.New("the devices of TPMs are read on Linux only; an emulator is swtpm:host=HOST,port=PORT")
}

//go:build !unix

package tpmdev

import (
	"context"
	"errors"
)

func openAbrmd(context.Context, Address, Buses) (link, error) {
	return nil, errors.New("tpm2-abrmd is a program of Unix")
}

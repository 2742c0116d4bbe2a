package quote

import "errors"

// Selection names registers of one bank.
type Selection struct {
	// Bank is sha1, sha256, sha384 or sha512.
	Bank string
	// PCRs are register numbers, 0 to 23, in ascending order.
	PCRs []int
}

// PCRBlob is the third part of a quote: which registers were quoted, and
// their values.
type PCRBlob struct {
	Selections []Selection
	// Values are the registers' values, in the order of Selections.
	Values [][]byte
}

// ParsePCRBlob reads a PCR blob.
func ParsePCRBlob(data []byte) (PCRBlob, error) { return PCRBlob{}, errors.New("not written yet") }

// EncodePCRBlob writes a PCR blob.
func EncodePCRBlob(blob PCRBlob) ([]byte, error) { return nil, errors.New("not written yet") }

package jobs

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// MaxBlob is the size of the largest blob, in bytes.
const MaxBlob = 1 << 30

// ErrBlobTooLarge is the error of an upload of more than MaxBlob bytes.
var ErrBlobTooLarge = errors.New("a blob has at most 1 GiB")

// A BlobHash is the SHA-256 of a blob's bytes, which names it.
type BlobHash [32]byte

// ParseBlobHash parses 64 lower-case hexadecimal digits.
func ParseBlobHash(text string) (h BlobHash, ok bool) {
	if len(text) != 2*len(h) {
		return h, false
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil || h.String() != text {
		return h, false
	}
	return h, true
}

// String returns the 64 digits.
func (h BlobHash) String() string { return hex.EncodeToString(h[:]) }

// A BlobMismatch is the error of an upload whose bytes have another hash than its
// name.
type BlobMismatch struct{ Named, Got BlobHash }

func (e *BlobMismatch) Error() string {
	return fmt.Sprintf("the bytes have the SHA-256 %s, not %s as the address says", e.Got, e.Named)
}

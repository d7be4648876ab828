package connect

import (
	"unsafe"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

//go:wasmimport uniflow output
func output(name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32) int32

// outputRaw hands over a value that the kit would refuse itself.
func outputRaw(name string, value []byte) error {
	return abi.Errno(-output(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)))).Err()
}

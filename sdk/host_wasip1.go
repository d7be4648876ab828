package uniflow

import (
	"fmt"
	"unsafe"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

//go:wasmimport uniflow input_size
func importInputSize() int32

//go:wasmimport uniflow input_read
func importInputRead(dst unsafe.Pointer, off, size uint32) int32

//go:wasmimport uniflow output
func importOutput(name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32) int32

//go:wasmimport uniflow log
func importLog(level int32, msg unsafe.Pointer, size uint32)

//go:wasmimport uniflow fail
func importFail(kind int32, msg unsafe.Pointer, size uint32) int32

//go:wasmimport uniflow progress
func importProgress(permille int32, msg unsafe.Pointer, size uint32) int32

//go:wasmimport uniflow call
func importCall(op unsafe.Pointer, opLen uint32, req unsafe.Pointer, reqLen uint32) int32

//go:wasmimport uniflow call_read
func importCallRead(dst unsafe.Pointer, off, size uint32) int32

//go:wasmimport uniflow call_write
func importCallWrite(src unsafe.Pointer, size uint32) int32

// sandbox is the Host of a guest: the functions of the import module.
type sandbox struct{}

func connect() sandbox { return sandbox{} }

// input reads the run context of a reactor.
func input() ([]byte, error) {
	size := importInputSize()
	if err := check(size); err != nil {
		return nil, fmt.Errorf("size of the run context: %w", err)
	}
	return read(importInputRead, int(size))
}

// read copies size bytes from the host, by as many slices as it takes.
func read(from func(dst unsafe.Pointer, off, size uint32) int32, size int) ([]byte, error) {
	buf := make([]byte, size)
	for done := 0; done < size; {
		part := buf[done:]
		n := from(unsafe.Pointer(unsafe.SliceData(part)), uint32(done), uint32(len(part)))
		if err := check(n); err != nil {
			return nil, err
		}
		if n == 0 {
			return buf[:done], nil
		}
		done += int(n)
	}
	return buf, nil
}

func check(result int32) error {
	if result >= 0 {
		return nil
	}
	return abi.Errno(-result)
}

func (sandbox) Output(name string, value []byte) error {
	return check(importOutput(start(name), uint32(len(name)), address(value), uint32(len(value))))
}

func (sandbox) Log(level abi.Level, message string) {
	importLog(int32(level), start(message), uint32(len(message)))
}

func (sandbox) Fail(kind abi.Kind, message []byte) {
	importFail(int32(kind), address(message), uint32(len(message)))
}

func (sandbox) Progress(permille int, message string) bool {
	return importProgress(int32(permille), start(message), uint32(len(message))) == 1
}

func (sandbox) Call(op string, request, body []byte) ([]byte, error) {
	if len(body) > 0 {
		if err := check(importCallWrite(address(body), uint32(len(body)))); err != nil {
			return nil, err
		}
	}
	size := importCall(start(op), uint32(len(op)), address(request), uint32(len(request)))
	if err := check(size); err != nil {
		return nil, explain(op, abi.Errno(-size))
	}
	return read(importCallRead, int(size))
}

// explain asks the host what it says about a failed call.
func explain(op string, errno abi.Errno) error {
	doc, err := read(importCallRead, 3*abi.MaxMessage) // code, message and hint
	if err != nil {
		doc = nil
	}
	return abi.ErrorText(op, errno, doc)
}

// finish returns the exit code; the host has heard everything else.
func (sandbox) finish(kind abi.Kind) uint32 { return kind.ExitCode() }

func start(s string) unsafe.Pointer   { return unsafe.Pointer(unsafe.StringData(s)) }
func address(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

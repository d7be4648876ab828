package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// openFlags open a file for reading. Without O_NONBLOCK, opening a pipe waits for a writer that may never come.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// read returns the bytes of a regular file of at most limit bytes; path is what problems call it.
func read(path string, limit int64, open func() (*os.File, error)) ([]byte, *flow.Problem) {
	refuse := func(code flow.Code, help, format string, args ...any) ([]byte, *flow.Problem) {
		return nil, &flow.Problem{
			Code: code, Severity: flow.SeverityError, File: path, Message: fmt.Sprintf(format, args...), Help: help,
		}
	}
	file, err := open()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(flow.CodeFileUnreadable, "check the path, or make a new project: uniflow init", "the manifest does not exist")
	case err != nil:
		return refuse(flow.CodeFileUnreadable, "check the path and the file's permissions", "the manifest cannot be opened: %v", cause(err))
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	info, err := file.Stat()
	switch {
	case err != nil:
		return refuse(flow.CodeFileUnreadable, "check the path and the file's permissions", "the manifest cannot be read: %v", cause(err))
	case info.IsDir():
		return refuse(flow.CodeFileKind, "name the file in it: "+path+"/uniflow.toml", "the manifest is a folder, expected a file")
	case !info.Mode().IsRegular():
		return refuse(flow.CodeFileKind, "name a regular file", "the manifest is not a regular file")
	}
	// One byte more than allowed tells a file that is too large, even if it grows while it is read.
	src, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return refuse(flow.CodeFileUnreadable, "check the path and the file's permissions", "the manifest cannot be read: %v", cause(err))
	case int64(len(src)) > limit:
		return refuse(flow.CodeFileSize, tooLargeHelp, "the manifest has more than %s", flow.Size(limit))
	}
	return src, nil
}

const tooLargeHelp = "keep data in files and mount them into the plugin"

// cause strips operation and path from a file system's error: the problem names the file already.
func cause(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	return err
}

// trimByteOrderMark drops the mark that some editors write; columns are counted without it.
func trimByteOrderMark(src []byte) []byte {
	return bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
}

// checkText refuses what must not reach a parser; it takes linear time and constant memory.
func checkText(src []byte) *finding {
	at := func(offset int, code flow.Code, message, help string) *finding {
		return &finding{Problem: flow.Problem{Code: code, Message: message, Help: help}, span: span{offset, offset + 1}}
	}
	if len(src) > MaxSize {
		p := at(0, flow.CodeFileSize, fmt.Sprintf("the manifest has more than %s", flow.Size(MaxSize)), tooLargeHelp)
		p.span = span{-1, -1}
		return p
	}
	if bytes.HasPrefix(src, []byte("\xff\xfe")) || bytes.HasPrefix(src, []byte("\xfe\xff")) {
		return at(0, flow.CodeFileEncoding, "the manifest is UTF-16, expected UTF-8", "save it as UTF-8")
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return at(i, flow.CodeFileNUL, "the manifest holds a NUL byte", "remove it; text in UTF-16 is full of them: save it as UTF-8")
	}
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 {
			return at(i, flow.CodeFileEncoding, fmt.Sprintf("the manifest is not UTF-8: byte 0x%02x", src[i]), "save it as UTF-8")
		}
		i += size
	}
	return checkShape(src)
}

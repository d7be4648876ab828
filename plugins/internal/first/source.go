package first

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk"
)

// Source names bytes that a step reads: an artifact, or a file of a mount by its absolute path.
type Source struct {
	ref  uniflow.ArtifactRef
	path string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Source) UnmarshalJSON(doc []byte) error {
	if len(doc) > 0 && doc[0] == '"' {
		if err := json.Unmarshal(doc, &s.path); err != nil {
			return err
		}
		if !path.IsAbs(s.path) || path.Clean(s.path) != s.path {
			return errors.New("a source is an artifact, or the absolute path of a mounted file")
		}
		return nil
	}
	if json.Unmarshal(doc, &s.ref) != nil || !strings.HasPrefix(s.ref.Artifact, "sha256:") {
		return errors.New("a source is an artifact, or the absolute path of a mounted file")
	}
	return nil
}

// Given reports whether the source names anything.
func (s *Source) Given() bool { return s.path != "" || s.ref.Artifact != "" }

// Ref returns the artifact that the source is; false for a file.
func (s *Source) Ref() (uniflow.ArtifactRef, bool) { return s.ref, s.ref.Artifact != "" }

// Open reads the source from its start. input is the name under which it stands in the inputs of the step: the sandbox
// shows the artifact there as a file, which is read without going back to its start for each slice.
func (s *Source) Open(c *uniflow.Context, input string) (io.ReadCloser, error) {
	if s.path != "" {
		file, err := os.Open(s.path)
		if err != nil {
			return nil, Wrong("%w (the plugin needs a mount that holds it)", err)
		}
		return file, nil
	}
	if file := shown(input); file != nil {
		return file, nil
	}
	return io.NopCloser(c.OpenArtifact(s.ref)), nil
}

// shown opens the file that shows an artifact, nil where none does.
func shown(input string) io.ReadCloser {
	if runtime.GOOS != "wasip1" {
		return nil
	}
	file, err := os.Open("/in/" + input)
	if err != nil {
		return nil
	}
	r := bufio.NewReaderSize(file, 64<<10)
	if _, err := r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		_ = file.Close() // it was only read
		return nil
	}
	return struct {
		io.Reader
		io.Closer
	}{r, file}
}

// ReadAll returns the bytes of the source, of which there may be as many as most.
func (s *Source) ReadAll(c *uniflow.Context, input string, most int64) ([]byte, error) {
	r, err := s.Open(c, input)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > most {
		return nil, Wrong("%s has more than %d bytes", input, most)
	}
	return content, nil
}

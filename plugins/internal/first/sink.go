package first

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"runtime"

	"github.com/uniflow-dev/uniflow/sdk"
)

// Output is the name of the output that holds what a Sink has stored.
const Output = "artifact"

// held is how much a Sink keeps in memory; what is larger is a file in /out.
const held = 4 << 20

// Sink stores bytes of any size as one artifact.
type Sink struct {
	c    *uniflow.Context
	ref  uniflow.ArtifactRef
	name string
	buf  bytes.Buffer
	file *os.File
	sum  hash.Hash
}

// NewSink returns a Sink for an artifact of a file name and media type. An attempt has one.
func NewSink(c *uniflow.Context, name, mediaType string) *Sink {
	return &Sink{c: c, name: name, ref: uniflow.ArtifactRef{Type: mediaType}, sum: sha256.New()}
}

// Write implements io.Writer.
func (s *Sink) Write(p []byte) (int, error) {
	s.ref.Size += int64(len(p))
	if s.file == nil && s.buf.Len()+len(p) <= held {
		return s.buf.Write(p)
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	return s.write(p)
}

// spill goes on in a file, whose name is that of the output.
func (s *Sink) spill() error {
	if runtime.GOOS != "wasip1" {
		return errors.New("artifacts of more than 4 MiB need the sandbox")
	}
	file, err := os.Create("/out/" + Output)
	if err != nil {
		return fmt.Errorf("store %s: %w", s.name, err)
	}
	s.file = file
	_, err = s.write(s.buf.Bytes())
	s.buf = bytes.Buffer{}
	return err
}

func (s *Sink) write(p []byte) (int, error) {
	_, _ = s.sum.Write(p) // a hash never fails
	n, err := s.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("store %s: %w", s.name, err)
	}
	return n, nil
}

// Close stores what was written and sets the output Output to its reference.
func (s *Sink) Close() error {
	if s.file == nil {
		ref, err := s.c.PutArtifact(s.name, s.ref.Type, s.buf.Bytes())
		if err != nil {
			return err
		}
		return s.c.Output(Output, ref)
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("store %s: %w", s.name, err)
	}
	s.ref.Artifact = "sha256:" + hex.EncodeToString(s.sum.Sum(nil))
	return s.c.Output(Output, s.ref)
}

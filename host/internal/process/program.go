package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// largestProgram bounds what is copied for one plugin.
const largestProgram = 1 << 30

// fileKind is what is expected of a plugin's file.
type fileKind struct {
	noun         string
	suffix       string // of the copy
	executable   bool
	file, digest flow.Code
}

func kindOf(p flow.PlanPlugin) fileKind {
	if p.Kind == flow.KindWasm {
		return fileKind{noun: "module", suffix: ".wasm", file: flow.CodeModuleFile, digest: flow.CodeModuleDigest}
	}
	return fileKind{noun: "program", suffix: programSuffix, executable: true, file: flow.CodeProcessFile, digest: flow.CodeProcessDigest}
}

// takeFile copies the plugin's file to a folder of the host's own and returns the copy. What is copied is what is
// hashed, so that a file which is exchanged or written to afterwards is never executed.
func (r *Runtime) takeFile(ctx context.Context, p flow.PlanPlugin) (string, error) {
	kind := kindOf(p)
	program := filepath.Join(r.programs, p.Digest.Hex()+kind.suffix)
	if _, err := os.Stat(program); err == nil && p.Digest.Valid() {
		return program, nil // checked for another grant
	}
	file, err := kind.open(p)
	if err != nil {
		return "", err
	}
	defer file.Close()
	copied, digest, err := copyProgram(ctx, file, r.programs)
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	case errors.Is(err, flow.ErrTooLarge):
		err = loadError(p, kind.file, "strip debug information", fmt.Sprintf("%s is larger than %s", p.Path, flow.Size(largestProgram)), nil)
	case err != nil:
		err = loadError(p, flow.CodeProcessHost, "see that the disk is not full", "copy "+p.Path, err)
	case digest != p.Digest:
		err = loadError(p, kind.digest, "build again to take the new bytes over (uniflow build), or restore the file",
			fmt.Sprintf("%s has the digest %s, the plan names %s", p.Path, digest, p.Digest), nil)
	default:
		if err = os.Rename(copied, program); err == nil {
			return program, nil
		}
		err = loadError(p, flow.CodeProcessHost, "", "keep the copy", err)
	}
	if copied != "" {
		_ = os.Remove(copied)
	}
	return "", err
}

// open opens the file and refuses what cannot be a plugin. It does not wait for a writer where the path is a named
// pipe.
func (k fileKind) open(p flow.PlanPlugin) (*os.File, error) {
	const build = "build the plugin (uniflow build), or correct the path; it is relative to the manifest"
	file, err := os.OpenFile(p.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, loadError(p, k.file, build, p.Path+" does not exist", nil)
	}
	if err != nil {
		return nil, loadError(p, k.file, "see that the host's user may read the file", p.Path+" cannot be read", errors.Unwrap(err))
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = loadError(p, k.file, build, p.Path+" cannot be read", err)
	case info.IsDir():
		err = loadError(p, k.file, build, p.Path+" is a folder, expected a "+k.noun, nil)
	case !info.Mode().IsRegular():
		err = loadError(p, k.file, build, p.Path+" is no regular file, expected a "+k.noun, nil)
	case k.executable && runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0:
		err = loadError(p, k.file, "chmod +x "+p.Path, p.Path+" is not executable", nil)
	default:
		return file, nil
	}
	_ = file.Close()
	return nil, err
}

// copyProgram copies r to a new executable file in dir. Its name is returned with an error too, once it exists.
func copyProgram(ctx context.Context, r io.Reader, dir string) (name string, d flow.Digest, err error) {
	file, err := os.CreateTemp(dir, "copy-*")
	if err != nil {
		return "", "", err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, hash), io.LimitReader(untilDone{ctx, r}, largestProgram+1))
	if err == nil && n > largestProgram {
		err = flow.ErrTooLarge
	}
	if err = errors.Join(err, file.Chmod(0o500), file.Close()); err != nil {
		return file.Name(), "", err
	}
	return file.Name(), flow.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil))), nil
}

// untilDone is a reader that fails once ctx has ended.
type untilDone struct {
	ctx context.Context //nolint:containedctx // lives as long as the copy
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of Landlock by the version of its interface that brought them.
const (
	sealRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	sealFirst = 1<<13 - 1 // version 1
	sealFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE
)

// landlockVersion is that of the kernel's interface; 0 without one.
func landlockVersion() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// allThreads reports whether this program can change all of its threads at once; one that is built with cgo cannot.
func allThreads() bool {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return errno == 0
}

// canSeal reports whether seal holds on this machine.
func canSeal() bool { return landlockVersion() > 0 && allThreads() }

// seal takes from this process, for good, all paths but dir, which it may change, and reads, which it may read; all of
// TCP; and signals and abstract sockets to others. It does what the kernel can, which is nothing before Linux 5.13.
func seal(dir string, reads []string) error {
	if !canSeal() {
		return nil
	}
	version := landlockVersion()
	rules := sealRules(version)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0) //nolint:gosec // the system call's own form
	if errno != 0 {
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer unix.Close(int(fd))
	if err := allowPath(int(fd), dir, rules.Handled_access_fs&^unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
		return err
	}
	for _, path := range reads {
		target, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the module hears of it when it is called
		}
		if err == nil {
			err = allowPath(int(fd), target, sealRead)
		}
		if err != nil {
			return err
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

// sealRules are the rights that are taken away where no rule gives them.
func sealRules(version int) unix.LandlockRulesetAttr {
	rules := unix.LandlockRulesetAttr{Handled_access_fs: sealFirst}
	if version >= 2 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		rules.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		if signalsWithin() {
			rules.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
		}
	}
	return rules
}

// signalsWithin reports whether the kernel lets the threads of one process signal one another although each is
// restricted by itself. Without that correction the Go scheduler could not interrupt its own threads.
func signalsWithin() bool {
	const corrected = 1 << 1
	errata, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	return errno == 0 && errata&corrected != 0
}

// allowPath gives rights below a folder, or to a file.
func allowPath(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= sealFile // others are about folders
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // the system call's own form
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	return nil
}

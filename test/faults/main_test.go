//go:build linux

// Package faults runs the daemon where networks are broken, memory and file
// descriptors are short and strangers mean harm. It does so in a network of its
// own, so that nothing of the machine is disturbed or helps along.
package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred/maitred/test/harness"
)

// inside is set in the process that has the network of its own.
const inside = "MAITRED_TEST_INSIDE"

func TestMain(m *testing.M) {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		panic(err)
	}
	os.Exit(harness.Main(isolated{m}, filepath.Join("..", "..")))
}

// isolated runs the tests in network and mount namespaces of their own. The
// namespaces that a test makes below end with it, however it ends.
type isolated struct{ tests *testing.M }

func (i isolated) Run() int {
	if os.Getenv(inside) != "" {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return i.tests.Run()
	}
	runtime.LockOSThread() // Pdeathsig watches the thread that starts the child
	command, err := again(0)
	if err != nil {
		// A user namespace gives the right to those who do not have it.
		command, err = again(unix.CLONE_NEWUSER)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a network of their own, and this machine gives none (%v): run them as root, or allow user namespaces\n", err)
		return 1
	}
	err = command.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return command.ProcessState.ExitCode()
}

// again starts this program once more, in new namespaces.
func again(flags uintptr) (*exec.Cmd, error) {
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), inside+"=1", "MAITRED_BIN="+harness.Binary)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | flags, Pdeathsig: unix.SIGKILL}
	if flags != 0 {
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return command, command.Start()
}

// furnish makes loopback work and gives "ip netns" a place for its names that
// nobody else sees.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount an own /run: %w", err)
	}
	if err := noDuplicateDetection(); err != nil {
		return err
	}
	if output, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, output)
	}
	return nil
}

// noDuplicateDetection makes IPv6 addresses usable at once in the network of
// the calling thread, on interfaces that are yet to be made. A kernel without
// IPv6 has nothing to be told: what needs IPv6 fails there, and says so.
func noDuplicateDetection() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

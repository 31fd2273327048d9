package harness

import (
	"os/exec"
	"syscall"
)

// endWithUs has the command killed when the thread that starts it ends, be it with the whole process.
func endWithUs(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package main

import "syscall"

// endsWithParent makes the kernel kill a child when its parent is gone, however that ended.
func endsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

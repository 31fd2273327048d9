//go:build !linux

package main

import "syscall"

// endsWithParent changes nothing: this system has no such promise, and a benchmark that is killed leaves its daemon behind.
func endsWithParent() *syscall.SysProcAttr { return nil }

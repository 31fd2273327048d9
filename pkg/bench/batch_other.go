//go:build !linux || 386 || arm || mips || mipsle

package bench

import "net"

func newPacketEnd(conn *net.UDPConn, s shape) (endpoint, error) { return newPortableEnd(conn, s), nil }

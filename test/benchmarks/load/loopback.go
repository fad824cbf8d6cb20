package main

import (
	"io"
	"net"
)

// loopback copies bytes over a connection of this machine: what no server can be faster than.
func loopback(args []string) (any, error) {
	set, registry := flags("loopback")
	size := set.Int64("size", 1<<30, "bytes")
	_ = set.Parse(args)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go func() {
		if socket, err := listener.Accept(); err == nil {
			defer socket.Close()
			buffer := make([]byte, 256*1024)
			for sent := int64(0); sent < *size; sent += int64(len(buffer)) {
				_, _ = socket.Write(buffer)
			}
		}
	}()
	socket, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	meter := start(registry)
	received, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{socket}, make([]byte, 256*1024))
	return meter.end(1, received), err
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// ready tells that the load is there. It stays until standard input ends.
func ready() {
	print(map[string]bool{"ready": true})
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hold opens connections, makes a request on each, and keeps them idle.
func hold(args []string) (any, error) {
	set, registry := flags("hold")
	connections := set.Int("connections", 1000, "that stay open")
	_ = set.Parse(args)
	for range *connections {
		c, err := dial(registry.address)
		if err != nil {
			return nil, err
		}
		defer c.close()
		if _, err := c.must(200, c.head("GET", "/v2/")); err != nil {
			return nil, err
		}
	}
	ready()
	return nil, nil
}

// slow reads a blob on some connections at once, a little of it ten times a second.
func slow(args []string) (any, error) {
	set, registry := flags("slow")
	connections := set.Int("connections", 200, "that read at once")
	path := set.String("path", "", "of the blob")
	_ = set.Parse(args)
	for range *connections {
		c, err := dial(registry.address)
		if err != nil {
			return nil, err
		}
		defer c.close()
		if _, err := c.socket.Write(c.head("GET", *path)); err != nil {
			return nil, err
		}
		if line, err := c.line(); err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return nil, fmt.Errorf("GET %s: %s (%v)", *path, line, err)
		}
		go trickle(c)
	}
	ready()
	return nil, nil
}

func trickle(c *connection) {
	buffer := make([]byte, 4096)
	for {
		if _, err := c.reader.Read(buffer); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

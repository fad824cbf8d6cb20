package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// connection makes small requests, one after the other. It does far less for each than net/http, so that the registry is
// what is measured.
type connection struct {
	address string
	socket  net.Conn
	reader  *bufio.Reader
}

// reply is an answer. Its body is kept when it is an error.
type reply struct {
	status   int
	location string
	length   int64 // of the body, or what HEAD says it has
	body     []byte
	closes   bool
}

func dial(address string) (*connection, error) {
	c := &connection{address: address}
	return c, c.redial()
}

func (c *connection) redial() error {
	c.close()
	socket, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.socket, c.reader = socket, bufio.NewReaderSize(socket, 64*1024)
	return nil
}

func (c *connection) close() {
	if c.socket != nil {
		_ = c.socket.Close()
	}
}

// head writes out a request up to its body.
func (c *connection) head(method, target string, headers ...string) []byte {
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: " + c.address, "User-Agent: load"}, headers...)
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// send sends a request as head wrote it, and reads the answer.
func (c *connection) send(request []byte) (reply, error) {
	if _, err := c.socket.Write(request); err != nil {
		return reply{}, err
	}
	answer, err := c.read(bytes.HasPrefix(request, []byte("HEAD ")))
	if err == nil && answer.closes {
		err = c.redial()
	}
	return answer, err
}

// must does the same and wants a status.
func (c *connection) must(status int, request []byte) (reply, error) {
	answer, err := c.send(request)
	if err == nil && answer.status != status {
		line, _, _ := bytes.Cut(request, []byte("\r\n"))
		err = fmt.Errorf("%s: %d, not %d: %s", line, answer.status, status, bytes.TrimSpace(answer.body))
	}
	return answer, err
}

func (c *connection) read(isHead bool) (reply, error) {
	line, err := c.line()
	if err != nil {
		return reply{}, err
	}
	if len(line) < 12 {
		return reply{}, fmt.Errorf("no HTTP: %q", line)
	}
	answer := reply{length: -1}
	answer.status, _ = strconv.Atoi(string(line[9:12]))
	chunked := false
	for {
		line, err := c.line()
		if err != nil {
			return reply{}, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			answer.length, _ = strconv.ParseInt(string(value), 10, 64)
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("location")):
			answer.location = string(value)
		case bytes.EqualFold(name, []byte("connection")):
			answer.closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	if isHead || answer.status == 204 || answer.status == 304 {
		return answer, nil
	}
	into := io.Discard
	var kept bytes.Buffer
	if answer.status >= 400 {
		into = &kept
	}
	if chunked {
		answer.length, err = c.chunks(into)
	} else if answer.length > 0 {
		_, err = io.CopyN(into, c.reader, answer.length)
	}
	answer.body = kept.Bytes()
	return answer, err
}

func (c *connection) chunks(into io.Writer) (int64, error) {
	var sum int64
	for {
		line, err := c.line()
		if err != nil {
			return sum, err
		}
		size, err := strconv.ParseInt(string(line), 16, 64)
		if err != nil {
			return sum, err
		}
		if _, err := io.CopyN(into, c.reader, size); err != nil {
			return sum, err
		}
		// After a chunk, and after the last one, as no registry sends trailers.
		if _, err := c.line(); err != nil || size == 0 {
			return sum, err
		}
		sum += size
	}
}

func (c *connection) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// target is the path and query of a Location, which may have a host.
func targetOf(location string) (string, error) {
	parsed, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	return parsed.RequestURI(), nil
}

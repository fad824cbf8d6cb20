package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
)

const piece = 1 << 20

// content is a blob of random bytes that no other has: one random piece again and again, each time with another head. It is
// made once, and its digest is known before it is sent, so that neither is measured.
type content struct {
	random []byte
	seed   [8]byte
	size   int64
	digest string
}

func newContent(random []byte, size int64) *content {
	c := &content{random: random, size: size}
	_, _ = rand.Read(c.seed[:])
	hash := sha256.New()
	_, _ = io.Copy(hash, c.from(0, size))
	c.digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return c
}

func randomPiece() []byte {
	bytes := make([]byte, piece)
	_, _ = rand.Read(bytes)
	return bytes
}

// from reads a part of it.
func (c *content) from(offset, length int64) io.Reader {
	return &contentReader{c, offset, offset + length}
}

type contentReader struct {
	*content
	at, end int64
}

func (r *contentReader) Read(into []byte) (int, error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	within := r.at % piece
	count := copy(into[:min(int64(len(into)), r.end-r.at)], r.random[within:])
	var head [16]byte
	copy(head[:], r.seed[:])
	binary.BigEndian.PutUint64(head[8:], uint64(r.at/piece))
	if within < int64(len(head)) {
		copy(into[:count], head[within:])
	}
	r.at += int64(count)
	return count, nil
}

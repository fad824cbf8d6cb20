package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
)

// The repositories that images are pushed to by turns.
const repositories = 50

// images pushes small images, each with a config, a layer and a manifest that no other has, as docker does.
func images(args []string) (any, error) {
	set, registry := flags("images")
	connections := set.Int("connections", 4, "that push at once")
	seconds := set.Float64("seconds", 4, "that are measured")
	warmUp := set.Float64("warm-up", 1, "seconds before")
	_ = set.Parse(args)
	var number atomic.Int64
	if err := pushImages(registry, *connections, *warmUp, &number, nil); err != nil {
		return nil, err
	}
	var times durations
	meter := start(registry)
	if err := pushImages(registry, *connections, *seconds, &number, &times); err != nil {
		return nil, err
	}
	measured := meter.end(int64(len(times.all)), 0)
	measured.Median, measured.Slowest = times.quantiles()
	return measured, nil
}

func pushImages(registry *target, connections int, seconds float64, number *atomic.Int64, times *durations) error {
	run := hex.EncodeToString(randomBytes(4))
	return operate(registry, connections, seconds, times, func(c *connection) func() error {
		return func() error {
			i := number.Add(1)
			repository := fmt.Sprintf("bench/app-%d", i%repositories)
			_, err := pushImage(c, repository, fmt.Sprintf("%s-%d", run, i), 8*1024)
			return err
		}
	})
}

// image is one that was pushed.
type image struct {
	Manifest string `json:"manifest"` // digest
	Config   string `json:"config"`
	Layer    string `json:"layer"`
	bytes    []byte
}

// pushImage pushes an image with a layer of random bytes.
func pushImage(c *connection, repository, tag string, layerSize int) (image, error) {
	layer := randomBytes(layerSize)
	config, _ := json.Marshal(map[string]any{
		"architecture": "amd64",
		"os":           "linux",
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer)}},
		"comment":      hex.EncodeToString(randomBytes(700)),
	})
	pushed := image{Config: digestOf(config), Layer: digestOf(layer)}
	for _, blob := range [][]byte{config, layer} {
		if err := pushSmallBlob(c, repository, blob); err != nil {
			return pushed, err
		}
	}
	pushed.bytes, _ = json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     imageType,
		"config":        descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers":        []any{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	pushed.Manifest = digestOf(pushed.bytes)
	return pushed, putManifest(c, repository, tag, pushed.bytes)
}

// pushSmallBlob asks for a blob, which is not there, and uploads it as docker does.
func pushSmallBlob(c *connection, repository string, blob []byte) error {
	path := "/v2/" + repository + "/blobs/"
	if _, err := c.must(404, c.head("HEAD", path+digestOf(blob))); err != nil {
		return err
	}
	begun, err := c.must(202, c.head("POST", path+"uploads/", "Content-Length: 0"))
	if err != nil {
		return err
	}
	upload, err := targetOf(begun.location)
	if err != nil {
		return err
	}
	const octets = "Content-Type: application/octet-stream"
	patch := c.head("PATCH", upload, octets, "Transfer-Encoding: chunked")
	patch = fmt.Appendf(patch, "%x\r\n%s\r\n0\r\n\r\n", len(blob), blob)
	sent, err := c.must(202, patch)
	if err != nil {
		return err
	}
	upload, err = targetOf(sent.location)
	if err != nil {
		return err
	}
	separator := "?"
	if strings.Contains(upload, "?") {
		separator = "&"
	}
	_, err = c.must(201, c.head("PUT", upload+separator+"digest="+digestOf(blob), octets, "Content-Length: 0"))
	return err
}

func putManifest(c *connection, repository, reference string, manifest []byte) error {
	length := fmt.Sprintf("Content-Length: %d", len(manifest))
	head := c.head("PUT", "/v2/"+repository+"/manifests/"+reference, "Content-Type: "+imageType, length)
	_, err := c.must(201, append(head, manifest...))
	return err
}

func descriptor(mediaType string, blob []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digestOf(blob), "size": len(blob)}
}

func digestOf(blob []byte) string {
	hash := sha256.Sum256(blob)
	return "sha256:" + hex.EncodeToString(hash[:])
}

func randomBytes(count int) []byte {
	bytes := make([]byte, count)
	_, _ = rand.Read(bytes)
	return bytes
}

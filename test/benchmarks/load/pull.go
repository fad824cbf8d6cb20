package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
)

// pull downloads one blob some times. Its length is checked each time; its digest before, which is not measured.
func pull(args []string) (any, error) {
	set, registry := flags("pull")
	repository := set.String("repository", "bench/push", "its name")
	digest := set.String("digest", "", "of the blob")
	size := set.Int64("size", 0, "bytes of the blob")
	times := set.Int("times", 1, "downloads, one after the other")
	verify := set.Bool("verify", false, "checks the digest first")
	_ = set.Parse(args)
	client := newClient(1)
	address := "http://" + registry.address + "/v2/" + *repository + "/blobs/" + *digest
	if *verify {
		hash := sha256.New()
		if err := download(client, address, hash, *size); err != nil {
			return nil, err
		}
		if found := "sha256:" + hex.EncodeToString(hash.Sum(nil)); found != *digest {
			return nil, fmt.Errorf("the blob has the digest %s, not %s", found, *digest)
		}
	}
	meter := start(registry)
	for range *times {
		if err := download(client, address, io.Discard, *size); err != nil {
			return nil, err
		}
	}
	return meter.end(int64(*times), int64(*times)**size), nil
}

func download(client *http.Client, address string, into io.Writer, size int64) error {
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", address, response.Status)
	}
	// Not io.Discard's own way of reading, which has 8 KiB.
	buffer := make([]byte, 256*1024)
	received, err := io.CopyBuffer(struct{ io.Writer }{into}, struct{ io.Reader }{response.Body}, buffer)
	if err == nil && received != size {
		err = fmt.Errorf("the download of %d bytes ended after %d", size, received)
	}
	return err
}

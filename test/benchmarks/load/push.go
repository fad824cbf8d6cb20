package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// push uploads blobs of random bytes: a POST, one PATCH without a length as docker sends it, or chunks of a length, and a PUT.
func push(args []string) (any, error) {
	set, registry := flags("push")
	repository := set.String("repository", "bench/push", "its name")
	size := set.Int64("size", 0, "bytes of each blob")
	concurrent := set.Int("concurrent", 1, "pushes at once, each of a blob of its own")
	chunk := set.Int64("chunk", 0, "bytes of a chunk; 0 sends one stream")
	_ = set.Parse(args)
	random := randomPiece()
	blobs := make([]*content, *concurrent)
	each(*concurrent, func(i int) error {
		blobs[i] = newContent(random, *size)
		return nil
	})
	client := newClient(*concurrent)
	meter := start(registry)
	err := each(*concurrent, func(i int) error {
		return pushBlob(client, registry, *repository, blobs[i], *chunk)
	})
	if err != nil {
		return nil, err
	}
	measured := meter.end(int64(*concurrent), int64(*concurrent)**size)
	return struct {
		result
		Digest string `json:"digest"` // of the first blob
	}{measured, blobs[0].digest}, nil
}

func pushBlob(client *http.Client, registry *target, repository string, blob *content, chunk int64) error {
	base := &url.URL{Scheme: "http", Host: registry.address, Path: "/v2/" + repository + "/blobs/uploads/"}
	location, err := send(client, "POST", base, nil, 0, http.StatusAccepted, nil)
	if err != nil {
		return err
	}
	if chunk == 0 {
		location, err = send(client, "PATCH", location, blob.from(0, blob.size), -1, http.StatusAccepted, nil)
		if err != nil {
			return err
		}
	}
	for at := int64(0); chunk > 0 && at < blob.size; at += chunk {
		length := min(chunk, blob.size-at)
		headers := map[string]string{"Content-Range": fmt.Sprintf("%d-%d", at, at+length-1)}
		location, err = send(client, "PATCH", location, blob.from(at, length), length, http.StatusAccepted, headers)
		if err != nil {
			return err
		}
	}
	query := location.Query()
	query.Set("digest", blob.digest)
	location.RawQuery = query.Encode()
	_, err = send(client, "PUT", location, nil, 0, http.StatusCreated, nil)
	return err
}

// send makes a request and returns the Location of the answer. A body of length -1 is sent without a length.
func send(
	client *http.Client, method string, to *url.URL, body io.Reader, length int64, status int, headers map[string]string,
) (*url.URL, error) {
	request, err := http.NewRequest(method, to.String(), body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = length
	request.Header.Set("Content-Type", "application/octet-stream")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return nil, fmt.Errorf("%s %s: %s %s", method, to.Path, response.Status, strings.TrimSpace(string(text)))
	}
	if response.Header.Get("Location") == "" {
		return to, nil
	}
	return to.Parse(response.Header.Get("Location"))
}

func newClient(connections int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: connections,
			DisableCompression:  true,
			ReadBufferSize:      64 * 1024,
		},
		// A registry that sends a client to its bucket would not be measured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// each runs an action for 0 to count-1 at once and returns an error of one.
func each(count int, act func(i int) error) error {
	var group sync.WaitGroup
	errors := make([]error, count)
	for i := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			errors[i] = act(i)
		}()
	}
	group.Wait()
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

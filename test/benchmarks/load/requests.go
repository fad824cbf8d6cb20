package main

import (
	"slices"
	"sync"
	"time"
)

const imageType = "application/vnd.oci.image.manifest.v1+json"

// requests makes the same request again and again, on some connections.
func requests(args []string) (any, error) {
	set, registry := flags("requests")
	method := set.String("method", "GET", "of the request")
	path := set.String("path", "/v2/", "of the request")
	connections := set.Int("connections", 16, "that are used at once")
	seconds := set.Float64("seconds", 2, "that are measured")
	warmUp := set.Float64("warm-up", 1, "seconds before")
	_ = set.Parse(args)
	if err := repeat(registry, *method, *path, *connections, *warmUp, nil); err != nil {
		return nil, err
	}
	var times durations
	meter := start(registry)
	if err := repeat(registry, *method, *path, *connections, *seconds, &times); err != nil {
		return nil, err
	}
	measured := meter.end(int64(len(times.all)), 0)
	measured.Median, measured.Slowest = times.quantiles()
	return measured, nil
}

// repeat makes requests for some seconds.
func repeat(registry *target, method, path string, connections int, seconds float64, times *durations) error {
	return operate(registry, connections, seconds, times, func(c *connection) func() error {
		request := c.head(method, path, "Accept: "+imageType)
		return func() error {
			_, err := c.must(200, request)
			return err
		}
	})
}

// operate repeats an operation on some connections at once for some seconds, and notes how long each took.
func operate(
	registry *target, connections int, seconds float64, times *durations, on func(c *connection) func() error,
) error {
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	return each(connections, func(int) error {
		c, err := dial(registry.address)
		if err != nil {
			return err
		}
		defer c.close()
		operation := on(c)
		own := make([]time.Duration, 0, 1<<16)
		for now := time.Now(); now.Before(until); {
			if err := operation(); err != nil {
				return err
			}
			end := time.Now()
			own = append(own, end.Sub(now))
			now = end
		}
		times.add(own)
		return nil
	})
}

// durations are those of operations of several connections.
type durations struct {
	lock sync.Mutex
	all  []time.Duration
}

func (d *durations) add(own []time.Duration) {
	if d == nil {
		return
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	d.all = append(d.all, own...)
}

// quantiles are the median and the 99th percentile in seconds.
func (d *durations) quantiles() (float64, float64) {
	if len(d.all) == 0 {
		return 0, 0
	}
	slices.Sort(d.all)
	return d.all[len(d.all)/2].Seconds(), d.all[len(d.all)*99/100].Seconds()
}

package main

import "fmt"

// seed pushes one image by some tags.
func seed(args []string) (any, error) {
	set, registry := flags("seed")
	repository := set.String("repository", "bench/seed", "its name")
	tags := set.Int("tags", 1, "of the image: tag-0, tag-1, …")
	layer := set.Int("layer", 8*1024, "bytes of its layer")
	_ = set.Parse(args)
	c, err := dial(registry.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	pushed, err := pushImage(c, *repository, "tag-0", *layer)
	for i := 1; i < *tags && err == nil; i++ {
		err = putManifest(c, *repository, fmt.Sprintf("tag-%d", i), pushed.bytes)
	}
	return pushed, err
}

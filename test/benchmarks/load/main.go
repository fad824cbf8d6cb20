// Program load puts one kind of load on a registry and prints what it measured as a line of JSON. It is in Go so that the
// client takes little of the machine, and has no dependencies.
//
//	load COMMAND [flags]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// target is the registry that is measured.
type target struct {
	address string // host:port
	pid     int    // of its process, whose CPU time counts with that of its children; 0 counts none
}

var commands = map[string]func(args []string) (any, error){
	"push":     push,
	"pull":     pull,
	"requests": requests,
	"images":   images,
	"seed":     seed,
	"hold":     hold,
	"loopback": loopback,
	"slow":     slow,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := make([]string, 0, len(commands))
		for name := range commands {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "Usage: load %s [flags]\n", strings.Join(names, "|"))
		os.Exit(2)
	}
	result, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "load %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	print(result)
}

// print writes a line of JSON.
func print(result any) {
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

// flags are those of a command, with the ones that all have.
func flags(name string) (*flag.FlagSet, *target) {
	set := flag.NewFlagSet(name, flag.ExitOnError)
	registry := &target{}
	set.StringVar(&registry.address, "address", "", "host:port of the registry")
	set.IntVar(&registry.pid, "pid", 0, "process of the registry")
	return set, registry
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// result is what a load took.
type result struct {
	Seconds   float64 `json:"seconds"`
	Count     int64   `json:"count"`     // operations that ended
	Bytes     int64   `json:"bytes"`     // of bodies
	ServerCPU float64 `json:"serverCpu"` // seconds, of the registry's processes
	ClientCPU float64 `json:"clientCpu"` // seconds, of this process
	Median    float64 `json:"median"`    // seconds of an operation, where many are measured
	Slowest   float64 `json:"slowest"`   // 99 of 100 were faster, in seconds
}

// meter measures from its start on.
type meter struct {
	registry       *target
	begun          time.Time
	server, client float64
}

func start(registry *target) *meter {
	return &meter{registry, time.Now(), treeCPU(registry.pid), processCPU(os.Getpid())}
}

func (m *meter) end(count, bytes int64) result {
	return result{
		Seconds:   time.Since(m.begun).Seconds(),
		Count:     count,
		Bytes:     bytes,
		ServerCPU: treeCPU(m.registry.pid) - m.server,
		ClientCPU: processCPU(os.Getpid()) - m.client,
	}
}

// ticks are the units of CPU time in /proc, a hundredth of a second on all machines that Linux runs on.
const ticks = 100

// treeCPU is the CPU time of a process and its descendants in seconds.
func treeCPU(pid int) float64 {
	if pid == 0 {
		return 0
	}
	sum := processCPU(pid)
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			if number, err := strconv.Atoi(child); err == nil {
				sum += treeCPU(number)
			}
		}
	}
	return sum
}

// processCPU is utime and stime of proc_pid_stat(5), which follow the name in brackets as fields 14 and 15.
func processCPU(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks
}

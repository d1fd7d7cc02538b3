// Command build makes the .wasm file of the plugin in a directory: `go run ringback/cmd/build -o plugin.wasm [DIR]`.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ringback/internal/types"
)

const version = "1.0.0"

var exports = []string{"verifier", "parser", "condition", "step", "responder", "configurable", "vectors"}

func main() {
	output := flag.String("o", "plugin.wasm", "the `file` to make")
	flag.Parse()
	directory := flag.Arg(0)
	if directory == "" {
		directory = "."
	}
	if err := build(directory, *output); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func build(directory, output string) error {
	absolute, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	// The runtime's allocator is asked before the runtime has begun: `-checklinkname=0` allows it.
	command := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w -checklinkname=0", "-trimpath", "-o", absolute, ".")
	command.Dir, command.Stdout, command.Stderr = directory, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if err := command.Run(); err != nil {
		return fmt.Errorf("go build failed: %w", err)
	}
	module, err := os.ReadFile(absolute)
	if err != nil {
		return err
	}
	typed, roles, err := withTypes(module)
	if err != nil {
		os.Remove(absolute)
		return err
	}
	fmt.Printf("%s (%.1f MiB): %s\n", output, float64(len(typed))/(1<<20), strings.Join(roles, ", "))
	return os.WriteFile(absolute, typed, 0o644)
}

// The module with the types of what it exports, which the server makes a component by.
func withTypes(module []byte) ([]byte, []string, error) {
	var roles []string
	names := []string{"imports"}
	for _, name := range exports {
		if bytes.Contains(module, []byte("ringback:plugin/"+name+"@"+version+"#")) {
			names = append(names, name)
			if name != "configurable" && name != "vectors" {
				roles = append(roles, name)
			}
		}
	}
	if len(roles) == 0 {
		return nil, nil, fmt.Errorf("it registers no role; begin with `condition.Register(…)` in an init function")
	}
	for _, name := range names {
		content, err := types.Files.ReadFile(name + ".bin")
		if err != nil {
			return nil, nil, err
		}
		title := "component-type:rb-" + name
		section := append(binary.AppendUvarint(nil, uint64(len(title))), title...)
		section = append(section, content...)
		module = append(module, 0)
		module = binary.AppendUvarint(module, uint64(len(section)))
		module = append(module, section...)
	}
	return module, roles, nil
}

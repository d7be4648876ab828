// Files does what its arguments say, each of the form "verb path rest", and prints a JSON object: the result of each by
// its own text.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	results := map[string]string{}
	for _, arg := range os.Args[1:] {
		parts := append(strings.SplitN(arg, " ", 3), "", "")
		result, err := do(parts[0], parts[1], parts[2])
		if err != nil {
			result = "error: " + err.Error()
		}
		results[arg] = result
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		os.Exit(1)
	}
}

func do(verb, path, rest string) (string, error) {
	switch verb {
	case "read":
		b, err := os.ReadFile(path)
		return string(b), err
	case "tail": // the last bytes, by seeking from the end, then the whole, by seeking back
		return tail(path, rest)
	case "list":
		entries, err := os.ReadDir(path)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, ","), err
	case "write":
		return "", os.WriteFile(path, []byte(rest), 0o600)
	case "append":
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = f.WriteString(rest)
		return "", err
	case "create": // fails where the file exists
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", err
		}
		return "", f.Close()
	case "truncate":
		size, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return "", err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return "", f.Truncate(size)
	case "rename":
		return "", os.Rename(path, rest)
	case "remove":
		return "", os.Remove(path)
	case "mkdir":
		return "", os.Mkdir(path, 0o700)
	case "symlink":
		return "", os.Symlink(rest, path)
	case "fill": // many small files
		return fill(path, rest)
	case "exit":
		fmt.Fprintln(os.Stderr, rest)
		code, err := strconv.Atoi(path)
		if err == nil {
			os.Exit(code)
		}
		return "", err
	case "hold":
		return hold(path)
	case "now":
		start := time.Now()
		time.Sleep(20 * time.Millisecond)
		return fmt.Sprintf("%s %v", start.UTC().Format(time.RFC3339), time.Since(start) >= 20*time.Millisecond), nil
	case "random":
		var b [8]byte
		_, err := rand.Read(b[:])
		return fmt.Sprintf("%x", b), err
	case "env":
		return strings.Join(os.Environ(), " "), nil
	case "argv0":
		return os.Args[0], nil
	}
	return "", fmt.Errorf("no verb %q", verb)
}

func tail(path, rest string) (string, error) {
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Seek(-n, io.SeekEnd); err != nil {
		return "", err
	}
	last, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	whole, err := io.ReadAll(f)
	return string(last) + "|" + string(whole), err
}

// fill makes as many files as it is told to.
func fill(dir, rest string) (string, error) {
	n, err := strconv.Atoi(rest)
	for i := 0; i < n && err == nil; i++ {
		err = os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600)
	}
	return "", err
}

// hold opens the file until it cannot be opened any more.
func hold(path string) (string, error) {
	var held []*os.File
	for len(held) < 100_000 {
		f, err := os.Open(path)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	for _, f := range held {
		f.Close()
	}
	return strconv.Itoa(len(held)), nil
}

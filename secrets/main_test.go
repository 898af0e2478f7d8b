package secrets_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/secrets"
)

// TestMain lets this binary run as a worker that follows orders in a file instead of decrypting it.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "obey" {
		os.Exit(secrets.Serve(os.Stdin, os.Stdout, func(g secrets.Grant) (secrets.Engine, error) { return obedient{g}, nil }))
	}
	os.Exit(m.Run())
}

// used returns memory that a limit counts.
func used(size int) []byte {
	memory := make([]byte, size)
	for i := range memory {
		memory[i] = 1
	}
	return memory
}

// hoard is what a worker remembers between files.
var hoard []byte

// obedient follows the order under the key do of a file.
type obedient struct{ grant secrets.Grant }

// Unseal returns the recipients of the keys that it holds.
func (o obedient) Unseal(s secrets.Sealed) (secrets.Unsealed, error) {
	_, order, _ := strings.Cut(string(s.Content), "do: ")
	order, _, _ = strings.Cut(order, "\n")
	switch order {
	case "hang":
		select {}
	case "spin":
		for {
			order += ""
		}
	case "allocate":
		var all [][]byte
		for {
			all = append(all, []byte(strings.Repeat("x", 1<<20)))
			runtime.KeepAlive(all)
		}
	case "end":
		os.Exit(3)
	case "panic":
		panic("hunter2")
	case "panic elsewhere": // as a client of a cloud might
		go panic("hunter2")
		select {}
	case "panic later": // after the answer
		idle := time.NewTimer(time.Millisecond)
		go func() {
			<-idle.C
			panic("hunter2")
		}()
	case "fill": // the worker remembers much, and has room for little more
		hoard = used(40 << 20)
	case "need": // half of the memory of a worker
		runtime.KeepAlive(used(30 << 20))
	case "answer much":
		return secrets.Unsealed{Documents: []secrets.Document{{Content: make([]byte, 80<<20)}}}, nil
	case "process":
		order = strings.Join(append(os.Environ(), os.Args[1:]...), " ")
	}
	return secrets.Unsealed{Documents: []secrets.Document{{Content: []byte(order + " " + strings.Join(o.grant.Keys.Recipients(), " "))}}}, nil
}

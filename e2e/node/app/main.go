// Command app is what the containers of the tests run. Its first argument says how it behaves.
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	switch arguments := append(os.Args[1:], "", ""); arguments[0] {
	case "serve": // HTTP at :8080, where /ready is
		http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
		go func() {
			fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
			os.Exit(1)
		}()
		<-end
	case "work": // without a port, until it is told to end
		<-end
	case "exit": // at once, with a code, and a line for the log
		fmt.Fprintln(os.Stderr, "cannot open /etc/app.conf: no such file or directory")
		code, _ := strconv.Atoi(arguments[1])
		os.Exit(code)
	case "eat": // memory, until somebody objects
		for eaten := []byte{}; ; {
			eaten = append(eaten, bytes.Repeat([]byte{1}, 4<<20)...)
			time.Sleep(5 * time.Millisecond)
		}
	default:
		fmt.Fprintf(os.Stderr, "no behaviour %q\n", arguments[0])
		os.Exit(2)
	}
}

// Command app runs in the containers of the tests. Its first argument chooses its behaviour.
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
	case "serve": // HTTP at :8080, where /ready is, and / shows the configuration
		http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "greeting %q, key of %d bytes\n", os.Getenv("GREETING"), len(os.Getenv("APP_KEY")))
		})
		go func() {
			fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
			os.Exit(1)
		}()
		<-end
	case "work": // no port; runs until it is stopped
		<-end
	case "sleep": // ends well after some seconds, or when it is stopped
		seconds, _ := strconv.Atoi(arguments[1])
		select {
		case <-end:
		case <-time.After(time.Duration(seconds) * time.Second):
		}
	case "exit": // ends at once, with an exit code and a line in the log
		fmt.Fprintln(os.Stderr, "cannot open /etc/app.conf: no such file or directory")
		code, _ := strconv.Atoi(arguments[1])
		os.Exit(code)
	case "eat": // uses more and more memory, until it is killed
		for eaten := []byte{}; ; {
			eaten = append(eaten, bytes.Repeat([]byte{1}, 4<<20)...)
			time.Sleep(5 * time.Millisecond)
		}
	default:
		fmt.Fprintf(os.Stderr, "no behaviour %q\n", arguments[0])
		os.Exit(2)
	}
}

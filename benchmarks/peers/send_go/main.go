// Go's net/http with 100 requests at a time over connections that are kept.
// One line of JSON in ({"command", "count", "prefix"}), one out, like the other contestants.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	concurrency = 100
	tries       = 3
)

type value struct {
	Value string `json:"value"`
}

type message struct {
	ToUser      string           `json:"touser"`
	TemplateID  string           `json:"template_id"`
	Data        map[string]value `json:"data"`
	ClientMsgID string           `json:"client_msg_id"`
}

type answer struct {
	Code  *int   `json:"errcode"`
	Text  string `json:"errmsg"`
	MsgID int64  `json:"msgid"`
}

type order struct {
	Count  int    `json:"count"`
	Prefix string `json:"prefix"`
}

func used() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func one(client *http.Client, url string, number int, prefix string) (int64, bool) {
	body, _ := json.Marshal(message{
		ToUser:     fmt.Sprintf("o%027d", number),
		TemplateID: "bench-template",
		Data: map[string]value{
			"thing1": {fmt.Sprintf("顾客%d的预约", number)},
			"time2":  {"2025-06-02 15:30"},
		},
		ClientMsgID: fmt.Sprintf("%s-%d", prefix, number),
	})
	for try := 0; try < tries; try++ {
		response, err := client.Post(url, "application/json; charset=utf-8", bytes.NewReader(body))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		var found answer
		if err != nil || json.Unmarshal(text, &found) != nil || found.Code == nil {
			continue
		}
		if *found.Code == 0 {
			return found.MsgID, true
		}
		if *found.Code != -1 {
			return 0, false
		}
	}
	return 0, false
}

func send(client *http.Client, url string, todo order) map[string]any {
	began, before := time.Now(), used()
	numbers := make(chan int, concurrency)
	results := make(chan int64, concurrency)
	var workers sync.WaitGroup
	for i := 0; i < concurrency; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := range numbers {
				if id, ok := one(client, url, number, todo.Prefix); ok {
					results <- id
				}
			}
		}()
	}
	go func() {
		for number := 0; number < todo.Count; number++ {
			numbers <- number
		}
		close(numbers)
		workers.Wait()
		close(results)
	}()
	ids := map[int64]bool{}
	accepted := 0
	for id := range results {
		accepted++
		ids[id] = true
	}
	return map[string]any{
		"cpu": used() - before, "seconds": time.Since(began).Seconds(), "accepted": accepted, "ids": len(ids),
	}
}

func main() {
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		panic(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	client := &http.Client{
		Timeout: 8 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: trusted},
			MaxIdleConns:        concurrency,
			MaxIdleConnsPerHost: concurrency,
			MaxConnsPerHost:     concurrency,
			DisableCompression:  true,
		},
	}
	url := os.Getenv("BENCH_URL") + "/cgi-bin/message/template/send?access_token=bench-token"
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var todo order
		if err := json.Unmarshal(lines.Bytes(), &todo); err != nil {
			panic(err)
		}
		text, _ := json.Marshal(map[string]any{"value": send(client, url, todo)})
		fmt.Println(string(text))
	}
}

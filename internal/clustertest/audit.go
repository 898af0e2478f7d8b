package clustertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AuditFile is the name of the audit log in a cluster's directory.
const AuditFile = "audit.jsonl"

// A Request is a request from the API server's audit log.
type Request struct {
	// Verb is the verb of authorization: get, list, watch, create, update, patch, delete, deletecollection.
	Verb string
	// User is the account that sent the request: "admin", a part of the control plane such as
	// "system:kube-controller-manager", or "system:serviceaccount:NAMESPACE:NAME".
	User string
	// Impersonated is the impersonated user, if any.
	Impersonated string
	UserAgent    string
	// Group, Resource, Subresource, Namespace and Name are empty where they do not apply, as for /readyz.
	Group, Resource, Subresource, Namespace, Name string
	URI                                           string
	// Status is the status code of the answer.
	Status int
	// Received is when the request arrived. A watch is logged when it begins, and again when it ends.
	Received time.Time
	// Began distinguishes the first log line of a watch from its last.
	Began bool
}

type auditLine struct {
	Stage          string    `json:"stage"`
	Verb           string    `json:"verb"`
	UserAgent      string    `json:"userAgent"`
	RequestURI     string    `json:"requestURI"`
	Received       time.Time `json:"requestReceivedTimestamp"`
	User           auditUser `json:"user"`
	Impersonated   auditUser `json:"impersonatedUser"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	ObjectRef struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
}

type auditUser struct {
	Username string `json:"username"`
}

// Requests returns the requests of a cluster with Config.Audit that arrived at or after a time, in the order of
// their answers.
func (c *Cluster) Requests(since time.Time) ([]Request, error) {
	// The API server begins a new file every 100 MB, and adds the time to the name of the old one, which then sorts
	// before the newest.
	extension := filepath.Ext(AuditFile)
	files, err := filepath.Glob(filepath.Join(c.Dir(), strings.TrimSuffix(AuditFile, extension)+"*"+extension))
	if err == nil && len(files) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("reading the audit log (was the cluster started with Audit?): %w", err)
	}
	var requests []Request
	for _, file := range files {
		if requests, err = appendRequests(requests, file, since); err != nil {
			return requests, fmt.Errorf("reading the audit log: %w", err)
		}
	}
	return requests, nil
}

// appendRequests appends the requests of one file, unless all are older.
func appendRequests(requests []Request, name string, since time.Time) ([]Request, error) {
	file, err := os.Open(name)
	if err != nil {
		return requests, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.ModTime().Before(since) {
		return requests, err
	}
	for lines := bufio.NewReader(file); ; {
		text, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return requests, nil // a last line without an end is still being written
		}
		var line auditLine
		if err == nil {
			err = json.Unmarshal(text, &line)
		}
		if err != nil {
			return requests, err
		}
		if !line.Received.Before(since) {
			requests = append(requests, line.request())
		}
	}
}

func (l auditLine) request() Request {
	return Request{
		Verb:         l.Verb,
		User:         l.User.Username,
		Impersonated: l.Impersonated.Username,
		UserAgent:    l.UserAgent,
		Group:        l.ObjectRef.APIGroup,
		Resource:     l.ObjectRef.Resource,
		Subresource:  l.ObjectRef.Subresource,
		Namespace:    l.ObjectRef.Namespace,
		Name:         l.ObjectRef.Name,
		URI:          l.RequestURI,
		Status:       l.ResponseStatus.Code,
		Received:     l.Received,
		Began:        l.Stage == "ResponseStarted",
	}
}

package scopes

import (
	"encoding/json"
	"fmt"

	"github.com/allcores/allcores/internal/jobs/shared"
)

// A message is a call of another node to a home.
type message struct {
	Type    messageType    `json:"t"`
	Caller  *shared.Caller `json:"caller,omitempty"` // without its scope
	Ordinal int            `json:"n,omitempty"`
	Call    []byte         `json:"call,omitempty"` // see shared.Call.Append

	Job      string    `json:"job,omitempty"`
	Lease    int64     `json:"lease,omitempty"`
	Spans    []Span    `json:"spans,omitempty"`
	Outcomes []Outcome `json:"outcomes,omitempty"`
	Name     string    `json:"name,omitempty"`
	Cancel   int64     `json:"cancel,omitempty"` // the number of a call
}

// A messageType is what a message asks for.
type messageType string

const (
	messageCall     messageType = "call"
	messageCancel   messageType = "cancel"
	messageRecorded messageType = "recorded"
	messageEnded    messageType = "ended"
	messageList     messageType = "list"
	messageRead     messageType = "read"
)

func (m *message) encode() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("scopes: encode message: %v", err)) // no field of it can fail
	}
	return b
}

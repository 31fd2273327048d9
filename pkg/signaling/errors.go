package signaling

import (
	"errors"
	"fmt"

	"github.com/coder/websocket"
)

// clientError is an error whose audience is the client: its text and code go over the wire. All other errors are
// for the log only.
type clientError struct {
	code  Code
	text  string
	close websocket.StatusCode // 0: the connection goes on
}

func (e *clientError) Error() string { return string(e.code) + ": " + e.text }

// What a client can be refused, each with the code and the close code it gets.
var (
	errRoomFull      = &clientError{code: CodeRoomFull, text: "the room is full"}
	errTooManyRooms  = &clientError{code: CodeTooManyRooms, text: "the server has no place for another room"}
	errNoSuchMember  = &clientError{code: CodeNoSuchMember, text: "no other member of the room has this id"}
	errDraining      = &clientError{CodeServerDraining, "the server is about to stop: try again in a moment", websocket.StatusGoingAway}
	errTooManyJoins  = &clientError{code: CodeRateLimited, text: "too many joins from this address: try again in a second"}
	errTooFast       = &clientError{code: CodeRateLimited, text: "too many messages: some were dropped"}
	errTooManyConns  = &clientError{CodeRateLimited, "too many connections from this address", websocket.StatusTryAgainLater}
	errRemoved       = &clientError{CodeNotAllowed, "this member was removed from the room", CloseKicked}
	errNotJoined     = &clientError{code: CodeNotAllowed, text: "join a room first"}
	errAlreadyJoined = &clientError{code: CodeNotAllowed, text: "this connection is in a room already"}
)

// badMessage is a message that says something wrong; the connection goes on.
func badMessage(format string, args ...any) error {
	return &clientError{code: CodeBadMessage, text: fmt.Sprintf(format, args...)}
}

// malformed is a message that is not one of the protocol at all; the connection ends.
func malformed(format string, args ...any) error {
	return &clientError{CodeBadMessage, fmt.Sprintf(format, args...), CloseBadMessage}
}

// wireError maps any error to what the client is told and the close code, 0 if the connection goes on.
func wireError(err error, request string) (*Error, websocket.StatusCode) {
	var ce *clientError
	if errors.As(err, &ce) {
		return &Error{Code: ce.code, Message: ce.text, Request: request}, ce.close
	}
	return nil, websocket.StatusInternalError
}

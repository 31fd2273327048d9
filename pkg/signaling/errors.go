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

// What Hub.Send reports.
var (
	ErrNoSuchRoom   = errors.New("there is no such room")
	ErrNoSuchMember = errors.New("the room has no such member")
)

// InvalidDataError says what is wrong with data that Hub.Send was given.
type InvalidDataError struct{ Problem string }

func (e *InvalidDataError) Error() string { return e.Problem }

// What a client can be refused, each with the code and the close code it gets.
var (
	errRoomFull      = &clientError{code: CodeRoomFull, text: "the room is full"}
	errDoorCrowded   = &clientError{code: CodeRoomFull, text: "too many wait to be let into the room: try again later"}
	errRoomLocked    = &clientError{code: CodeRoomLocked, text: "the room is locked"}
	errNoPassword    = &clientError{code: CodeWrongPassword, text: "the room has a password"}
	errWrongPassword = &clientError{code: CodeWrongPassword, text: "the room has a password, and it is not this one"}
	errNotWaiting    = &clientError{code: CodeNoSuchMember, text: "nobody with this id waits at the door"}
	errNotModerator  = &clientError{code: CodeNotAllowed, text: "only moderators of the room may do this"}
	errNotAdmitted   = &clientError{code: CodeNotAllowed, text: "wait until a moderator lets you in"}
	errTooManyRooms  = &clientError{code: CodeTooManyRooms, text: "the server has no place for another room"}
	errNoSuchMember  = &clientError{code: CodeNoSuchMember, text: "no other member of the room has this id"}
	errDraining      = &clientError{CodeServerDraining, "the server is about to stop: try again in a moment", websocket.StatusGoingAway}
	errTooManyJoins  = &clientError{code: CodeRateLimited, text: "too many joins from this address: try again in a second"}
	errTooOften      = &clientError{code: CodeRateLimited, text: "what the relay does is told once a second: ask again in a second"}
	errTooFast       = &clientError{code: CodeRateLimited, text: "too many messages: some were dropped"}

	errTooManyPasswords = &clientError{code: CodeRateLimited, text: "too many wrong passwords from this address: try again in a minute"}
	errTooManyTokens    = &clientError{CodeRateLimited, "too many refused tokens from this address: try again in a minute", websocket.StatusTryAgainLater}
	errNoToken          = &clientError{CodeUnauthorized, "only holders of a join token may enter", CloseUnauthorized}
	errBadToken         = &clientError{CodeUnauthorized, "the join token is not valid for this room", CloseUnauthorized}
	errTokenUsed        = &clientError{CodeUnauthorized, "the join token has been used as often as it may be", CloseUnauthorized}
	errTokensFull       = &clientError{code: CodeRateLimited, text: "the server cannot count the uses of another join token: try again later"}
	errTooManyTries     = &clientError{CodeWrongPassword, "too many wrong passwords", CloseUnauthorized}
	errTooManyConns     = &clientError{CodeRateLimited, "too many connections from this address", websocket.StatusTryAgainLater}
	errRemoved          = &clientError{CodeNotAllowed, "this member was removed from the room", CloseKicked}
	errNotJoined        = &clientError{code: CodeNotAllowed, text: "join a room first"}
	errAlreadyJoined    = &clientError{code: CodeNotAllowed, text: "this connection is in a room already"}
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

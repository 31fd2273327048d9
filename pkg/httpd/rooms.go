package httpd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode"
	"unicode/utf8"
)

const (
	maxReason = 128
	// maxMessage leaves room for the other field of the object around data,
	// which itself may have 64 KiB.
	maxMessage = 64<<10 + 1<<10
)

// What Config.Message and Config.MintToken return.
var (
	// ErrNoSuchRoom: nobody is in a room of this name.
	ErrNoSuchRoom = errors.New("no such room")
	// ErrNoSuchMember: the room has no member with this id.
	ErrNoSuchMember = errors.New("no such member")
	// ErrCannotSign: there is no key to sign a join token with.
	ErrCannotSign = errors.New("no key can sign")
)

// InvalidError is returned by them, too: it tells the client what is wrong with
// its request.
type InvalidError struct{ Problem string }

func (e *InvalidError) Error() string { return e.Problem }

// roomMessage is the body of POST /api/v1/rooms/{room}/messages.
type roomMessage struct {
	Data json.RawMessage `json:"data"`
	To   json.RawMessage `json:"to"` // a string; not one, so that null is not taken for everybody
}

const likeMessage = `{"data":{"notice":"five minutes left"},"to":"a member's id, or leave it out for everybody"}`

func (s *Server) listRooms(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"rooms": listOf(s.cfg.Rooms)})
}

func (s *Server) showRoom(w http.ResponseWriter, r *http.Request) {
	room, ok := s.room(r.PathValue("room"))
	if !ok {
		noSuchRoom(w)
		return
	}
	writeJSON(w, room)
}

func (s *Server) room(name string) (room any, ok bool) {
	if s.cfg.Room == nil {
		return nil, false
	}
	return s.cfg.Room(name)
}

func (s *Server) closeRoom(w http.ResponseWriter, r *http.Request) {
	reason, err := reasonOf(r.URL.RawQuery, "the room was closed by the administrator")
	switch {
	case err != nil:
		badRequest(w, err.Error())
	case s.cfg.CloseRoom == nil || !s.cfg.CloseRoom(r.PathValue("room"), reason):
		noSuchRoom(w)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) kick(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	reason, err := reasonOf(r.URL.RawQuery, "removed by the administrator")
	if err != nil {
		badRequest(w, err.Error())
		return
	}
	if s.cfg.Kick != nil && s.cfg.Kick(room, r.PathValue("id"), reason) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if _, ok := s.room(room); !ok {
		noSuchRoom(w)
		return
	}
	noSuchMember(w)
}

// reasonOf is the reason in a query, or usual where there is none.
func reasonOf(query, usual string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("the query cannot be read: %w", err)
	}
	if !values.Has("reason") {
		return usual, nil
	}
	reason := values.Get("reason")
	if n := utf8.RuneCountInString(reason); n == 0 || n > maxReason || !utf8.ValidString(reason) {
		return "", fmt.Errorf("reason must be 1 to %d characters of UTF-8", maxReason)
	}
	for _, c := range reason {
		if !unicode.IsPrint(c) && c != '\u200c' && c != '\u200d' { // the joiners of Persian and of emoji
			return "", errors.New("reason may only have printable characters")
		}
	}
	return reason, nil
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) {
	var body roomMessage
	if !readObject(w, r, maxMessage, likeMessage, &body) {
		return
	}
	if len(body.Data) == 0 {
		badRequest(w, "data is missing: any JSON value, which the members get as it is")
		return
	}
	var to string
	if body.To != nil && (json.Unmarshal(body.To, &to) != nil || to == "") {
		badRequest(w, "to must be a member's id; leave it out for everybody")
		return
	}
	err := ErrNoSuchRoom
	if s.cfg.Message != nil {
		err = s.cfg.Message(r.PathValue("room"), to, body.Data)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// refuse answers with what one of the daemon's functions returned.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var invalid *InvalidError
	switch {
	case errors.Is(err, ErrNoSuchRoom):
		noSuchRoom(w)
	case errors.Is(err, ErrNoSuchMember):
		noSuchMember(w)
	case errors.As(err, &invalid):
		badRequest(w, invalid.Problem)
	case errors.Is(err, ErrCannotSign):
		cannotSign(w)
	default:
		s.log.Error("a request of the server API failed", "route", r.Pattern, "error", err)
		writeProblem(w, http.StatusInternalServerError, "internal", "This failed for a reason that the daemon's log tells.")
	}
}

func noSuchRoom(w http.ResponseWriter) {
	writeProblem(w, http.StatusNotFound, "no_such_room", "Nobody is in a room of this name; GET /api/v1/rooms lists the rooms there are.")
}

func noSuchMember(w http.ResponseWriter) {
	writeProblem(w, http.StatusNotFound, "no_such_member", "This room has no such member; GET /api/v1/rooms lists them.")
}

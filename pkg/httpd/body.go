package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"
)

// errNoBody is a body without anything in it.
var errNoBody = errors.New("the body is empty")

// decodeObject reads one JSON object with no unknown fields and nothing behind
// it; like is an example of one. Its errors are for the client, but for those
// of body itself.
func decodeObject(body io.Reader, like string, into any) error {
	text, err := io.ReadAll(body)
	text = bytes.TrimSpace(text)
	switch {
	case err != nil:
		return err
	case len(text) == 0:
		return errNoBody
	case !utf8.Valid(text):
		return errors.New("the body is not valid UTF-8")
	case text[0] != '{':
		return errors.New("the body must be an object such as " + like)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body is not like %s: %w", like, inWords(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must end after one JSON object")
	}
	return nil
}

// inWords says without Go's types what a field should have been.
func inWords(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too soon")
	case !errors.As(err, &wrong):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	want := "an object"
	switch wrong.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Int64:
		want = "a whole number"
	}
	return fmt.Errorf("%s must be %s, not %s", wrong.Field, want, wrong.Value)
}

// readObject is decodeObject for a body of at most limit bytes. When that
// fails, it answers the request and reports false.
func readObject(w http.ResponseWriter, r *http.Request, limit int64, like string, into any) bool {
	err := decodeObject(http.MaxBytesReader(w, r.Body, limit), like, into)
	if errors.Is(err, errNoBody) {
		err = errors.New("the body must be an object such as " + like)
	}
	if err != nil {
		refuseBody(w, limit, err)
	}
	return err == nil
}

// refuseBody answers what reading a body of at most limit bytes led to.
func refuseBody(w http.ResponseWriter, limit int64, err error) {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		writeProblem(w, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The body may have at most %d bytes.", limit))
		return
	}
	badRequest(w, err.Error())
}

func badRequest(w http.ResponseWriter, detail string) {
	writeProblem(w, http.StatusBadRequest, "bad_request", detail)
}

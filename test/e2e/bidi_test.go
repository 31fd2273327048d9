package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"
)

// bidi is a session of WebDriver BiDi (W3C, "WebDriver BiDi"): commands with a number of their own, answers that carry it, and events.
type bidi struct {
	socket *websocket.Conn
	// event is told of every event, in order, by the goroutine that reads.
	event func(method string, params json.RawMessage)
	ended chan struct{} // closed when nobody reads any more
	err   error         // why, once ended is closed

	mu      sync.Mutex
	number  int
	waiting map[int]chan<- bidiMessage
}

// bidiMessage is what the browser sends: "success" with a result, "error" with a code and words, or "event".
type bidiMessage struct {
	Type    string          `json:"type"`
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// bidiAnswerLimit is the largest message in bytes: a screenshot, or what getStats says.
const bidiAnswerLimit = 64 << 20

// dialBiDi opens a session on a browser that has said "WebDriver BiDi listening on address".
func dialBiDi(ctx context.Context, address string, event func(method string, params json.RawMessage)) (*bidi, error) {
	socket, _, err := websocket.Dial(ctx, address+"/session", nil)
	if err != nil {
		return nil, err
	}
	socket.SetReadLimit(bidiAnswerLimit)
	b := &bidi{socket: socket, event: event, ended: make(chan struct{}), waiting: map[int]chan<- bidiMessage{}}
	go b.read()
	if err := b.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}}, nil); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bidi) read() {
	defer close(b.ended)
	for {
		_, text, err := b.socket.Read(context.Background())
		if err != nil {
			b.err = err
			return
		}
		var message bidiMessage
		if err := json.Unmarshal(text, &message); err != nil {
			b.err = fmt.Errorf("%q: %w", text, err)
			return
		}
		if message.Type == "event" {
			b.event(message.Method, message.Params)
			continue
		}
		b.mu.Lock()
		answer := b.waiting[message.ID]
		delete(b.waiting, message.ID)
		b.mu.Unlock()
		if answer != nil {
			answer <- message
		}
	}
}

// call sends a command and puts its result into result, unless that is nil.
func (b *bidi) call(ctx context.Context, method string, params, result any) error {
	answer := make(chan bidiMessage, 1)
	b.mu.Lock()
	b.number++
	number := b.number
	b.waiting[number] = answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, number)
	}()
	command, err := json.Marshal(map[string]any{"id": number, "method": method, "params": params})
	if err != nil {
		return err
	}
	if err := b.socket.Write(ctx, websocket.MessageText, command); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case message := <-answer:
		if message.Type != "success" {
			return fmt.Errorf("%s: %s: %s", method, message.Error, message.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(message.Result, result)
	case <-b.ended:
		return fmt.Errorf("%s: %w", method, b.err)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// evaluate returns the value of a JavaScript expression, awaited, as JSON. It counts as done by a person, as with a click.
func (b *bidi) evaluate(ctx context.Context, browsingContext, expression string) (json.RawMessage, error) {
	var answer struct {
		Type   string `json:"type"`
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		Exception struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := b.call(ctx, "script.evaluate", map[string]any{
		"expression":     `(async () => JSON.stringify((await (` + expression + `)) ?? null))()`,
		"target":         map[string]any{"context": browsingContext},
		"awaitPromise":   true,
		"userActivation": true,
	}, &answer)
	if err == nil && answer.Type != "success" {
		err = errors.New(answer.Exception.Text)
	}
	return json.RawMessage(answer.Result.Value), err
}

// click presses the main button of the mouse in the middle of the element's visible part.
func (b *bidi) click(ctx context.Context, browsingContext, selector string) error {
	element, err := b.locate(ctx, browsingContext, selector)
	if err != nil {
		return err
	}
	return b.act(ctx, browsingContext, map[string]any{"type": "pointer", "id": "mouse", "actions": []any{
		map[string]any{"type": "pointerMove", "x": 0, "y": 0, "origin": map[string]any{"type": "element", "element": element}},
		map[string]any{"type": "pointerDown", "button": 0},
		map[string]any{"type": "pointerUp", "button": 0},
	}})
}

// locate returns a reference to the first element that matches.
func (b *bidi) locate(ctx context.Context, browsingContext, selector string) (json.RawMessage, error) {
	// Nothing scrolls by itself for an action, other than for a click of WebDriver's older commands.
	if _, err := b.evaluate(ctx, browsingContext, fmt.Sprintf(`document.querySelector(%q)?.scrollIntoView({ block: "nearest" })`, selector)); err != nil {
		return nil, err
	}
	var answer struct {
		Nodes []struct {
			SharedID string `json:"sharedId"`
		} `json:"nodes"`
	}
	err := b.call(ctx, "browsingContext.locateNodes", map[string]any{
		"context": browsingContext, "locator": map[string]any{"type": "css", "value": selector}, "maxNodeCount": 1,
	}, &answer)
	if err == nil && len(answer.Nodes) == 0 {
		err = fmt.Errorf("nothing matches %s", selector)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"sharedId": answer.Nodes[0].SharedID})
}

// typeText presses a key for each character.
func (b *bidi) typeText(ctx context.Context, browsingContext, text string) error {
	var keys []any
	for _, character := range text {
		keys = append(keys, map[string]any{"type": "keyDown", "value": string(character)}, map[string]any{"type": "keyUp", "value": string(character)})
	}
	return b.act(ctx, browsingContext, map[string]any{"type": "key", "id": "keyboard", "actions": keys})
}

func (b *bidi) act(ctx context.Context, browsingContext string, device map[string]any) error {
	return b.call(ctx, "input.performActions", map[string]any{"context": browsingContext, "actions": []any{device}}, nil)
}

// close ends the reading goroutine; the session ends with the browser.
func (b *bidi) close() {
	_ = b.socket.CloseNow() // says only that the other side was faster
	<-b.ended
}

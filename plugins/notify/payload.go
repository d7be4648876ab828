package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk"
)

// colours are those of the levels.
func colours() map[string]int {
	return map[string]int{"info": 0x3b82f6, "success": 0x16a34a, "warning": 0xf59e0b, "error": 0xdc2626}
}

// sign makes the signature of a message as Standard Webhooks has it.
func sign(secret, id, timestamp string, body []byte) (string, error) {
	coded, marked := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(coded)
	if !marked || err != nil || len(key) < 24 || len(key) > 64 {
		return "", errors.New("it is no key of a webhook: whsec_ and the base64 of 24 to 64 bytes")
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + timestamp + ".")) // a hash never fails
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// payload is the message in its format.
func (o *options) payload(c *uniflow.Context) any {
	switch o.Format {
	case "slack":
		return o.slack(c)
	case "discord":
		return o.discord(c)
	}
	return o.webhook(c)
}

// message is the body of a webhook.
type message struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      messageData     `json:"data"`
	Payload   json.RawMessage `json:"payload,omitempty"`
}

type messageData struct {
	Tenant   string         `json:"tenant"`
	Project  string         `json:"project,omitempty"`
	Pipeline string         `json:"pipeline"`
	Run      string         `json:"run"`
	Step     string         `json:"step"`
	Level    string         `json:"level"`
	Title    string         `json:"title,omitempty"`
	Text     string         `json:"text,omitempty"`
	Link     string         `json:"link,omitempty"`
	Fields   map[string]any `json:"fields,omitempty"`
}

func (o *options) webhook(c *uniflow.Context) message {
	kind := o.Type
	if kind == "" {
		kind = "uniflow.notify"
	}
	return message{kind, c.StartedAt.UTC(), messageData{
		c.Tenant, c.Project, c.Pipeline, c.RunID, c.Step, o.Level, o.Title, o.Text, o.Link, o.Fields,
	}, o.Data}
}

// Bounds of the services, in characters: they refuse a message that holds more, so it is cut.
const (
	slackText    = 3000
	slackFields  = 10
	discordText  = 4096
	discordTitle = 256
	discordField = 1024
	discordMost  = 25
)

// slackMessage is what an incoming webhook of Slack, and of what is compatible with it, takes.
type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color  string       `json:"color"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackLine  `json:"text,omitempty"`
	Fields   []slackLine `json:"fields,omitempty"`
	Elements []slackLine `json:"elements,omitempty"`
}

type slackLine struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func (o *options) slack(c *uniflow.Context) slackMessage {
	var blocks []slackBlock
	body := slackEscape(o.Text)
	if o.Title != "" {
		body = strings.TrimSpace("*" + slackEscape(o.Title) + "*\n" + body)
	}
	if o.Link != "" {
		body += "\n<" + slackEscape(o.Link) + ">"
	}
	blocks = append(blocks, slackBlock{Type: "section", Text: &slackLine{"mrkdwn", cut(body, slackText)}})
	var fields []slackLine
	for _, f := range o.facts() {
		if len(fields) < slackFields {
			fields = append(fields, slackLine{"mrkdwn", cut("*"+slackEscape(f.name)+"*\n"+slackEscape(f.value), slackText/2)})
		}
	}
	if len(fields) > 0 {
		blocks = append(blocks, slackBlock{Type: "section", Fields: fields})
	}
	blocks = append(blocks, slackBlock{Type: "context", Elements: []slackLine{{"mrkdwn", slackEscape(origin(c))}}})
	plain := o.Title
	if plain == "" {
		plain = o.Text
	}
	colour := "#" + hex6(colours()[o.Level])
	return slackMessage{cut(slackEscape(plain), slackText), []slackAttachment{{colour, blocks}}}
}

// slackEscape keeps a text from being read as a mention or a link.
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// discordMessage is what a webhook of Discord, and of what is compatible with it, takes.
type discordMessage struct {
	Embeds   []discordEmbed  `json:"embeds"`
	Mentions discordMentions `json:"allowed_mentions"`
}

type discordMentions struct {
	Parse []string `json:"parse"` // empty: nobody is called by what a text holds
}

type discordEmbed struct {
	Title       string        `json:"title,omitempty"`
	Description string        `json:"description,omitempty"`
	URL         string        `json:"url,omitempty"`
	Color       int           `json:"color"`
	Fields      []discordFact `json:"fields,omitempty"`
	Footer      discordFooter `json:"footer"`
}

type discordFact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordFooter struct {
	Text string `json:"text"`
}

func (o *options) discord(c *uniflow.Context) discordMessage {
	embed := discordEmbed{
		Title: cut(o.Title, discordTitle), Description: cut(o.Text, discordText), URL: o.Link,
		Color: colours()[o.Level], Footer: discordFooter{cut(origin(c), discordTitle)},
	}
	for _, f := range o.facts() {
		if f.value == "" {
			f.value = "–" // an empty one is refused
		}
		if len(embed.Fields) < discordMost {
			embed.Fields = append(embed.Fields, discordFact{cut(f.name, discordTitle), cut(f.value, discordField), len(f.value) <= 40})
		}
	}
	return discordMessage{[]discordEmbed{embed}, discordMentions{[]string{}}}
}

// origin says who tells.
func origin(c *uniflow.Context) string {
	return c.Pipeline + " / " + c.Step + ", run " + c.RunID
}

func hex6(n int) string {
	const digits = "0123456789abcdef"
	var out [6]byte
	for i := range out {
		out[5-i] = digits[n>>(4*i)&15]
	}
	return string(out[:])
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

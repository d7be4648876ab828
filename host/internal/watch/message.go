package watch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Message is what a target is told. It holds nothing of contexts, outputs or what a plugin said.
type Message struct {
	// ID is the same for every attempt to deliver the message.
	ID string
	// Type says what a program may go by: incident.opened, incident.recovered or alert.test.
	Type string
	At   time.Time
	// Title is one line, Text the rest.
	Title, Text string
	// Data is the same for programs.
	Data any
}

// incidentMessage is the message of a delivery, as told by a host of a name.
func incidentMessage(d *flow.Delivery, host string) *Message {
	i := &d.Incident
	m := &Message{ID: fmt.Sprintf("msg_%s_%s", i.ID, d.Phase), Type: "incident." + string(d.Phase), At: i.OpenedAt, Title: subjectText(i, host) + ": " + string(i.Condition)}
	rows := [][2]string{{"what", i.Detail}}
	if d.Phase == flow.PhaseRecovered {
		m.At, m.Title = *i.ClosedAt, m.Title+", over"
		rows = [][2]string{{"what", i.Ending}, {"was", i.Detail}}
	}
	rows = append(rows, [][2]string{
		{"pipeline", idOf(i.Tenant, i.Pipeline)}, {"schedule", idOf(i.Tenant, i.Schedule)}, {"run", string(i.Run)}, {"since", stamp(i.Since)},
	}...)
	if i.ClosedAt != nil {
		rows = append(rows, [2]string{"until", stamp(*i.ClosedAt)})
	}
	rows = append(rows, [][2]string{{"host", host}, {"owner", i.Owner}, {"runbook", i.Runbook}, {"next", i.Next}}...)
	m.Text = table(rows)
	m.Data = struct {
		flow.Incident
		Host string `json:"host"`
		Text string `json:"text"`
	}{*i, host, m.Title + "\n" + m.Text}
	return m
}

// testMessage is what is sent to try a target.
func testMessage(target, host string, now time.Time) *Message {
	m := &Message{ID: "msg_" + string(flow.NewRunID(now)), Type: "alert.test", At: now, Title: "test of alert " + target}
	m.Text = table([][2]string{{"what", "somebody asked whether messages arrive here; they do"}, {"host", host}})
	m.Data = struct {
		Alert string `json:"alert"`
		Host  string `json:"host"`
		Text  string `json:"text"`
	}{target, host, m.Title + "\n" + m.Text}
	return m
}

// body is the message as JSON.
func (m *Message) body() ([]byte, error) {
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      any       `json:"data"`
	}{m.Type, m.At.UTC(), m.Data})
}

func subjectText(i *flow.Incident, host string) string {
	switch {
	case i.Schedule != "":
		return idOf(i.Tenant, i.Schedule)
	case i.Pipeline != "":
		return idOf(i.Tenant, i.Pipeline)
	}
	return "host " + host
}

// idOf is an id; "" for no name.
func idOf(tenant, name string) string {
	if name == "" {
		return ""
	}
	return flow.ID(tenant, name)
}

// table writes rows that say something, one a line.
func table(rows [][2]string) string {
	var lines []string
	for _, r := range rows {
		if r[1] != "" {
			lines = append(lines, r[0]+": "+strings.Join(strings.Fields(r[1]), " "))
		}
	}
	return strings.Join(lines, "\n")
}

// nextCommand is what to type first about an incident.
func nextCommand(i *flow.Incident) string {
	schedule, pipeline := idOf(i.Tenant, i.Schedule), idOf(i.Tenant, i.Pipeline)
	switch {
	case i.Condition == flow.ConditionFailed:
		return "uniflow runs show " + string(i.Run)
	case i.Condition == flow.ConditionDisabled:
		return "uniflow schedule enable " + schedule
	case i.Condition == flow.ConditionBroken:
		return "uniflow schedule health"
	case i.Condition == flow.ConditionBehind:
		return "uniflow health"
	case i.Condition == flow.ConditionDrifting, i.Schedule == "":
		return "uniflow runs list --pipeline " + pipeline
	}
	return "uniflow schedule why " + schedule
}

package flow

import "time"

// TopReport is a host at one moment, as `uniflow top` shows it.
type TopReport struct {
	At      time.Time    `json:"at"`
	Host    HostInfo     `json:"host"`
	Tenants []TenantInfo `json:"tenants"`
	// Live are runs that execute, the one that started first before others; Running counts all of them.
	Live    []TopRun `json:"live"`
	Running int      `json:"running"`
	// Next are the schedules that fire next.
	Next []TopSlot `json:"next"`
	// Failed are the last runs that failed, newest first, without their contexts and steps.
	Failed    []RunRecord   `json:"failed"`
	Incidents []Incident    `json:"incidents"`
	Alerts    []AlertHealth `json:"alerts"`
}

// TopRun is a run that executes.
type TopRun struct {
	Run      RunID  `json:"run"`
	Pipeline string `json:"pipeline"` // its id
	// Step and Attempt are what executes; of several, one of them.
	Step    string   `json:"step,omitempty"`
	Attempt int      `json:"attempt,omitempty"`
	Took    Duration `json:"took"`
	// Late is how long after it came due it started; zero for a run that no slot made.
	Late Duration `json:"late,omitempty"`
}

// TopSlot is when a schedule fires next.
type TopSlot struct {
	Schedule string    `json:"schedule"` // its id
	Pipeline string    `json:"pipeline"` // its id
	At       time.Time `json:"at"`
}

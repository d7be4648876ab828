package tool

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// junitSuite is a report in the form that build servers read.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes a report as JUnit XML.
func WriteJUnit(path string, report flow.PluginTests) error {
	suite := junitSuite{Name: "uniflow plugin test", Tests: len(report.Cases)}
	var total float64
	for i := range report.Cases {
		c := &report.Cases[i]
		seconds := c.Duration.Std().Seconds()
		total += seconds
		one := junitCase{Name: c.Name, Class: c.Plugin, File: c.File, Time: fmt.Sprintf("%.6f", seconds)}
		for n := range c.Logs {
			one.Output += logText(&c.Logs[n]) + "\n"
		}
		if !c.OK {
			suite.Failures++
			one.Failure = &junitFailure{Message: fmt.Sprintf("%d differences", len(c.Differences)), Text: DifferencesText(c)}
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = fmt.Sprintf("%.6f", total)
	doc, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(path, append([]byte(xml.Header), append(doc, '\n')...), 0o644); err != nil {
		return &flow.Error{Code: flow.CodeInput, Op: "write " + path, Message: "the report cannot be written", Hint: "name a file in a folder that you may write to", Err: err}
	}
	return nil
}

// DifferencesText is what came otherwise than a case expects, for people.
func DifferencesText(c *flow.PluginCase) string {
	var b strings.Builder
	for _, d := range c.Differences {
		if len(d.Lines) > 0 {
			fmt.Fprintf(&b, "%s differ (- expected, + came):\n", d.What)
			for _, line := range d.Lines {
				fmt.Fprintf(&b, "  %s\n", line)
			}
			continue
		}
		fmt.Fprintf(&b, "%s: expected %s, came %s\n", d.What, shown(d.Want), shown(d.Got))
	}
	return b.String()
}

// shown is a text with its end marked, short ones without quotes.
func shown(text string) string {
	if text != "" && bareKey.MatchString(text) {
		return text
	}
	return tomlText(text)
}

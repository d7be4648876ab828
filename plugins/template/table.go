package main

import (
	"fmt"
	html "html/template"
	"maps"
	"slices"
	"strings"
)

// table writes rows as a table: aligned columns in text, an element in HTML. A column is a member of the rows, or
// "member=Heading"; without any, all members of the first row stand there in the order of their names.
func table(asHTML bool, rows any, columns []string) (any, error) {
	items, err := toList(rows)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 && len(items) > 0 {
		if row, ok := items[0].(map[string]any); ok {
			columns = slices.Sorted(maps.Keys(row))
		}
	}
	names, cells := make([]string, len(columns)), [][]string{make([]string, len(columns))}
	for i, c := range columns {
		name, heading, named := strings.Cut(c, "=")
		if !named {
			heading = name
		}
		names[i], cells[0][i] = name, heading
	}
	right := make([]bool, len(columns)) // columns of numbers
	for i, name := range names {
		right[i] = len(items) > 0
		for _, item := range items {
			row, _ := item.(map[string]any)
			if _, err := toFloat(row[name]); row[name] != nil && err != nil {
				right[i] = false
			}
		}
	}
	for n, item := range items {
		row, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("table: row %d is no object", n+1)
		}
		cells = append(cells, line(row, names))
	}
	if asHTML {
		return element(cells, right), nil
	}
	return aligned(cells, right), nil
}

// line is a row as texts.
func line(row map[string]any, names []string) []string {
	texts := make([]string, len(names))
	for i, name := range names {
		switch v := row[name].(type) {
		case nil:
		case int, float64:
			texts[i], _ = number(v) // it is one
		default:
			texts[i] = strings.Join(strings.Fields(fmt.Sprint(v)), " ")
		}
	}
	return texts
}

// aligned writes columns of one width each.
func aligned(cells [][]string, right []bool) string {
	widths := make([]int, len(right))
	for _, row := range cells {
		for i, text := range row {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	var b strings.Builder
	for _, row := range cells {
		var line strings.Builder
		for i, text := range row {
			fill := strings.Repeat(" ", widths[i]-len([]rune(text)))
			if right[i] {
				line.WriteString(fill + text + "  ")
			} else {
				line.WriteString(text + fill + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// element writes an HTML table, whose texts are escaped.
func element(cells [][]string, right []bool) html.HTML {
	var b strings.Builder
	write := func(tag string, row []string) {
		b.WriteString("<tr>")
		for i, text := range row {
			class := ""
			if right[i] {
				class = ` class="number"`
			}
			b.WriteString("<" + tag + class + ">" + html.HTMLEscapeString(text) + "</" + tag + ">")
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("<table>\n<thead>")
	write("th", cells[0])
	b.WriteString("</thead>\n<tbody>\n")
	for _, row := range cells[1:] {
		write("td", row)
	}
	b.WriteString("</tbody>\n</table>\n")
	return html.HTML(b.String()) //nolint:gosec // every text in it was escaped above
}

package main

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
)

// misread says where a filter cannot be read.
func misread(filter string, err error) error {
	parse, ok := errors.AsType[*gojq.ParseError](err)
	if !ok {
		return first.Wrong("filter: %w", err)
	}
	// The offset is that behind the token.
	return mistake(filter, parse.Offset-len(parse.Token), parse.Error())
}

// uncompiled says where a filter names what is not there: the first place of the name, which is what the compiler knows.
func uncompiled(filter string, err error) error {
	name := regexp.MustCompile(`(\$?[A-Za-z_][A-Za-z0-9_:]*)(/\d+)?$`).FindStringSubmatch(err.Error())
	if name == nil {
		return first.Wrong("filter: %w", err)
	}
	found := regexp.MustCompile(`(^|[^A-Za-z0-9_.$])` + regexp.QuoteMeta(name[1]) + `($|[^A-Za-z0-9_])`).FindStringSubmatchIndex(filter)
	if found == nil {
		return first.Wrong("filter: %w", err)
	}
	return mistake(filter, found[3], err.Error())
}

// mistake points at an offset of a filter.
func mistake(filter string, offset int, message string) error {
	offset = min(max(offset, 0), len(filter))
	before := filter[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	text, _, _ := strings.Cut(filter[start:], "\n")
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(filter[start:offset]) + 1
	// A long line is shown around the mistake.
	const shown = 60
	if from := offset - start - shown/2; from > 0 && len(text) > shown {
		text = "…" + strings.ToValidUTF8(text[from:], "")
	}
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	return first.Wrong("filter, line %d, column %d: %s, in %s", line, column, message, text)
}

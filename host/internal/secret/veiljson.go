package secret

import (
	"bytes"
	"encoding/json"
	"strings"
)

// JSON returns a JSON document without secrets in its texts, names and numbers, however they are escaped. What holds none
// stays as it is, byte by byte; a number that is a secret becomes a text.
func (v *Veil) JSON(doc json.RawMessage) json.RawMessage {
	forms := v.load()
	if forms == nil {
		return doc
	}
	var b bytes.Buffer
	for at := 0; at < len(doc); {
		end := at + 1
		switch c := doc[at]; {
		case c == '"':
			end = at + textEnd(doc[at:])
			b.Write(maskedText(doc[at:end], forms))
		case c == '-' || c >= '0' && c <= '9':
			for end < len(doc) && strings.IndexByte("0123456789+-.eE", doc[end]) >= 0 {
				end++
			}
			b.Write(maskedNumber(doc[at:end], forms))
		default:
			b.WriteByte(c)
		}
		at = end
	}
	return b.Bytes()
}

// textEnd returns the length of the JSON string that a document begins with.
func textEnd(doc []byte) int {
	for i := 1; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(doc)
}

func maskedText(quoted []byte, forms *forms) []byte {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return quoted // no JSON, which others refuse
	}
	spans := forms.find(text)
	if len(spans) == 0 {
		return quoted
	}
	return quote(masked(text, spans))
}

func maskedNumber(digits []byte, forms *forms) []byte {
	if spans := forms.find(string(digits)); len(spans) > 0 {
		return quote(masked(string(digits), spans))
	}
	return digits
}

func quote(text string) []byte {
	doc, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`)
	}
	return doc
}

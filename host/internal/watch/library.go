package watch

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// library is what we use of the notification library: it finds the service of a URL, and the service sends. The
// library's own way of sending starts goroutines in which a panic would end the host.
type library struct{}

// titled are the services that take a title apart from the text.
func titled() []string {
	return []string{"bark", "discord", "gotify", "join", "ntfy", "pushbullet", "pushover", "slack", "smtp", "teams"}
}

func (library) send(text string, m *Message) error {
	scheme, _, _ := strings.Cut(text, ":")
	scheme, _, _ = strings.Cut(strings.ToLower(scheme), "+")
	if !slices.Contains(flow.AlertSchemes(), scheme) {
		return fmt.Errorf("no service is called %q", scheme)
	}
	var r router.ServiceRouter
	service, err := r.Locate(text)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("its url is not one of %s: %w", scheme, err)
	}
	params := types.Params{}
	body := m.Title + "\n" + m.Text
	if slices.Contains(titled(), scheme) {
		params.SetTitle(m.Title)
		body = m.Text
	}
	return service.Send(body, &params)
}

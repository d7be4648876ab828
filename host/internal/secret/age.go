package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Where the identities of the host are, for sources that name none: a path in a variable, or a credential of the service.
const (
	identityVariable   = "UNIFLOW_AGE_IDENTITY"
	identityCredential = credentials + "/age-identity"
)

// Bounds of what one reading of an age file may cost: a file that is for more readers, or identities that are more, would
// be tried against each other for a long time.
const (
	maxAge        = 2 << 20 // an encrypted file of maxFile, armored
	maxIdentities = 64 << 10
	mostTried     = 32
)

// decrypted reads the age file of the source with the identities of the host, each time anew, so that a new file and a new
// identity hold at once. What the library says of a file is not told: it cites the file, which may be one that somebody
// forgot to encrypt.
func (s Source) decrypted(name string) ([]byte, error) {
	identities, err := s.identities(name)
	if err != nil {
		return nil, err
	}
	content, err := s.bounded(name, s.at, maxAge)
	if err != nil {
		return nil, err
	}
	var file io.Reader = bytes.NewReader(content)
	if bytes.HasPrefix(bytes.TrimSpace(content), []byte(armor.Header)) {
		file = armor.NewReader(file)
	}
	plain, err := age.Decrypt(file, identities...)
	if err != nil {
		return nil, s.fault(name, s.why(err), nil)
	}
	text, err := io.ReadAll(io.LimitReader(plain, maxFile+1))
	switch {
	case err != nil:
		return nil, s.fault(name, s.at+" is damaged", nil)
	case len(text) > maxFile:
		return nil, s.fault(name, fmt.Sprintf("what %s holds has more than %d bytes", s.at, maxFile), nil)
	}
	return text, nil
}

// why says what is wrong with an age file, in words of ours.
func (s Source) why(err error) string {
	mismatch, ok := errors.AsType[*age.NoIdentityMatchError](err)
	switch {
	case ok && slices.Contains(mismatch.StanzaTypes, "scrypt"):
		return s.at + " is encrypted with a passphrase, which a host cannot be asked for: encrypt it for an identity"
	case ok:
		return s.at + " is not encrypted for the identity of the host"
	case errors.Is(err, errTooMany):
		return fmt.Sprintf("%s is encrypted for more than %d readers", s.at, mostTried)
	}
	return s.at + " is no age file, or is damaged"
}

// identities reads what the file is decrypted with.
func (s Source) identities(name string) ([]age.Identity, error) {
	written := s.identity
	if written == "" {
		written = os.Getenv(identityVariable)
	}
	if written == "" && os.Getenv(credentials[1:]) != "" {
		written = identityCredential
	}
	if written == "" {
		return nil, s.fault(name, "there is no identity to decrypt "+s.at+" with: name its file with ?identity=PATH, or in "+identityVariable, nil)
	}
	content, err := s.bounded(name, written, maxIdentities)
	if err != nil {
		return nil, err
	}
	parsed, err := age.ParseIdentities(bytes.NewReader(content))
	if err != nil {
		return nil, s.fault(name, written+" is no file of age identities, as age-keygen writes it", nil)
	}
	if len(parsed) > mostTried {
		return nil, s.fault(name, fmt.Sprintf("%s has more than %d identities", written, mostTried), nil)
	}
	for i := range parsed {
		parsed[i] = patient{parsed[i]}
	}
	return parsed, nil
}

var errTooMany = errors.New("too many readers")

// patient is an identity that is not tried against more readers than a file needs.
type patient struct{ age.Identity }

// Unwrap implements age.Identity.
func (p patient) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) > mostTried {
		return nil, errTooMany
	}
	return p.Identity.Unwrap(stanzas)
}

package supply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"aead.dev/minisign"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// SignatureSuffix is the end of the name of a signature's file, which stands beside the file that is signed.
const SignatureSuffix = ".minisig"

// maxSignature bounds the file of a signature.
const maxSignature = 8 << 10

// ParseKey reads a minisign public key: its text alone, or the file with its comment.
func ParseKey(text string) (minisign.PublicKey, error) {
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return key, &flow.Error{Code: flow.CodeSignature, Op: "read a key", Message: fmt.Sprintf("%.80q is no minisign public key", text), Hint: "give the second line of the file minisign.pub: it begins with RW"}
	}
	return key, nil
}

// Verify checks a minisign signature of bytes, its trusted comment included, and returns the public key of who signed:
// one of the keys. All else is an error with CodeSignature.
func Verify(b, signature []byte, keys []string) (string, error) {
	return verify(signature, keys, func(key minisign.PublicKey) bool { return minisign.Verify(key, b, signature) })
}

// verify finds the key that a signature names, and asks whether it signed.
func verify(text []byte, keys []string, signed func(minisign.PublicKey) bool) (string, error) {
	fail := func(hint, format string, args ...any) error {
		return &flow.Error{Code: flow.CodeSignature, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	var signature minisign.Signature
	if len(text) > maxSignature || signature.UnmarshalText(text) != nil {
		return "", fail("sign the file again: minisign -S -m FILE", "its signature is not one of minisign")
	}
	for _, k := range keys {
		key, err := ParseKey(k)
		if err != nil {
			return "", err
		}
		if key.ID() != signature.KeyID {
			continue
		}
		if !signed(key) {
			return "", fail("take the file and its signature from the same place again", "its bytes are not those that key %s signed, or the trusted comment is another", keyID(key.ID()))
		}
		return key.String(), nil
	}
	return "", fail("take it from somebody whose key is trusted, or add the key of who signed it to `keys`", "it is signed by key %s, which is not among those that are trusted", keyID(signature.KeyID))
}

// keyID writes a key's number as minisign does.
func keyID(id uint64) string {
	return strings.ToUpper(fmt.Sprintf("%016s", strconv.FormatUint(id, 16)))
}

// errUnsigned is that a signature is asked for and there is none.
func errUnsigned(name string) error {
	return &flow.Error{Code: flow.CodeSignature, Message: "it is not signed: there is no " + name, Hint: "sign it: minisign -S -m FILE; or take it with its signature: uniflow plugin add"}
}

// Verify checks the signature that stands beside a file, and returns the public key of who signed. What is verified is
// what has the digest: the bytes are read once for both.
func (f *Folder) Verify(name string, digest flow.Digest, keys []string) (string, error) {
	signer, err := f.verify(name, digest, keys)
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Op == "" {
		own := *e
		own.Op = "plugin file " + name
		return "", &own
	}
	return signer, err
}

func (f *Folder) verify(name string, digest flow.Digest, keys []string) (string, error) {
	signature, err := f.Text(name+SignatureSuffix, maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errUnsigned(name + SignatureSuffix)
	}
	if err != nil {
		return "", &flow.Error{Code: flow.CodeSignature, Message: "its signature cannot be read", Hint: "sign it again: minisign -S -m FILE", Err: err}
	}
	file, _, err := f.open(name, maxPlugin)
	if err != nil {
		return "", err
	}
	defer file.Close()
	// The older form of signatures is one of all bytes, not of their hash.
	var parsed minisign.Signature
	if parsed.UnmarshalText(signature) == nil && parsed.Algorithm == minisign.EdDSA {
		b, err := io.ReadAll(io.LimitReader(file, maxModule))
		if err != nil || flow.DigestOf(b) != digest {
			return "", changed(err)
		}
		return Verify(b, signature, keys)
	}
	sum, hashed := sha256.New(), minisign.NewReader(file)
	if _, err := io.Copy(sum, hashed); err != nil || flow.Digest("sha256:"+hex.EncodeToString(sum.Sum(nil))) != digest {
		return "", changed(err)
	}
	return verify(signature, keys, func(key minisign.PublicKey) bool { return hashed.Verify(key, signature) })
}

func changed(err error) error {
	return &flow.Error{Code: flow.CodeSignature, Message: "it cannot be read as a whole, or it changed while it was read", Hint: "try again; a file of more than " + flow.Size(maxModule).String() + " needs a signature of the newer form: minisign -S -H -m FILE", Err: err}
}

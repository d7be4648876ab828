package supply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxManifest = 1 << 20
	wasmLayer   = "application/wasm"
	wasmArch    = "wasm"
)

// registry takes a module from a registry. A tag is resolved once: all that follows is asked for by digest, and is held
// against it.
func (f Fetcher) registry(ctx context.Context, name string) (Fetched, error) {
	ref, err := registry.ParseReference(name)
	if err != nil || ref.Reference == "" {
		return Fetched{}, &flow.Error{Code: flow.CodeDownload, Message: "the reference is not oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:…", Hint: "give a tag or a digest", Err: err}
	}
	repo, err := f.repository(ref)
	if err != nil {
		return Fetched{}, err
	}
	top, err := repo.Resolve(ctx, ref.Reference)
	if err != nil {
		return Fetched{}, fmt.Errorf("resolve %s: %w", ref.Reference, absent(err))
	}
	manifest, err := artifact(ctx, repo, top)
	if err != nil {
		return Fetched{}, err
	}
	module, signature, err := layers(manifest)
	if err != nil {
		return Fetched{}, err
	}
	got := Fetched{From: "oci://" + ref.Registry + "/" + ref.Repository, Name: path.Base(ref.Repository)}
	if ref.ValidateReferenceAsDigest() != nil {
		got.From += ":" + ref.Reference
	}
	got.From += "@" + top.Digest.String()
	if got.Bytes, err = pull(ctx, repo.Blobs(), *module, maxModule); err != nil {
		return got, err
	}
	if f.Signed && signature != nil {
		got.Signature, err = pull(ctx, repo.Blobs(), *signature, maxSignature)
	}
	return got, err
}

func (f Fetcher) repository(ref registry.Reference) (*remote.Repository, error) {
	host := ref.Registry
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	client := &auth.Client{Client: f.client(), Cache: auth.NewCache(), Header: http.Header{"User-Agent": {"uniflow"}}}
	if f.Credentials != "" {
		store, err := credentials.NewStore(f.Credentials, credentials.StoreOptions{})
		if err != nil {
			return nil, &flow.Error{Code: flow.CodeDownload, Message: "the credentials cannot be read", Hint: "DOCKER_CONFIG names the folder of a config.json", Err: err}
		}
		client.Credential = credentials.Credential(store)
	}
	return &remote.Repository{Client: client, Reference: ref, PlainHTTP: f.PlainHTTP || isLoopback(strings.Trim(host, "[]")), MaxMetadataBytes: maxManifest}, nil
}

// artifact reads the manifest of a module, which an index for several platforms may name.
func artifact(ctx context.Context, repo *remote.Repository, top ocispec.Descriptor) (*ocispec.Manifest, error) {
	for range 2 { // an index names manifests, no other index
		b, err := pull(ctx, repo.Manifests(), top, maxManifest)
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		if err := json.Unmarshal(b, &index); err != nil {
			return nil, fmt.Errorf("read the manifest: %w", err)
		}
		if len(index.Manifests) == 0 {
			var manifest ocispec.Manifest
			if err := json.Unmarshal(b, &manifest); err != nil {
				return nil, fmt.Errorf("read the manifest: %w", err)
			}
			return &manifest, nil
		}
		fits := slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Platform == nil || d.Platform.Architecture != wasmArch })
		if len(fits) != 1 {
			return nil, &flow.Error{Code: flow.CodeDownload, Message: fmt.Sprintf("the index has %d manifests for the architecture wasm, expected one", len(fits)), Hint: "name the one by its digest: oci://HOST/REPOSITORY@sha256:…"}
		}
		top = fits[0]
	}
	return nil, &flow.Error{Code: flow.CodeDownload, Message: "an index leads to another index", Hint: "name the module's manifest by its digest: oci://HOST/REPOSITORY@sha256:…"}
}

// layers finds the module, which is the layer of its type or the only one, and a signature, which is told by its name.
func layers(m *ocispec.Manifest) (module, signature *ocispec.Descriptor, err error) {
	var modules, others []*ocispec.Descriptor
	for i := range m.Layers {
		switch l := &m.Layers[i]; {
		case strings.HasSuffix(l.Annotations[ocispec.AnnotationTitle], SignatureSuffix):
			signature = l
		case l.MediaType == wasmLayer:
			modules = append(modules, l)
		default:
			others = append(others, l)
		}
	}
	if len(modules) == 0 {
		modules = others
	}
	if len(modules) != 1 {
		return nil, nil, &flow.Error{Code: flow.CodeDownload, Message: fmt.Sprintf("the artifact has %d layers that may be the module, expected one", len(modules)), Hint: "push it as one layer of type " + wasmLayer}
	}
	return modules[0], signature, nil
}

// pull reads what a descriptor names, whole, and holds it against the descriptor's size and digest.
func pull(ctx context.Context, from content.Fetcher, d ocispec.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit || d.Size < 0 {
		return nil, errLarge(limit)
	}
	if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
		return nil, &flow.Error{Code: flow.CodeDownload, Message: fmt.Sprintf("%.100q is no digest of SHA-256", d.Digest), Hint: "push the artifact again"}
	}
	b, err := content.FetchAll(ctx, from, d)
	if err != nil {
		return nil, fmt.Errorf("take %s: %w", flow.Digest(d.Digest).Short(), absent(err))
	}
	return b, nil
}

// absent keeps the words of a registry that has not what is asked for out of an error.
func absent(err error) error {
	if errors.Is(err, errdef.ErrNotFound) {
		return errMissing
	}
	return err
}

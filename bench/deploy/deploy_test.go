// Package deploy holds the files that `uniflow service render` makes, and the configuration of releases, against those who
// read them: systemd, BuildKit's parser, the schema of Compose, Helm's engine, the types of Kubernetes, and GoReleaser's
// configuration. It is a module of its own, so that the program carries none of them. Run it with make deploy-check.
package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/goreleaser/goreleaser/v2/pkg/config"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"sigs.k8s.io/yaml"
)

// binary is the program that is asked for files; make builds it.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "uniflow"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: make build", err)
	}
	return path
}

// render makes service files and returns the folder that holds them.
func render(t *testing.T, kind string, flags ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), kind)
	out, err := exec.Command(binary(t), append([]string{"service", "render", kind, "--out", dir}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("render %s: %v\n%s", kind, err, out)
	}
	return dir
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// mostExposed is how much of the machine the unit may leave open, by systemd's own judgement, which goes from 0 to 10.
const mostExposed = 2.5

// Promise: systemd reads every line of the unit, and calls it a well protected service.
func TestSystemdTakesTheUnit(t *testing.T) {
	t.Parallel()
	unit := filepath.Join(render(t, "systemd", "--binary", binary(t), "--folder", t.TempDir(), "--credential", "age-identity"), "uniflow.service")
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for uniflow\.service: (\d+\.\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no level of exposure:\n%s", out)
	}
	if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > mostExposed {
		t.Errorf("the exposure of the unit is %s, at most %.1f is wanted:\n%s", found[1], mostExposed, out)
	}
	// What is wrong is found: else the silence above says nothing.
	broken := filepath.Join(t.TempDir(), "uniflow.service")
	if err := os.WriteFile(broken, bytes.Replace(read(t, unit), []byte("ProtectSystem=strict"), []byte("ProtectSystems=strict"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command("systemd-analyze", "verify", "--man=no", broken).CombinedOutput(); !bytes.Contains(out, []byte("ProtectSystems")) {
		t.Errorf("systemd-analyze verify finds no mistake:\n%s", out)
	}
}

// Promise: the Dockerfile is one for BuildKit, too.
func TestBuildKitReadsTheDockerfile(t *testing.T) {
	t.Parallel()
	parsed, err := parser.Parse(bytes.NewReader(read(t, filepath.Join(render(t, "docker"), "Dockerfile"))))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil || len(stages) != 1 || len(parsed.Warnings) > 0 {
		t.Fatalf("%d stages, warnings %v, %v", len(stages), parsed.Warnings, err)
	}
	checks := 0
	for _, c := range stages[0].Commands {
		if h, ok := c.(*instructions.HealthCheckCommand); ok {
			checks++
			if strings.Join(h.Health.Test, " ") != "CMD /usr/local/bin/uniflow health --live" {
				t.Errorf("the health check is %q", h.Health.Test)
			}
		}
	}
	if checks != 1 {
		t.Errorf("%d health checks", checks)
	}
}

// Promise: the Compose file is one by Compose's own schema, and asks for no right.
func TestComposeFileIsOne(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	text := read(t, filepath.Join(render(t, "compose", "--credential", "TOKEN"), "compose.yaml"))
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	service := doc["services"].(map[string]any)["uniflow"].(map[string]any)
	for key, want := range map[string]string{"read_only": "true", "cap_drop": "[ALL]", "security_opt": "[no-new-privileges:true]", "user": "65532:65532", "secrets": "[TOKEN]"} {
		if got := fmt.Sprint(service[key]); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	for _, key := range []string{"privileged", "cap_add", "devices", "network_mode", "ports"} {
		if _, ok := service[key]; ok {
			t.Errorf("the service asks for %s", key)
		}
	}
	service["privilegd"] = true
	if schema.Validate(doc) == nil {
		t.Error("the schema finds no mistake")
	}
}

// Promise: GoReleaser knows every key of the configuration of releases, which makes static programs that are signed and
// listed.
func TestReleasesAreConfigured(t *testing.T) {
	t.Parallel()
	text := read(t, filepath.Join("..", "..", ".goreleaser.yml"))
	c, err := config.LoadReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Builds) != 1 || strings.Join(c.Builds[0].Env, " ") != "CGO_ENABLED=0" || c.Builds[0].Main != "./cmd/uniflow" {
		t.Errorf("builds: %+v", c.Builds)
	}
	if len(c.Signs) == 0 || len(c.SBOMs) == 0 || c.Checksum.NameTemplate == "" {
		t.Error("releases are not signed, or have no checksums or no list of what is in them")
	}
	if _, err := config.LoadReader(strings.NewReader(string(text) + "\nbuild:\n  - x\n")); err == nil {
		t.Error("no mistake is found")
	}
}

package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// kinds are the types of Kubernetes that the files may have.
func kinds() map[string]func() any {
	return map[string]func() any{
		"v1 ServiceAccount":                  func() any { return new(core.ServiceAccount) },
		"v1 Service":                         func() any { return new(core.Service) },
		"v1 PersistentVolumeClaim":           func() any { return new(core.PersistentVolumeClaim) },
		"apps/v1 StatefulSet":                func() any { return new(apps.StatefulSet) },
		"batch/v1 CronJob":                   func() any { return new(batch.CronJob) },
		"networking.k8s.io/v1 NetworkPolicy": func() any { return new(networking.NetworkPolicy) },
	}
}

// decode reads documents strictly: a key that the type does not have is an error.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	found := map[string]any{}
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if head.Kind == "" {
			continue // comments alone
		}
		make := kinds()[head.APIVersion+" "+head.Kind]
		if make == nil {
			t.Fatalf("%s %s is none of the kinds that are looked at", head.APIVersion, head.Kind)
		}
		object := make()
		if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
			t.Errorf("%s: %v\n%s", head.Kind, err, doc)
		}
		found[head.Kind] = object
	}
	return found
}

// restricted demands what the strictest standard for pods demands, and no way into the cluster.
func restricted(t *testing.T, pod core.PodSpec) {
	t.Helper()
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	switch {
	case p == nil || c == nil || len(pod.Containers) != 1:
		t.Fatal("no security context, or several containers")
	case p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.RunAsUser == nil || *p.RunAsUser == 0:
		t.Error("it may run as root")
	case p.SeccompProfile == nil || p.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		t.Error("no seccomp profile")
	case c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem:
		t.Error("it may gain rights, or write to its image")
	case c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) || len(c.Capabilities.Add) > 0:
		t.Error("it has capabilities")
	case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.HostNetwork || pod.HostPID:
		t.Error("it has a token of the cluster, or the node's network or processes")
	case pod.TerminationGracePeriodSeconds == nil || *pod.TerminationGracePeriodSeconds <= 30:
		t.Error("it is killed while it drains")
	}
	named := map[string]bool{}
	for _, v := range pod.Volumes {
		named[v.Name] = true
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !named[m.Name] && m.Name != "data" {
			t.Errorf("no volume %q", m.Name)
		}
	}
}

// chartFiles renders the chart as helm install does, and returns all documents.
func chartFiles(t *testing.T, dir string, values map[string]any) (string, error) {
	t.Helper()
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "flows", Namespace: "default", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(files[name]) != "" {
			out.WriteString(files[name] + "\n---\n")
		}
	}
	return out.String(), nil
}

var _ *chart.Chart // what the loader loads

// Promise: with its own values and with all that can be set, the chart gives Kubernetes what its types have, one host with
// one volume and no right; values that it does not know are refused.
func TestChartGivesOneConfinedHost(t *testing.T) {
	t.Parallel()
	dir := render(t, "helm", "--image", "registry.example.com/flows:1")
	full := map[string]any{
		"secrets": map[string]any{"existingSecret": "keys"}, "api": map[string]any{"tokenSecret": "token"},
		"persistence":  map[string]any{"size": "1Gi", "storageClass": "fast"},
		"nodeSelector": map[string]any{"disk": "ssd"}, "tolerations": []any{map[string]any{"key": "x", "operator": "Exists"}},
		"networkPolicy": map[string]any{"enabled": true, "from": []any{map[string]any{"podSelector": map[string]any{}}}},
	}
	for name, values := range map[string]map[string]any{"own": nil, "full": full} {
		text, err := chartFiles(t, dir, values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := decode(t, text)
		set, ok := found["StatefulSet"].(*apps.StatefulSet)
		if !ok || len(found) != 4 {
			t.Fatalf("%s: %d kinds:\n%s", name, len(found), text)
		}
		restricted(t, set.Spec.Template.Spec)
		c := set.Spec.Template.Spec.Containers[0]
		if *set.Spec.Replicas != 1 || len(set.Spec.VolumeClaimTemplates) != 1 || c.Image != "registry.example.com/flows:1" {
			t.Errorf("%s: %d hosts, %d volumes, image %s", name, *set.Spec.Replicas, len(set.Spec.VolumeClaimTemplates), c.Image)
		}
		for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			if http := p.HTTPGet; (http != nil) != (name == "full") || http != nil && http.Path != "/healthz" || http == nil && p.Exec == nil {
				t.Errorf("%s: probe %+v", name, p)
			}
		}
		selector := found["Service"].(*core.Service).Spec.Selector
		if !maps.Equal(selector, set.Spec.Selector.MatchLabels) || set.Spec.ServiceName != found["Service"].(*core.Service).Name {
			t.Errorf("%s: the service does not find its pod", name)
		}
		for k, v := range selector {
			if set.Spec.Template.Labels[k] != v {
				t.Errorf("%s: the pod has no label %s", name, k)
			}
		}
	}
	if _, err := chartFiles(t, dir, map[string]any{"replicas": 2}); err == nil {
		t.Error("a value that the chart does not know passes")
	}
	wrong := strings.Replace(must(chartFiles(t, dir, nil)), "serviceName:", "servicName:", 1)
	if yaml.UnmarshalStrict([]byte(wrong[strings.Index(wrong, "apiVersion: apps/v1"):]), new(apps.StatefulSet)) == nil {
		t.Error("no mistake is found")
	}
}

func must(text string, _ error) string { return text }

// Promise: the CronJob is one, runs the pipeline that was named, never twice at a time and never again by itself.
func TestCronJobRunsOnePipelineOnce(t *testing.T) {
	t.Parallel()
	dir := render(t, "cronjob", "--pipeline", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
	found := decode(t, string(read(t, filepath.Join(dir, "cronjob.yaml"))))
	job, ok := found["CronJob"].(*batch.CronJob)
	if !ok || len(found) != 3 {
		t.Fatalf("%d kinds", len(found))
	}
	pod := job.Spec.JobTemplate.Spec.Template.Spec
	restricted(t, pod)
	if job.Spec.ConcurrencyPolicy != batch.ForbidConcurrent || *job.Spec.JobTemplate.Spec.BackoffLimit != 0 || pod.RestartPolicy != core.RestartPolicyNever {
		t.Errorf("it may run twice: %+v", job.Spec)
	}
	args, _ := json.Marshal(pod.Containers[0].Args)
	if !bytes.Equal(args, []byte(`["run","nightly","--json"]`)) || job.Spec.Schedule != "30 2 * * *" || *job.Spec.TimeZone != "Europe/Berlin" {
		t.Errorf("it runs %s at %s in %s", args, job.Spec.Schedule, *job.Spec.TimeZone)
	}
}

{{- define "uniflow.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "uniflow.selector" -}}
app.kubernetes.io/name: uniflow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "uniflow.labels" -}}
{{ include "uniflow.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

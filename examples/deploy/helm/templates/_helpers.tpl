{{- define "postern.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "postern.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "postern.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "postern.configMap" -}}
{{- if and .Values.config.files .Values.config.existingConfigMap }}{{ fail "config: files or existingConfigMap, not both" }}{{ end -}}
{{- if .Values.config.existingConfigMap }}{{ .Values.config.existingConfigMap }}
{{- else if hasKey .Values.config.files "gateway.config.ts" }}{{ include "postern.name" . }}
{{- else }}{{ fail "config: there is none; --set-file 'config.files.gateway\\.config\\.ts=gateway.config.ts', or config.existingConfigMap" }}{{ end }}
{{- end }}

{{/* A rule of a NetworkPolicy: from or to whom, and by which port. */}}
{{- define "postern.rule" -}}
- ports: [{ port: {{ .port }}, protocol: TCP }]
{{- with .peers }}
  {{ $.way }}:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

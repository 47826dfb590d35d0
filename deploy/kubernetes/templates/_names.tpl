{{- define "tiercel.name" -}}
{{- if contains "tiercel" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-tiercel{{ end -}}
{{- end }}

{{- define "tiercel.secret" -}}
{{ .Values.existingSecret | default (include "tiercel.name" .) }}
{{- end }}

{{- define "tiercel.claim" -}}
{{ .Values.storage.local.existingClaim | default (printf "%s-files" (include "tiercel.name" .)) }}
{{- end }}

{{- define "tiercel.labels" -}}
app.kubernetes.io/name: tiercel
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "tiercel.selector" -}}
app.kubernetes.io/name: tiercel
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- /* The settings that all processes read: the chart's own choices, under what `settings` says. */ -}}
{{- define "tiercel.settings" -}}
{{- $own := dict "queue" (dict "type" .Values.queue.type) "storage" (dict "type" .Values.storage.type) }}
{{- if eq .Values.queue.type "kafka" }}
{{- $_ := set $own "kafka" (dict "bootstrap-servers" (required "kafka.bootstrapServers is needed: the queue is on Kafka" .Values.kafka.bootstrapServers)) }}
{{- end }}
{{- if eq .Values.storage.type "s3" }}
{{- $s3 := dict "bucket" .Values.storage.s3.bucket }}
{{- if .Values.storage.s3.endpoint }}{{- $_ := set $s3 "endpoint" .Values.storage.s3.endpoint }}{{- end }}
{{- $_ := set $own.storage "s3" $s3 }}
{{- else }}
{{- $_ := set $own.storage "local" (dict "base-path" "/srv/tiercel") }}
{{- end }}
{{- $_ := set $own "server" (dict "termination-grace" (printf "%ds" (int .Values.terminationGraceSeconds))) }}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.settings)) }}
{{- end }}

{{- /* Which keys of the secret a process gets: on Kafka a worker has no database. */ -}}
{{- define "tiercel.secretEnvironment" -}}
{{- $keys := dict "TIERCEL_STORAGE_S3_ACCESS_KEY" "s3-access-key" "TIERCEL_STORAGE_S3_SECRET_KEY" "s3-secret-key" "TIERCEL_ENCRYPTION_SECRET_KEY" "encryption-secret-key" }}
{{- if ne .root.Values.storage.type "s3" }}{{- $keys = pick $keys "TIERCEL_ENCRYPTION_SECRET_KEY" }}{{- end }}
{{- if not (and (eq .name "worker") (eq .root.Values.queue.type "kafka")) }}
{{- $_ := set $keys "TIERCEL_POSTGRES_URL" "postgres-url" }}
{{- if ne .name "worker" }}{{- $_ := set $keys "TIERCEL_REPOSITORY_URL" "repository-url" }}{{- end }}
{{- end }}
{{- if eq .name "webserver" }}
{{- $_ := set $keys "TIERCEL_SERVER_BASIC_AUTH_USERNAME" "basic-auth-username" }}
{{- $_ := set $keys "TIERCEL_SERVER_BASIC_AUTH_PASSWORD" "basic-auth-password" }}
{{- end }}
{{- range $variable, $key := $keys }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tiercel.secret" $.root }}
      key: {{ $key }}
      optional: {{ ne $key "postgres-url" }}
{{- end }}
{{- end }}

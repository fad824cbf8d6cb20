{{/* Of all objects: the release's name, which is enough where it contains the chart's. */}}
{{- define "stowage.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "stowage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stowage.labels" -}}
{{ include "stowage.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "stowage.secret" -}}
{{ .Values.secret.existing | default (include "stowage.name" .) }}
{{- end }}

{{- define "stowage.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ include "stowage.name" . }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* Whether another pod than the first may not use the volume. */}}
{{- define "stowage.oneNode" -}}
{{- if and .Values.persistence.enabled (ne .Values.persistence.accessMode "ReadWriteMany") }}true{{ end }}
{{- end }}

{{- define "stowage.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end }}
{{- end }}

{{/* Fails where the values together make no sense. */}}
{{- define "stowage.check" -}}
{{- $bucket := "" }}
{{- range $name, $value := .Values.settings }}
  {{- if regexMatch "^REGISTRY_STORAGE_(S3|SCS)_BUCKET$" $name }}{{ $bucket = $name }}{{ end }}
  {{- if regexMatch "^REGISTRY_HTTP_(ADDR|NET|DRAINTIMEOUT|DEBUG_ADDR|TLS_CERTIFICATE|TLS_KEY)$" $name }}
    {{- fail (printf "settings.%s is set by the chart; remove it" $name) }}
  {{- end }}
  {{- if regexMatch "(SECRET|_PREVIOUS|ACCESSKEY|SECRETKEY|SESSIONTOKEN|HTPASSWD_CONTENT|HEALTH_HTTP(_.+)?|BACKEND_MYSQL|NOTIFICATIONS_ENDPOINTS(_.+)?|PROXY_PASSWORD|PROXY_UPSTREAMS(_.+)?)$" $name }}
    {{- fail (printf "settings.%s is secret; move it to secret.values" $name) }}
  {{- end }}
{{- end }}
{{- if and (hasKey .Values.settings "REGISTRY_HTTP_TLS_CLIENTCAS") (ne (get .Values.settings "REGISTRY_HTTP_TLS_CLIENTAUTH") "verify-client-cert-if-given") }}
  {{- fail "the probes of Kubernetes show no client certificate, so no pod would become ready; set settings.REGISTRY_HTTP_TLS_CLIENTAUTH=verify-client-cert-if-given" }}
{{- end }}
{{- if and .Values.persistence.enabled $bucket }}
  {{- fail (printf "settings.%s names a bucket, which needs no volume; set persistence.enabled=false" $bucket) }}
{{- end }}
{{- if not (or .Values.persistence.enabled $bucket) }}
  {{- fail "without a volume, images would be lost with the pod; set persistence.enabled=true, or name a bucket in settings.REGISTRY_STORAGE_S3_BUCKET or settings.REGISTRY_STORAGE_SCS_BUCKET" }}
{{- end }}
{{- if and (include "stowage.oneNode" .) (include "stowage.several" .) }}
  {{- fail (printf "a volume with persistence.accessMode=%s takes one replica; set replicas=1 and autoscaling.enabled=false, or use ReadWriteMany or a bucket" .Values.persistence.accessMode) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
  {{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" }}
{{- end }}
{{- if and .Values.secret.existing .Values.secret.values }}
  {{- fail "secret.values has no effect beside secret.existing; remove one of them" }}
{{- end }}
{{- if and .Values.metrics.podMonitor (not .Values.metrics.enabled) }}
  {{- fail "metrics.podMonitor needs metrics.enabled=true" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
  {{- fail "ingress.host is missing" }}
{{- end }}
{{- end }}

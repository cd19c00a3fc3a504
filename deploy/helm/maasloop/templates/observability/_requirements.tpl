{{- define "maasloop.requireObservability" -}}
{{- if and .Values.observability.rules.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail "observability.rules.enabled=true: the cluster has no Prometheus operator (monitoring.coreos.com/v1); install it first, or switch it off" -}}
{{- end -}}
{{- end -}}

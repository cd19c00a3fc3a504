{{- /*
Labels. Selectors are name, instance and component, and never change in the life of a release; every object has them,
and version, part and manager beside them. An access label reads as a sentence: a pod with
maasloop.io/access-consent: "true" may call consent, says consent's network policy.
*/ -}}

{{- define "maasloop.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ include "maasloop.component" . }}
{{- end -}}

{{- define "maasloop.labels" -}}
{{ include "maasloop.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: maasloop
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "maasloop.metadata" -}}
name: {{ include "maasloop.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "maasloop.labels" . | nindent 2 }}
{{- end -}}

{{- define "maasloop.access" -}}
{{- range include "maasloop.neighbours" . | fromJsonArray }}
maasloop.io/access-{{ kebabcase . }}: "true"
{{- end }}
{{- end -}}

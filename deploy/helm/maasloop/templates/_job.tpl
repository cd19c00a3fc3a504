{{- /*
Jobs before an install and an upgrade. Hooks run before any other object of the release exists, so a job brings all that
it needs as variables, and its own network policy, a hook of lower weight. Called with (dict "root" $ "component" "…"
"suffix" "…" "values" …): the block of values with limits and resources. Helm deletes them when they have succeeded; a
failed one stays, to be read. Where the release has servers of its own, jobs are plain ones (_embedded.tpl), in the order of
maasloop.io/step, and try again until what they need is there.
*/ -}}

{{- define "maasloop.jobMetadata" -}}
{{- $plain := include "maasloop.embedded" .root }}
name: {{ printf "%s-%s" (include "maasloop.fullname" .root) .suffix }}{{ if and $plain .step }}-{{ .root.Release.Revision }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "maasloop.jobLabels" . | nindent 2 }}
{{- if not $plain }}
annotations:
  helm.sh/hook: {{ .hook | default "pre-install,pre-upgrade" }}
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- else if .step }}
annotations:
  maasloop.io/step: {{ .step | quote }}
{{- end }}
{{- end -}}

{{- define "maasloop.jobLabels" -}}
{{- include "maasloop.labels" (dict "root" .root "key" .component) -}}
{{- end -}}

{{- define "maasloop.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "maasloop.jobMetadata" (merge (dict "weight" (.weight | default "0") "step" (.step | default "2")) .) | nindent 2 }}
spec:
  backoffLimit: {{ .values.backoffLimit }}
  activeDeadlineSeconds: {{ .values.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "maasloop.jobLabels" . | nindent 8 }}
    spec:
      restartPolicy: Never
      {{- include "maasloop.podSecurity" .root | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "maasloop.image" (dict "root" .root "image" .image) }}
          imagePullPolicy: {{ .image.pullPolicy }}
          command: {{ .command | toJson }}
          {{- include "maasloop.containerSecurity" . | nindent 10 }}
          env:
            {{- .variables | nindent 12 }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- range .secrets }}
            - name: {{ .name }}
              mountPath: {{ .path }}
              readOnly: true
            {{- end }}
      volumes:
        {{- range .secrets }}
        - name: {{ .name }}
          secret:
            secretName: {{ .secret }}
            defaultMode: 0440
            {{- with .publicKeys }}
            optional: true
            items:
              {{- range . }}
              - {key: {{ . }}, path: {{ . }}}
              {{- end }}
            {{- end }}
        {{- end }}
        {{- include "maasloop.temporaryFiles" . | nindent 8 }}
{{- end -}}

{{- /* With "natsPorts" and "postgres" besides, for what the job may reach. */ -}}
{{- define "maasloop.jobNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "maasloop.jobMetadata" (merge (dict "weight" "-10") .) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "maasloop.selector" (dict "root" .root "key" .component) | nindent 6 }}
  policyTypes: ["Ingress", "Egress"]
  egress:
    {{- include "maasloop.egressToServers" . | nindent 4 }}
{{- end -}}

{{- /*
Pods. Everything that runs for us runs under the restricted pod security standard: as a number that is not root, with
no capability, no escalation, the default seccomp profile, a root file system that cannot be written, an empty folder
for temporary files, and no token of the Kubernetes API. Services, migrations and the streams job share these parts.
*/ -}}

{{- define "maasloop.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "maasloop.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
{{- end -}}

{{- define "maasloop.temporaryFiles" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{- define "maasloop.postgresVariable" -}}
- name: {{ include "maasloop.variable" . }}POSTGRES_DSN
  valueFrom:
    secretKeyRef:
      name: {{ (index .root.Values .key).existingSecret }}
      key: postgres-dsn
{{- end -}}

{{- /* Each pod writes the partition of its ordinal. */ -}}
{{- define "maasloop.partitionVariable" -}}
{{- if include "maasloop.partitioned" . -}}
- name: {{ include "maasloop.variable" . }}PARTITION
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
{{- end -}}
{{- end -}}

{{- /* Variables by name: a string, or a source. */ -}}
{{- define "maasloop.extraVariables" -}}
{{- range $name, $value := (index .root.Values .key).extraEnv }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  valueFrom:
    {{- toYaml $value | nindent 4 }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}

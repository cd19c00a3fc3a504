{{- /*
Network policies. A policy that selects a pod denies all that it does not list, so each service's policy is its default
deny and its exceptions in one: in, callers with the access label and the peers of allowFrom; out, names, NATS,
PostgreSQL, the neighbours it calls, and what its settings name (traces, mail, the identity provider). A rule without peers allows every
address on its ports, which is why nats.peers and postgres.peers should be set where they are known. Probes come from
the node, which network policies let pass.
*/ -}}

{{- define "maasloop.networkPolicy" -}}
{{- $values := index .root.Values .key -}}
{{- if and $values.enabled $values.networkPolicy.enabled -}}
{{- $ports := include "maasloop.ports" . | fromJson -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "maasloop.selector" . | nindent 6 }}
  policyTypes: ["Ingress", "Egress"]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              maasloop.io/access-{{ include "maasloop.component" . }}: "true"
        {{- with $values.networkPolicy.allowFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- range $name, $_ := omit $ports "health" "rsmp" }}
        - port: {{ $name }}
        {{- end }}
    {{- if hasKey $ports "rsmp" }}
    - ports:
        - port: rsmp
      {{- with .root.Values.rsmp.from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- with $values.networkPolicy.metricsFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - port: health
    {{- end }}
  egress:
    {{- $natsUrl := include "maasloop.setting" (merge (dict "setting" "nats_url") .) }}
    {{- include "maasloop.egressToServers" (dict "root" .root "natsPorts" (include "maasloop.natsPorts" $natsUrl | fromJsonArray) "postgres" true) | nindent 4 }}
    {{- range list "maasloop.egressToNeighbours" "maasloop.egressBySettings" }}
    {{- with include . $ | trim }}{{ . | nindent 4 }}{{ end }}
    {{- end }}
    {{- with $values.networkPolicy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}

{{- /* Names, NATS and PostgreSQL, for (dict "root" $ "natsPorts" … "postgres" true). */ -}}
{{- define "maasloop.egressToServers" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- with .natsPorts }}
- ports:
    {{- range . }}
    - port: {{ . }}
    {{- end }}
  {{- with $.root.Values.nats.peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if .postgres }}
- ports:
    - port: {{ .root.Values.postgres.port }}
  {{- with .root.Values.postgres.peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "maasloop.egressToNeighbours" -}}
{{- range $neighbour := include "maasloop.neighbours" . | fromJsonArray }}
{{- $address := include "maasloop.setting" (dict "root" $.root "key" $.key "setting" (printf "%s_address" (snakecase $neighbour))) }}
- ports:
    - port: {{ include "maasloop.portOf" $address }}
  {{- if (index $.root.Values $neighbour).enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "maasloop.selector" (dict "root" $.root "key" $neighbour) | nindent 10 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "maasloop.egressBySettings" -}}
{{- $settings := include "maasloop.settings" . | fromJson }}
{{- with $settings.otlp_endpoint }}
- ports:
    - port: {{ regexFind ":[0-9]+" . | trimPrefix ":" | default "4317" }}
{{- end }}
{{- with $settings.certificate_nats_url }}
- ports:
    - port: {{ regexFind ":[0-9]+$" . | trimPrefix ":" | default "4222" }}
{{- end }}
{{- with ($settings.access | default dict).provider_issuer }}
- ports:
    - port: {{ regexFind ":[0-9]+" (trimPrefix "https://" .) | trimPrefix ":" | default "443" }}
{{- end }}
{{- if hasKey (include "maasloop.schema" . | fromJson).properties "smtp_port" }}
- ports:
    - port: {{ include "maasloop.setting" (merge (dict "setting" "smtp_port") .) }}
{{- end }}
{{- end -}}

{{- /*
What cannot be right fails here, each with a sentence that says what to change. What has the wrong form has already been
refused by values.schema.json. requirements.yaml calls this first; nothing else in the chart fails.
*/ -}}

{{- define "maasloop.requirements" -}}
{{- range $key := include "maasloop.services" . | fromJsonArray -}}
{{- if (index $.Values $key).enabled -}}
{{- $service := dict "root" $ "key" $key -}}
{{- include "maasloop.requireListeners" $service -}}
{{- include "maasloop.requireNeighbours" $service -}}
{{- include "maasloop.requirePods" $service -}}
{{- include "maasloop.requireVariables" $service -}}
{{- include "maasloop.requireImage" (dict "name" (printf "%s.image" $key) "image" (index $.Values $key).image) -}}
{{- end -}}
{{- end -}}
{{- include "maasloop.requireEmbedded" . -}}
{{- include "maasloop.requireCertManager" . -}}
{{- include "maasloop.requireProvider" . -}}
{{- if .Values.streams.enabled -}}
{{- if not .Values.streams.natsSecret -}}
{{- fail "streams.natsSecret is empty, so NATS would not let the job in: name a Secret with ensure.creds, ensure-devices.creds and ca.crt" -}}
{{- end -}}
{{- include "maasloop.requireImage" (dict "name" "streams.image" "image" .Values.streams.image) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireCertManager" -}}
{{- if .Values.certManager.enabled -}}
{{- if not .Values.certManager.issuerRef.name -}}
{{- fail "certManager.issuerRef.name is empty, so nobody would sign the certificates: name an Issuer or a ClusterIssuer" -}}
{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "cert-manager.io/v1") -}}
{{- fail "certManager.enabled=true: the cluster has no cert-manager (cert-manager.io/v1); install it first, or make the Secrets yourself" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireProvider" -}}
{{- $known := false -}}
{{- range $key := include "maasloop.enabledServices" . | fromJsonArray -}}
{{- with (include "maasloop.accessSettings" (dict "root" $ "key" $key) | fromJson).provider_issuer -}}
{{- $known = true -}}
{{- if not (hasPrefix "https://" .) -}}
{{- fail (printf "%s: settings.access.provider_issuer=%s would bring keys over an open line; take an https:// address" $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "grantsConfigMap" "providerCaConfigMap" -}}
{{- if and (index $.Values.access $name) (not $known) -}}
{{- fail (printf "access.%s is for people of an identity provider, and no service knows one: set settings.access.provider_issuer, or leave it empty" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireEmbedded" -}}
{{- range $server := list "nats" "postgres" -}}
{{- $embedded := (index $.Values $server).embedded -}}
{{- if and $embedded.enabled (gt (int $embedded.replicas) 1) -}}
{{- fail (printf "%s.embedded.replicas=%d: the chart's own server is one, for a laptop and for tests; take a chart or an operator that knows how to run several" $server (int $embedded.replicas)) -}}
{{- end -}}
{{- if and $embedded.enabled (not $embedded.secret) -}}
{{- fail (printf "%s.embedded.secret is empty, so it would let nobody in: name the Secret that `maasloop cluster-secrets` made" $server) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.nats.embedded.enabled (gt (int .Values.streams.replicas) 1) -}}
{{- fail (printf "streams.replicas=%d: the chart's own NATS is one server; set it to 1, or nats.embedded.enabled=false and nats.url to a cluster" (int .Values.streams.replicas)) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireListeners" -}}
{{- $settings := include "maasloop.settings" . | fromJson -}}
{{- if not (index .root.Values .key).tlsSecret -}}
{{- fail (printf "%s.tlsSecret is empty, so nobody could be identified: name a Secret with tls.crt, tls.key and ca.crt" .key) -}}
{{- end -}}
{{- if not (index .root.Values .key).natsSecret -}}
{{- fail (printf "%s.natsSecret is empty, so NATS would not let it in: name a Secret with user.creds and ca.crt" .key) -}}
{{- end -}}
{{- if not (index .root.Values .key).keysSecret -}}
{{- fail (printf "%s.keysSecret is empty, so nothing could be signed: name a Secret with the keys of this service and pseudonyms.key" .key) -}}
{{- end -}}
{{- range $name := list "grpc" "public_grpc" "health" "http" "rsmp" -}}
{{- with index $settings (printf "%s_address" $name) -}}
{{- if or (regexMatch "^(127\\.|localhost:|\\[::1\\])" .) (not (regexMatch ":[1-9][0-9]*$" .)) -}}
{{- fail (printf "%s.settings.%s_address=%s: nobody outside the pod could reach it; take 0.0.0.0 and a port that is not 0" $.key $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $numbers := include "maasloop.ports" . | fromJson | values -}}
{{- if ne (len $numbers) (len (uniq $numbers)) -}}
{{- fail (printf "%s.settings: two listeners have the same port; give each address a port of its own" .key) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireNeighbours" -}}
{{- range $neighbour := include "maasloop.neighbours" . | fromJsonArray -}}
{{- $setting := printf "%s_address" (snakecase $neighbour) -}}
{{- if not (or (index $.root.Values $neighbour).enabled (hasKey (index $.root.Values $.key).settings $setting)) -}}
{{- fail (printf "%s needs %s, which is not enabled: enable it, or set %s.settings.%s to where it runs" $.key $neighbour $.key $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requirePods" -}}
{{- $values := index .root.Values .key -}}
{{- if include "maasloop.stateful" . -}}
{{- if include "maasloop.partitioned" . -}}
{{- include "maasloop.requirePartitions" . -}}
{{- else if gt (int $values.replicas) 1 -}}
{{- fail (printf "%s.replicas=%d: it has one partition, so a second pod would have nothing to do; leave it at 1" .key (int $values.replicas)) -}}
{{- end -}}
{{- if include "maasloop.autoscaled" . -}}
{{- fail (printf "%s.autoscaling: its pods are partitions, and only you change their number; switch it off" .key) -}}
{{- end -}}
{{- end -}}
{{- include "maasloop.requireLag" . -}}
{{- if and (include "maasloop.autoscaled" .) (gt (int $values.autoscaling.min) (int $values.autoscaling.max)) -}}
{{- fail (printf "%s.autoscaling: min is larger than max; swap them" .key) -}}
{{- end -}}
{{- if and $values.pdb.enabled (eq (empty (toString $values.pdb.minAvailable)) (empty (toString $values.pdb.maxUnavailable))) -}}
{{- fail (printf "%s.pdb: set either minAvailable or maxUnavailable, and leave the other empty" .key) -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled (not (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail (printf "%s.serviceMonitor.enabled=true: the cluster has no Prometheus operator (monitoring.coreos.com/v1); install it first, or switch it off" .key) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireLag" -}}
{{- $autoscaling := (index .root.Values .key).autoscaling -}}
{{- if $autoscaling.lag.enabled -}}
{{- if $autoscaling.enabled -}}
{{- fail (printf "%s.autoscaling: both enabled and lag.enabled, so two would decide on the number of pods; take one" .key) -}}
{{- end -}}
{{- if not (and $autoscaling.lag.stream $autoscaling.lag.consumer .root.Values.nats.monitoringEndpoint .root.Values.nats.account) -}}
{{- fail (printf "%s.autoscaling.lag: KEDA would not know what to read; set its stream and consumer, and nats.monitoringEndpoint and nats.account" .key) -}}
{{- end -}}
{{- if not (.root.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
{{- fail (printf "%s.autoscaling.lag.enabled=true: the cluster has no KEDA (keda.sh/v1alpha1); install it first, or scale by CPU" .key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requirePartitions" -}}
{{- $pods := int (index .root.Values .key).replicas -}}
{{- $most := int (include "maasloop.schema" . | fromJson).properties.partitions.maximum -}}
{{- $told := int (include "maasloop.settings" . | fromJson).partitions -}}
{{- if gt $pods $most -}}
{{- fail (printf "%s.replicas=%d: each pod writes a partition, and there are at most %d" .key $pods $most) -}}
{{- end -}}
{{- if ne $told $pods -}}
{{- fail (printf "%s.settings.partitions=%d: each of its %d pods writes a partition; leave the setting out, and change %s.replicas" .key $told $pods .key) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireVariables" -}}
{{- $prefix := include "maasloop.variable" . -}}
{{- range $name, $_ := (index .root.Values .key).extraEnv -}}
{{- if has $name (list (printf "%sSETTINGS_FILE" $prefix) (printf "%sPOSTGRES_DSN" $prefix) (printf "%sPARTITION" $prefix)) -}}
{{- fail (printf "%s.extraEnv.%s: the chart sets it; use %s.settings or %s.existingSecret" $.key $name $.key $.key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireImage" -}}
{{- if eq .image.tag "latest" -}}
{{- fail (printf "%s.tag=latest names another image every day; name a version or a digest" .name) -}}
{{- end -}}
{{- end -}}

{{- define "maasloop.requireObservability" -}}
{{- if and .Values.observability.rules.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail "observability.rules.enabled=true: the cluster has no Prometheus operator (monitoring.coreos.com/v1); install it first, or switch it off" -}}
{{- end -}}
{{- end -}}

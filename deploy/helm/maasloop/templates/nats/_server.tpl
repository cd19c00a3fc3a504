{{- /*
The embedded NATS: one server that acknowledges what is on the disk. Who may enter is in the Secret, as `maasloop identities`
made it, and included by a path that is relative to the configuration, as NATS takes no other.
*/ -}}

{{- define "maasloop.natsFiles" -}}
nats.conf: |
  server_name: "nats-0"
  listen: "0.0.0.0:4222"
  http: "0.0.0.0:8222"
  max_payload: 8388608
  max_control_line: 16384
  jetstream {
    store_dir: "/data"
    sync_interval: always
    max_file_store: {{ int64 .Values.nats.embedded.fileStoreBytes }}
    max_memory_store: 67108864
  }
  mqtt {
    listen: "0.0.0.0:1883"
    js_api_timeout: "60s"
    tls { cert_file: "/run/maasloop/nats/tls.crt", key_file: "/run/maasloop/nats/tls.key", timeout: 10 }
  }
  tls { cert_file: "/run/maasloop/nats/tls.crt", key_file: "/run/maasloop/nats/tls.key", timeout: 10 }
  authorization { timeout: 2 }
  include "../../run/maasloop/nats/nats-identities.conf"
{{- end -}}

{{- define "maasloop.natsProcess" -}}
command: ["nats-server", "-c", "/etc/nats/nats.conf"]
env:
  # What Go's collector keeps the memory below.
  - {name: GOMEMLIMIT, value: "160MiB"}
ports:
  - {name: nats, containerPort: 4222}
  - {name: mqtt, containerPort: 1883}
  - {name: monitor, containerPort: 8222}
startupProbe:
  httpGet: {path: /healthz, port: monitor}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: {path: "/healthz?js-enabled-only=true", port: monitor}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: "/healthz?js-server-only=true", port: monitor}
  periodSeconds: 5
{{- end -}}

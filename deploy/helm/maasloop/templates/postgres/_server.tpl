{{- /*
The embedded PostgreSQL: durable, small, in by password only. The image makes an empty cluster at its first start, whose
superuser has the password of the Secret; the database job does the rest.
*/ -}}

{{- define "maasloop.postgresFiles" -}}
pg_hba.conf: |
  host all all all scram-sha-256
postgresql.conf: |
  listen_addresses = '*'
  unix_socket_directories = ''
  hba_file = '/etc/postgres/pg_hba.conf'
  password_encryption = 'scram-sha-256'
  shared_preload_libraries = 'timescaledb'
  timescaledb.telemetry_level = 'off'
  timescaledb.max_background_workers = 0
  max_connections = 120
  shared_buffers = '96MB'
  work_mem = '8MB'
  maintenance_work_mem = '64MB'
  max_wal_size = '1GB'
  max_locks_per_transaction = 256
  max_wal_senders = 0
  jit = off
  timezone = 'UTC'
  log_timezone = 'UTC'
{{- end -}}

{{- define "maasloop.postgresProcess" -}}
args: ["-c", "config_file=/etc/postgres/postgresql.conf"]
env:
  - {name: PGDATA, value: /data/pg}
ports:
  - {name: postgres, containerPort: 5432}
startupProbe:
  tcpSocket: {port: postgres}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  tcpSocket: {port: postgres}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  tcpSocket: {port: postgres}
  periodSeconds: 5
{{- end -}}

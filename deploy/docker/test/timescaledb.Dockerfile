# PostgreSQL with TimescaleDB for laptops and tests, of Debian's packages. Never published. SIGINT is the fast shutdown: it
# ends the sessions and writes a checkpoint. What each installation makes anew goes: a key for examples, a cache of inodes.
ARG BASE=debian:trixie-slim

FROM ${BASE}
RUN mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/maasloop.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-17-timescaledb \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/log/* /etc/ssl/private/* \
    && find /etc/ssl/certs '(' -name ssl-cert-snakeoil.pem -o -lname ssl-cert-snakeoil.pem ')' -delete \
    && echo 'maasloop:x:10001:10001::/data:/usr/sbin/nologin' >> /etc/passwd
COPY start-postgres /usr/local/bin/start-postgres
ENV PGDATA=/data/pg
USER 10001:10001
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/start-postgres"]

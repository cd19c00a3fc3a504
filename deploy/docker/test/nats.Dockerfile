# NATS for laptops and tests: the server of the wheel that the lock file names, and nothing else. Never published.
FROM scratch
COPY --chmod=0755 nats-server /usr/bin/nats-server
ENV PATH=/usr/bin
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/nats-server"]

"""Record two readings over gRPC and read the newest back. Needs only the package maasloop-api."""

import sys
import time
from pathlib import Path

import grpc

from maasloop.api.observation.v1 import (
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    observation_pb2,
    series_service_pb2,
    series_service_pb2_grpc,
)

ingest_address, timeseries_address, certificates = sys.argv[1:]
authority, key, certificate = (
    Path(certificates, name).read_bytes() for name in ("ca.crt", "operator.key", "operator.crt")
)
credentials = grpc.ssl_channel_credentials(authority, key, certificate)
now_us = time.time_ns() // 1_000_000 * 1_000
columns = observation_pb2.ObservationColumns(
    dictionary=observation_pb2.SeriesDictionary(devices=["air-pier", "air-park"], observed_properties=["pm25"]),
    device_index=[0, 1],
    property_index=[0, 0],
    event_time_us=[now_us, now_us],
    value=[8.5, 6.25],
)
with grpc.secure_channel(ingest_address, credentials) as channel:
    request = ingest_service_pb2.RecordObservationsRequest(parent="districts/delfshaven", observations=columns)
    answer = ingest_service_pb2_grpc.IngestServiceStub(channel).RecordObservations(request, timeout=10)
print(f"accepted {answer.accepted_count}, refused {answer.refused_count}")
time.sleep(1)
with grpc.secure_channel(timeseries_address, credentials) as channel:
    selection = series_service_pb2.SeriesSelection(parent="districts/delfshaven", observed_properties=["pm25"])
    request = series_service_pb2.ListLatestObservationsRequest(selection=selection)
    for seen in (
        series_service_pb2_grpc.SeriesServiceStub(channel).ListLatestObservations(request, timeout=10).observations
    ):
        print(f"{seen.device}: {seen.value}")

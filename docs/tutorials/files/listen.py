"""Hear the readings of one district and print those of one device. Needs nats-py, numpy and protobuf's stubs."""

import asyncio
import ssl
import sys

import nats
import numpy as np

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded


async def main(url: str, credentials: str, authority: str, wanted: str, count: int) -> None:
    """Print ``count`` readings of the device ``wanted``."""
    trusted = ssl.create_default_context(cafile=authority)
    link = await nats.connect(url, user_credentials=credentials, tls=trusted)
    heard = await link.subscribe("maasloop.observation.recorded.v1.delfshaven.*")
    while count > 0:
        batch = ObservationsRecorded.FromString((await heard.next_msg(timeout=30)).data).observations
        devices = np.array(batch.dictionary.devices)[np.array(batch.device_index, int)]
        for row in np.flatnonzero(devices == wanted):
            name = batch.dictionary.observed_properties[batch.property_index[row]]
            print(f"{name} {batch.value[row]}", flush=True)
            count -= 1
    await link.close()


asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))

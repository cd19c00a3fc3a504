"""Uplinks of LoRaWAN devices are in custody from their PUBACK on, whoever is killed then."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiomqtt
import grpc
import pytest

from maasloop.api.device.v1.device_pb2 import CayenneLpp, CayenneLppMapping, Device, DeviceType, UplinkCodec
from maasloop.api.device.v1.device_service_pb2 import CreateDeviceRequest, CreateDeviceTypeRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.core.clock import to_us

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

EUI = "70b3d57ed0051234"
TOPIC = f"application/0f0b2c1e/device/{EUI}/event/up"
LOAD_S = 1.0
AT_ONCE = 20


async def _register(city: "City") -> None:
    async with city.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        mapping = CayenneLppMapping(channel=1, type=103, observed_property="observedProperties/temperature")
        kind = DeviceType(
            display_name="Probe",
            observed_properties=["observedProperties/temperature"],
            uplink_codec=UplinkCodec(cayenne_lpp=CayenneLpp(mappings=[mapping])),
        )
        device = Device(device_type="deviceTypes/probe", external_ids=[f"lorawan:{EUI}"])
        with suppress(grpc.aio.AioRpcError):  # An earlier test made both.
            await registry.CreateDeviceType(CreateDeviceTypeRequest(device_type_id="probe", device_type=kind))
            await registry.CreateDevice(
                CreateDeviceRequest(parent=city.parent, device_id="probe", device=device, activate=True)
            )


class _Sender:
    """A network server that publishes uplinks, a second apart, and notes which ones got a PUBACK."""

    def __init__(self) -> None:
        self.acknowledged: set[tuple[str, str, int]] = set()
        self._moment = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
        self._count = 0

    async def send_until_broken(self, client: aiomqtt.Client, stop: asyncio.Event) -> None:
        """Publish one uplink after the other."""
        while not stop.is_set():
            self._count += 1
            moment = self._moment + timedelta(milliseconds=self._count)
            event = {
                "time": moment.isoformat(),
                "deviceInfo": {"devEui": EUI},
                "fCnt": self._count,
                "fPort": 1,
                "data": "AWcBEA==",
            }
            try:
                await client.publish(TOPIC, json.dumps(event), qos=1, timeout=2.0)
            except aiomqtt.MqttError:
                return
            self.acknowledged.add(("probe", "temperature", to_us(moment)))


@pytest.mark.parametrize("victim", ["ingest", "nats"])
async def test_every_uplink_with_a_puback_is_a_row(shared_city: "City", victim: str) -> None:
    """Kill -9 of ingest or the broker while uplinks arrive: every one whose PUBACK arrived is a row, once."""
    await _register(shared_city)
    sender, stop = _Sender(), asyncio.Event()
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="chirpstack", timeout=2.0) as client:
        sending = [asyncio.create_task(sender.send_until_broken(client, stop)) for _ in range(AT_ONCE)]
        await asyncio.sleep(LOAD_S)
        if victim == "nats":
            shared_city.stack.nats.kill9()
        else:
            shared_city.stack.services["ingest"].kill9()
            await asyncio.sleep(LOAD_S)
            stop.set()
        await asyncio.gather(*sending)
        if victim == "nats":
            # The client keeps why it lost its broker until somebody asks, and complains at the end if nobody did.
            with pytest.raises(aiomqtt.MqttError):
                await anext(client.messages)
    if victim == "nats":
        shared_city.stack.nats.start()
    else:
        shared_city.stack.services["ingest"].start()
        await shared_city.stack.wait_ready("ingest")

    assert sender.acknowledged
    await shared_city.until_stored(*sender.acknowledged)
    await shared_city.settled()

"""A command line in this process, and services for it to talk to."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from maasloop.cli.calling import COMMANDS, DEVICES, INGEST, NOTIFICATION, POLICIES, SERIES
from maasloop.cli.main import run
from maasloop.rpc.server import RpcServer

DOORS = (COMMANDS, DEVICES, INGEST, NOTIFICATION, POLICIES, SERIES)


@dataclass
class Ended:
    """What a command printed and how it ended."""

    status: int
    out: str
    error: str


type Maasloop = Callable[..., Ended]


@pytest.fixture(name="maasloop")
def _maasloop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Maasloop:
    def maasloop(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["maasloop", *arguments])
        capsys.readouterr()  # What the servers of the test have logged is not the command's.
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return maasloop


@dataclass
class Contract:
    """Every service that is not the test's matter: records requests and gives the answers that a test lays down."""

    address: str = ""
    answers: dict[str, list[Message] | Exception] = field(default_factory=dict)
    """By method: the answers in order, of which the last one is repeated."""
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def options(self) -> list[str]:
        """Return options that send a command line here."""
        services = {door.service for door in DOORS}
        return [part for service in services for part in ("--address", f"{service}={self.address}")]

    def answer(self, method: str, request: Any) -> Message:
        """Record a request and return its answer."""
        copy = type(request)()
        copy.CopyFrom(request)
        self.requests.append((method, copy))
        answers = self.answers[method]
        if isinstance(answers, Exception):
            raise answers
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture(name="contract")
def _contract() -> Iterator[Contract]:
    contract = Contract()
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        server = RpcServer("127.0.0.1:0")
        for door in DOORS:
            server.registrar.add_registered_method_handlers(*_handlers(door.module, contract))
        await server.start()
        contract.address = server.address
        started.set()
        await asyncio.to_thread(ended.wait)
        await server.stop(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(10)
    yield contract
    ended.set()
    thread.join()


def _handlers(module: str, contract: Contract) -> tuple[str, dict[str, Any]]:
    messages = import_module(module.removesuffix("_grpc"))
    (service,) = messages.DESCRIPTOR.services_by_name.values()
    return service.full_name, {method.name: _method(method, contract) for method in service.methods}


def _method(method: Any, contract: Contract) -> Any:
    request = GetMessageClass(method.input_type)

    async def unary(asked: Any, _context: Any) -> Message:
        return contract.answer(method.name, asked)

    async def stream(asked: Any, _context: Any) -> Any:
        yield contract.answer(method.name, asked)

    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, request.FromString, _serialized)
    return grpc.unary_unary_rpc_method_handler(unary, request.FromString, _serialized)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()

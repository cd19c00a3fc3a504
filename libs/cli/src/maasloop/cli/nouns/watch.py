"""``maasloop watch SUBJECT``: hear the bus, decoded."""

import asyncio
import json
from typing import Annotated, Any

import typer

from maasloop.cli.calling import bus, running
from maasloop.cli.printing import Json, print_json, say

PACKAGES = ("command", "consent", "device", "notification", "observation")


def watch(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="A subject, with * and > for what does not matter; quote it.")],
    count: Annotated[int, typer.Option(min=0, help="End after this many messages; 0 = never.")] = 0,
    as_json: Json = False,
) -> None:
    """Print every message of a subject as it is published, until Ctrl-C."""
    words = subject.split(".")
    if not all(words) or any(each.isspace() for each in subject) or ">" in words[:-1]:
        message = f"a subject is words with dots between, > at its end at most; got {subject!r}"
        raise typer.BadParameter(message)
    running(_watch(context, subject, count, as_json=as_json))


async def _watch(context: typer.Context, subject: str, count: int, *, as_json: bool) -> None:
    ended = asyncio.Event()
    heard = 0

    async def hear(message: Any) -> None:
        nonlocal heard
        if ended.is_set():
            return
        heard += 1
        tell(message.subject, message.headers or {}, message.data, as_json=as_json)
        if heard == count:
            ended.set()

    async with bus(context) as connected:
        await connected.listen(subject, hear)
        await ended.wait()


def tell(subject: str, headers: dict[str, str], body: bytes, *, as_json: bool) -> None:
    """Print a message."""
    content = decoded(headers.get("ce-type", ""), subject, body)
    if as_json:
        print_json({"subject": subject, "headers": headers, "body": content}, line=True)
    else:
        say(f"{headers.get('ce-time', '')}  {subject}\n    {json.dumps(content, ensure_ascii=False)}")


def decoded(message_type: str, subject: str, body: bytes) -> Any:
    """Return the body as JSON: by its type, by its subject, as text, or as hexadecimal digits."""
    kind = message_class(message_type or _type_of(subject))
    if kind is not None:
        from google.protobuf import json_format
        from google.protobuf.message import DecodeError

        try:
            return json_format.MessageToDict(kind.FromString(body))
        except DecodeError:
            return {"undecodable": body.hex()}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"bytes": body.hex()}
    try:
        return json.loads(text)
    except ValueError:
        return text


def message_class(full_name: str) -> Any:
    """Return the class of a message of ours by its full name, or nothing."""
    from importlib import import_module

    from google.protobuf.descriptor_pool import Default
    from google.protobuf.message_factory import GetMessageClass

    package = full_name.removeprefix("maasloop.api.").partition(".")[0]
    if package not in PACKAGES:
        return None
    import_module(f"maasloop.api.{package}.v1.events_pb2")
    try:
        return GetMessageClass(Default().FindMessageTypeByName(full_name))
    except KeyError:
        return None


def _type_of(subject: str) -> str:
    """Return the message type of a fact without an envelope, such as a confirmation."""
    from maasloop.bus.subjects import parse_fact
    from maasloop.core.errors import InvalidArgument

    try:
        return parse_fact(subject).fact.message
    except InvalidArgument:
        return ""

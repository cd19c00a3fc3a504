"""Setpoints as options say them: a level with a ramp, back to local control, or any of the contract as JSON."""

from typing import Annotated, Any

import typer

Level = Annotated[float | None, typer.Option(min=0, max=100, help="Light level in percent.")]
Ramp = Annotated[float, typer.Option(min=0, max=3600, help="Seconds to reach the level.")]
Local = Annotated[bool, typer.Option("--local", help="Back to the device's own programme.")]

Whole = Annotated[
    str, typer.Option("--setpoint", help='Any setpoint of the contract as JSON, as {"signalPlan": {"plan": 2}}.')
]


def setpoint(level: float | None, ramp_s: float, *, local: bool, whole: str = "") -> Any:
    """Return the setpoint; exactly one of level, local control and JSON is needed."""
    from google.protobuf import json_format

    from maasloop.api.command.v1 import command_pb2

    if [level is not None, local, bool(whole)].count(True) != 1:
        message = "give exactly one of --level, --local and --setpoint"
        raise typer.BadParameter(message)
    if whole:
        try:
            return json_format.Parse(whole, command_pb2.Setpoint())
        except json_format.ParseError as error:
            message = f"--setpoint: {error}"
            raise typer.BadParameter(message) from None
    if level is None:
        return command_pb2.Setpoint(local_control=command_pb2.LocalControl())
    return command_pb2.Setpoint(light_level=command_pb2.LightLevel(level_percent=level, ramp_s=ramp_s))

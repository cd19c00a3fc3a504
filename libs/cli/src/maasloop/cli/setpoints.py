"""Setpoints as options say them: a level with a ramp, or back to local control."""

from typing import Annotated, Any

import typer

Level = Annotated[float | None, typer.Option(min=0, max=100, help="Light level in percent.")]
Ramp = Annotated[float, typer.Option(min=0, max=3600, help="Seconds to reach the level.")]
Local = Annotated[bool, typer.Option("--local", help="Back to the device's own programme.")]


def setpoint(level: float | None, ramp_s: float, *, local: bool) -> Any:
    """Return the setpoint; exactly one of level and local control is needed."""
    from maasloop.api.command.v1 import command_pb2

    if local == (level is not None):
        message = "give either --level or --local"
        raise typer.BadParameter(message)
    if level is None:
        return command_pb2.Setpoint(local_control=command_pb2.LocalControl())
    return command_pb2.Setpoint(light_level=command_pb2.LightLevel(level_percent=level, ramp_s=ramp_s))

"""What is believed of a target after a command to it had no effect: that nobody holds it.

A junction follows its own programme. A lamp may burn at any level that it was asked for; the brightest is assumed, so
that it is not dimmed faster than people bear.
"""

from dataclasses import replace

from .command import Command
from .district import District, Moment
from .lighting import put_off


def failed(district: District, command: Command, moment: Moment) -> None:
    """Let go of the target of a command that failed; what is wanted of it is tried again later."""
    holder = district.holders.get(command.device)
    if holder is not None and holder.command == command.id:
        del district.holders[command.device]
        _forget_level(district, command.device)
        junction = district.junctions.get(command.device)
        if junction is not None:
            junction.not_taken()
    wanted = district.wanted.get(command.device)
    if wanted is not None and command.issuer.startswith("policies/"):
        put_off(wanted, moment)


def _forget_level(district: District, device: str) -> None:
    lamp, state = district.facts.lamps.get(device), district.lamp_states.pop(device, None)
    if lamp is None or state is None:
        return
    brightest = max(lamp.class_level_percent, state.from_percent, state.to_percent)
    district.lamp_states[device] = replace(state, from_percent=brightest, to_percent=brightest, ramp_s=0.0, raised_us=0)

"""What is believed of a target after a command to it had no effect: that it follows its own programme."""

from .command import Command
from .district import District, Moment
from .lighting import put_off


def failed(district: District, command: Command, moment: Moment) -> None:
    """Let go of the target of a command that failed; what is wanted of it is tried again later."""
    holder = district.holders.get(command.device)
    if holder is not None and holder.command == command.id:
        del district.holders[command.device]
        district.lamp_states.pop(command.device, None)
        junction = district.junctions.get(command.device)
        if junction is not None:
            junction.not_taken()
    wanted = district.wanted.get(command.device)
    if wanted is not None and command.issuer.startswith("policies/"):
        put_off(wanted, moment)

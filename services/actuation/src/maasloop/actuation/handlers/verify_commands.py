"""Observations prove commands, or their deadline passes without a proof."""

from collections.abc import Sequence

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import Command, State, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.failing import failed
from maasloop.actuation.domain.reading import Reading
from maasloop.actuation.domain.verification import DELIVERY_PATIENCE_US, Proof, Seen, prove_lamp, prove_signals
from maasloop.core.reasons import Reason


class VerifyCommands:
    """Settles commands by what was observed."""

    def __call__(self, district: District, readings: Sequence[Reading], moment: Moment) -> Batch:
        """Settle the commands that these readings prove."""
        batch = Batch()
        for reading in readings:
            command = district.open_command(reading.device)
            if command is None or command.dispatch_time_us == 0:
                continue
            proof = _proof(district, command, reading)
            if isinstance(proof, Seen):
                ended = settled(command, State.VERIFIED, Reason.EFFECT_OBSERVED, proof.detail, wall_us=moment.wall_us)
                _keep(district, batch, ended)
        return batch

    def fail_overdue(self, district: District, moment: Moment) -> Batch:
        """Fail the commands whose effect was not observed in time."""
        batch = Batch()
        for command in list(district.commands.values()):
            if command.dispatch_time_us == 0 or moment.street_us <= command.verify_by_us + DELIVERY_PATIENCE_US:
                continue
            silent = command.state is State.DISPATCHED
            reason = Reason.DEVICE_SILENT if silent else Reason.EFFECT_NOT_OBSERVED
            detail = "the device never answered" if silent else "no observation shows the effect"
            ended = settled(command, State.FAILED, reason, detail, wall_us=moment.wall_us)
            _keep(district, batch, ended)
            if ended is not None:
                failed(district, ended, moment)
        return batch


def _proof(district: District, command: Command, reading: Reading) -> Proof | None:
    lamp = district.facts.lamps.get(reading.device)
    if lamp is not None:
        return prove_lamp(command, lamp, reading)
    sheet = district.facts.junctions.get(reading.device)
    return None if sheet is None else prove_signals(command, sheet, reading)


def _keep(district: District, batch: Batch, ended: Command | None) -> None:
    if ended is not None:
        district.keep(ended)
        batch.commands.append(ended)

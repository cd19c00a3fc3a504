"""Rows of the tables as what they stand for."""

from typing import Any

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.setpoint_json import from_json


def command_of(row: tuple[Any, ...]) -> Command:
    """Read a command from ``COMMAND_COLUMNS``."""
    return Command(
        district=row[0],
        id=row[1],
        device=row[2],
        setpoint=from_json(row[3]),
        authority=Authority(row[4]),
        issuer=row[5],
        cause=row[6],
        state=State(row[7]),
        reason=row[8],
        detail=row[9],
        create_time_us=row[10],
        not_before_us=row[11],
        expire_us=row[12],
        verify_by_us=row[13],
        dispatch_street_us=row[14],
        dispatch_time_us=row[15],
        settle_time_us=row[16],
        request_digest=row[17],
    )


def override_of(row: tuple[Any, ...]) -> Override:
    """Read an override from ``OVERRIDE_COLUMNS``."""
    return Override(
        district=row[0],
        id=row[1],
        device=row[2],
        group=row[3],
        setpoint=from_json(row[4]),
        authority=Authority(row[5]),
        end_us=row[6],
        justification=row[7],
        create_time_us=row[8],
        ended_time_us=row[9],
        request_digest=row[10],
    )

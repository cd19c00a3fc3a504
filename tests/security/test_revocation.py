"""The lane of revocation in small: revoked devices are gone, and one that is only noted down is found to stay."""

import pytest
from tests.security.lanes import revocation
from tests.security.outcome import Plan, Result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_a_revocation_that_closes_nothing_is_caught() -> None:
    """The lane can fail: a service that commits and does not kick leaves the device where it is."""
    outcome = await revocation.run(Plan(seed=7, scale=0.01, sabotage="no-kick"))

    assert outcome.result is Result.BROKEN


@pytest.mark.alone
async def test_a_revoked_device_is_gone_and_refused() -> None:
    """With the service running, with a replica that stands still, and with none left."""
    outcome = await revocation.run(Plan(seed=7, scale=0.02))

    assert outcome.result is Result.HELD, outcome.notes
    assert outcome.figures["revoked"] == 4 + 2 + 2

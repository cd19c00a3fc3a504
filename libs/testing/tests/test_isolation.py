"""What one test does to the process does not reach the next."""

import pytest
import structlog


@pytest.mark.parametrize("attempt", [1, 2])
def test_logging_is_as_it_was(attempt: int) -> None:
    """A test that silences the log, as a command does, silences no later one."""
    assert not structlog.is_configured(), attempt

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))

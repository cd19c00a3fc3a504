"""Who may call what: the matrix of methods, roles and objects holds, and notices when grants hold everywhere."""

from tests.security.lanes import rpc_matrix
from tests.security.outcome import Plan, Result


async def test_nobody_is_let_in_who_may_not() -> None:
    """A tenth of the matrix: no unexpected success, and no unexpected refusal."""
    outcome = await rpc_matrix.run(Plan(7, 0.1))
    assert outcome.result is Result.HELD, outcome.notes
    assert outcome.figures["rpc_matrix_cases"] > 100
    assert outcome.figures["rpc_unexpected_ok"] == 0


async def test_a_grant_that_holds_everywhere_is_seen() -> None:
    """The fault that the lane is there to find is found."""
    outcome = await rpc_matrix.run(Plan(7, 0.01, rpc_matrix.SCOPE_JOIN_OFF))
    assert outcome.result is Result.BROKEN
    assert outcome.figures["rpc_unexpected_ok"] > 100


async def test_an_old_proof_that_is_enough_is_seen() -> None:
    """Where a person of yesterday may do what wants a fresh proof, the lane says so."""
    outcome = await rpc_matrix.run(Plan(7, 0.01, rpc_matrix.STEP_UP_OFF))
    assert outcome.result is Result.BROKEN
    assert outcome.figures["rpc_unexpected_ok"] > 0

"""Which stage of its plan a site is in, by what its signals show: for sites that do not tell, or tell it too late.

A stage is on when its groups are green, no others are, and every clearance is over. Two stages that show the same groups
are told apart by the order of the plan.
"""

from .aspects import Aspect
from .sheet import Sheet
from .site_plan import PlanState
from .state import JunctionState


def watch(sheet: Sheet, known: PlanState | None, state: JunctionState, plan: int) -> PlanState:
    """Return the state of the plan on the second of ``state``; between two stages it is the last one, not on.

    ``ValueError`` for a sheet without such a plan.
    """
    site = sheet.bands
    if site is None:
        message = f"the sheet of {sheet.junction} declares no plan with bands"
        raise ValueError(message)
    last = known.stage if known is not None else 1
    stage = _stage(sheet, state, [last, *site.after(last)])
    if known is None:
        return PlanState.first_seen(state.second_s, plan, stage or last, on=stage is not None)
    return known.observe(site, state.second_s, plan, stage or last, on=stage is not None)


def _stage(sheet: Sheet, state: JunctionState, numbers: list[int]) -> int | None:
    """Return the first of these stages that is on."""
    for name, group in state.groups.items():
        if group.aspect is Aspect.YELLOW or state.second_s - group.yellow_ended_s < sheet.group[name].all_red_s:
            return None
    green = frozenset(name for name, group in state.groups.items() if group.green)
    return next((number for number in numbers if sheet.band_stages[number - 1] == green), None)

"""Which plan the calendar chooses: a day table for each week day, and in it plans by local time."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

MINUTES_OF_HOUR = 60

type Switches = dict[int, int]
"""A plan by the minute of the day from which it is in use; 0 is no plan."""


class TimeTables:
    """Week table and day tables (statuses S0026 and S0027)."""

    def __init__(self, week: Mapping[int, int], days: Mapping[int, Mapping[int, int]], zone: ZoneInfo) -> None:
        """Begin with the tables of the sheet."""
        self._week = dict(week)
        self._days: dict[int, Switches] = {table: dict(switches) for table, switches in days.items()}
        self._zone = zone

    def set_week(self, days: Mapping[int, int]) -> None:
        """Change the day table of some week days (command M0016)."""
        self._week |= days

    def set_days(self, entries: Iterable[tuple[int, int, int]]) -> None:
        """Write the day tables that the entries name anew (command M0017): table, plan, minute of the day."""
        written: dict[int, Switches] = {}
        for table, plan, minute in entries:
            written.setdefault(table, {})[minute] = plan
        self._days |= written

    def plan_at(self, moment: datetime) -> int:
        """Return the plan that is due; 0 if the tables choose none."""
        local = moment.astimezone(self._zone)
        switches = self._days.get(self._week.get(local.weekday(), 0), {})
        minute = local.hour * MINUTES_OF_HOUR + local.minute
        passed = [each for each in switches if each <= minute]
        return switches[max(passed)] if passed else 0

    @property
    def week_text(self) -> str:
        """Return the week table as status S0026 writes it."""
        return ",".join(f"{day}-{table}" for day, table in sorted(self._week.items()))

    @property
    def days_text(self) -> str:
        """Return the day tables as status S0027 writes them."""
        return ",".join(
            f"{table}-{plan}-{minute // MINUTES_OF_HOUR}-{minute % MINUTES_OF_HOUR}"
            for table, switches in sorted(self._days.items())
            for minute, plan in sorted(switches.items())
        )

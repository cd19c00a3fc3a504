"""A cabinet as a supervisor has it: it answers what is read, and does what is ordered."""

from collections.abc import Mapping

from maasloop.rsmp.events import Reading
from maasloop.rsmp.messages import Quality, StatusName, Value
from maasloop.rsmp.site_state import Verdict

from .cabinet import Cabinet
from .orders import Objection, action
from .statuses import values_of

CHANGES_PARAMETERS = frozenset({"M0014", "M0015", "M0016", "M0017", "M0018"})


class SiteController(Cabinet):
    """The controller of ``maasloop.rsmp.site_state``."""

    def read(self, component: str, name: StatusName) -> Reading:
        """Return a value now."""
        value = values_of(self, component, name.code).get(name.name)
        return Reading(name.code, name.name, value, Quality.UNKNOWN if value is None else Quality.RECENT)

    def judge(self, component: str, code: str, values: Mapping[str, Value]) -> Verdict:
        """Say whether a command will be carried out."""
        try:
            return Verdict(taken=action(self, component, code, values) is not None)
        except Objection as objection:
            return Verdict(taken=True, objection=str(objection))

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Carry out a command that was judged."""
        todo = action(self, component, code, values)
        if todo is not None:
            todo()
            if code in CHANGES_PARAMETERS:
                self.parameters_since = self.clock.now()
            self.step()

"""Wall-clock districts: policies hear readings as they come, and time that passes."""

from collections.abc import Sequence

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.domain.reading import Reading


class EvaluatePolicies:
    """Turns readings into commands of lamps; what it returns is not durable yet."""

    def __init__(self, evaluation: Evaluation) -> None:
        """Use the policies at work."""
        self._evaluation = evaluation

    def __call__(self, district: District, readings: Sequence[Reading], moment: Moment) -> Batch:
        """Evaluate at once what the readings wake."""
        return self._evaluation.hear(district, readings, moment)

    def pass_second(self, district: District, moment: Moment) -> Batch:
        """End holds, and ask again for what is still wanted."""
        batch = self._evaluation.pass_time(district, moment)
        batch.merge(self._evaluation.keep_some(district, moment))
        return batch

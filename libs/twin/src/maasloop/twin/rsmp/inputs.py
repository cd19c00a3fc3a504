"""Inputs and outputs of a controller, each numbered from 1, each of which can be forced."""


class Contacts:
    """A row of inputs or outputs."""

    def __init__(self, count: int) -> None:
        """Begin with all off and none forced."""
        self._on = [False] * count
        self._forced: list[bool | None] = [None] * count

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._on)

    def set(self, number: int, on: bool) -> None:
        """Switch one; while it is forced that is not seen."""
        self._on[number - 1] = on

    def force(self, number: int, value: bool | None) -> None:
        """Force one to a value; None ends that."""
        self._forced[number - 1] = value

    def on(self, number: int) -> bool:
        """Tell whether one is on, by itself or by force."""
        forced = self._forced[number - 1]
        return self._on[number - 1] if forced is None else forced

    @property
    def text(self) -> str:
        """Return one character each, as statuses S0003 and S0004 write it."""
        return "".join("1" if self.on(number) else "0" for number in range(1, len(self) + 1))

    @property
    def forced_text(self) -> str:
        """Return one character each, as statuses S0029 and S0030 write it."""
        return "".join("0" if each is None else "1" for each in self._forced)

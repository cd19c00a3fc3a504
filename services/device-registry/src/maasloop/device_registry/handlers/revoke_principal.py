"""Take trust from a person or a program, or give it back."""

from maasloop.device_registry.ports import RevocationLog


class RevokePrincipal:
    """Tells every service; the log is the truth of it."""

    def __init__(self, log: RevocationLog) -> None:
        """Write here."""
        self._log = log

    async def __call__(self, kind: str, name: str, *, reinstate: bool) -> None:
        """Refuse the tokens of a name, or believe them again."""
        if reinstate:
            await self._log.reinstate(kind, name)
        else:
            await self._log.revoke(kind, name)

"""The tables → the watchlist: after a change of rules, and now and then for what other instances changed."""

import asyncio

from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import WatchSource


class RefreshWatchlist:
    """Copies rules and open alerts."""

    def __init__(self, source: WatchSource, watchlist: Watchlist) -> None:
        self._source = source
        self._watchlist = watchlist
        self._one = asyncio.Lock()

    async def __call__(self) -> None:
        """Return when the watchlist says what the tables said."""
        async with self._one:
            self._watchlist.begin()
            rules = await self._source.all_rules()
            self._watchlist.replace(rules, await self._source.open_keys())

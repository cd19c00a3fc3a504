"""One supervisor of many sites: who is known, who is linked, what each is wanted to tell and told to do."""

import ssl
from collections.abc import Callable, Mapping

from maasloop.core.clock import Clock

from .errors import NotSendable
from .events import Closed, Established, Event
from .messages import AlarmAct, Value
from .session import Instant
from .supervised import Secrets, SupervisedSite, read_secret
from .supervisor import KnownSite, SupervisorSession
from .transport import PORT, SupervisorLink, SupervisorServer, TransportSettings

SECURITY_CODE = "securityCode"
SET_SECURITY_CODE = "M0103"

type Hear = Callable[[SupervisedSite | None, Event], None]
"""Hears what happens on a link, with its site once it is known; must neither wait nor raise."""


class Supervision:
    """A server for all sites; it subscribes to what a site's description wants, on each of its links."""

    def __init__(
        self, hear: Hear, clock: Clock, settings: TransportSettings | None = None, secrets: Secrets = read_secret
    ) -> None:
        """Know no site yet."""
        self._hear = hear
        self._secrets = secrets
        self._sites: dict[str, SupervisedSite] = {}
        self._known: dict[str, KnownSite] = {}
        self._links: dict[str, SupervisorLink] = {}
        self._server = SupervisorServer(self._known.get, self._heard, clock, settings)

    @property
    def linked(self) -> frozenset[str]:
        """Ids of the sites with a link that is ready."""
        return frozenset(self._links)

    @property
    def refused_connections(self) -> int:
        """Connections over the limit."""
        return self._server.refused_connections

    async def start(self, host: str, port: int = PORT, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen, and return the address that was taken."""
        return await self._server.start(host, port, tls)

    async def close(self) -> None:
        """Stop listening and end all links."""
        await self._server.close()

    def put(self, site: SupervisedSite) -> None:
        """Know a site; where its description changed, its link is made anew."""
        if all(self._sites.get(each) == site for each in site.site_ids):
            return
        for each in site.site_ids:
            self.drop(each)
        known = site.known()
        for each in site.site_ids:
            self._sites[each], self._known[each] = site, known

    def drop(self, site_id: str) -> None:
        """Know a site no longer, under none of its ids."""
        site = self._sites.get(site_id)
        if site is None:
            return
        for each in site.site_ids:
            self._sites.pop(each, None)
            self._known.pop(each, None)
        if link := self._links.get(site_id):
            link.do(lambda session, now: session.close("the site's description changed", now))

    def command(self, site_id: str, component: str, code: str, values: Mapping[str, Value]) -> str:
        """Order something, and return the id under which its end is told.

        The security code of the command's level is filled in, and those of M0103 for its level; ``values`` is without.

        Raises:
            NotSendable: there is no link, or the exchange list has no such command with these values.
            SheetInvalid: the security code is not there.
        """
        site, link = self._linked(site_id)
        entry = link.session.exchange_list.commands.get(code)
        if entry is None:
            raise NotSendable(f"command {code} is not in list {link.session.exchange_list.release}")
        whole = dict(values)
        if entry.security_level and SECURITY_CODE in entry.arguments:
            whole[SECURITY_CODE] = self._code(code, site.security_codes, entry.security_level)
        if code == SET_SECURITY_CODE:
            level = int(str(values["status"]).removeprefix("Level"))
            whole["oldSecurityCode"] = self._code(code, site.security_codes, level)
            whole["newSecurityCode"] = self._code(code, site.next_security_codes, level)
        return link.do(lambda session, now: session.command(component, code, whole, now))

    def _code(self, command: str, codes: Mapping[int, str], level: int) -> str:
        reference = codes.get(level)
        if reference is None:
            raise NotSendable(f"command {command} needs a security code of level {level}")
        return self._secrets(reference)

    def order_alarm(self, site_id: str, component: str, code: str, act: AlarmAct) -> None:
        """Acknowledge, suspend, resume or request an alarm.

        Raises:
            NotSendable: there is no link, or its versions know no such alarm or order.
        """
        _, link = self._linked(site_id)

        def order(session: SupervisorSession, now: Instant) -> None:
            session.order_alarm(component, code, act, now)

        link.do(order)

    def _linked(self, site_id: str) -> tuple[SupervisedSite, SupervisorLink]:
        site, link = self._sites.get(site_id), self._links.get(site_id)
        if site is None or link is None:
            raise NotSendable(f"site {site_id[:80]!r} has no link")
        return site, link

    def _heard(self, link: SupervisorLink, event: Event) -> None:
        told = link.session.site_ids
        site = self._sites.get(told[0]) if told else None
        # A site may tell only some of its ids.
        ids = site.site_ids if site is not None else told
        if isinstance(event, Established):
            self._links |= dict.fromkeys(ids, link)
        elif isinstance(event, Closed):
            for each in ids:
                if self._links.get(each) is link:
                    del self._links[each]
        self._hear(site, event)

"""Writes ``nats-rights.md``: the accounts of a city on NATS, what crosses between them, and what each user may do."""

from generators.pages import code, page, section, table
from maasloop.bus import accounts, rights
from maasloop.identity.nats.claims import Rights

SOURCE = "`maasloop.bus.rights` and `maasloop.bus.accounts`"
_CROSSING = """
Each export is private: an account imports it by an activation that the exporter signed for it, and nothing else of another
account can be heard or asked. Where the importer has another name for a subject it is told in the last column.
"""
_USERS = """
What is not allowed is refused. Every user hears its own inboxes only (`_INBOX_{user}.>`). Devices are not in this list: the
callout gives each one its own subjects, `dev.v1.{district}.{device}.up.>` and `…down.>`.
"""


def rights_page() -> str:
    """Return the page."""
    users = [
        ("CORE", rights.core_rights()),
        ("DOWNLINK", {rights.DOWNLINK: rights.downlink_rights()}),
        ("DEVICES-{tenant}", {rights.ENSURE_DEVICES: rights.ensure_devices_rights()}),
        ("AUTH", {rights.CALLOUT: rights.callout_rights()}),
        ("AUDIT", {rights.WITNESS: rights.witness_rights()}),
        ("SYS", {rights.REVOKER: rights.revoker_rights(), rights.ACCOUNTS: rights.accounts_rights()}),
        ("INTEGRATOR-{name}", {"integrator-{name}": rights.integrator_rights("integrator-{name}")}),
    ]
    sections = [
        section(f"{user} in {account}", _lines(allowed)) for account, named in users for user, allowed in named.items()
    ]
    return page(
        "Rights on NATS",
        SOURCE,
        section("Accounts", (accounts.__doc__ or "").partition("\n\n")[2].replace("``", "`")),
        section("What crosses", _CROSSING, table(("from", "to", "subject", "way", "there"), _crossing())),
        section("Users", _USERS),
        *sections,
    )


def _crossing() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for giver, taker, shared in (
        ("DEVICES-{tenant}", "CORE", accounts.from_devices()),
        ("CORE", "DEVICES-{tenant}", accounts.receipts()),
        ("DOWNLINK", "DEVICES-{tenant}", accounts.commands()),
        ("CORE", "AUDIT", accounts.to_audit()),
        ("CORE", "INTEGRATOR-{name}", accounts.to_integrators()),
    ):
        rows += [(giver, taker, code(each.subject), str(each.sharing), _named(each.local_subject)) for each in shared]
    return rows


def _named(subject: str) -> str:
    return code(subject) if subject else ""


def _lines(allowed: Rights) -> str:
    parts: list[tuple[str, tuple[str, ...]]] = [
        ("publishes", allowed.publish),
        ("but never", allowed.publish_except),
        ("hears", allowed.subscribe),
    ]
    lines = [f"- {verb} {', '.join(code(subject) for subject in named)}" for verb, named in parts if named]
    if allowed.answers_max:
        lines.append(f"- answers each request it heard {allowed.answers_max} time within {allowed.answer_within_s:g} s")
    return "\n".join(lines)

"""The accounts of a city on NATS: what crosses between them, and nothing else does.

``SYS`` is the server's own. ``CORE`` has the services and every stream of facts. ``DOWNLINK`` has the sender of commands. ``DEVICES-{tenant}`` has the devices of a
tenant and what the MQTT listener stores. ``AUTH`` has the callout, and the sentinel under which a client waits for its
word. ``AUDIT`` hears checkpoints. ``INTEGRATOR-{name}`` hears open facts. Each export is private: the exporter signs an
activation for the importer, so that another account that names the subject gets nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from maasloop.core.domains import Domain
from maasloop.core.ids import require_id
from maasloop.identity.nats.claims import (
    UNLIMITED,
    Account,
    AccountLimits,
    Export,
    ExternalAuthorization,
    Import,
    Sharing,
    StorageLimits,
)

from . import subjects
from .rights import API, MQTT_PULLED, OPEN, checkpoints, down, mqtt_asked, pulling, up
from .tenants import ALONE, Tenant

SYSTEM = "SYS"
DOWNLINK = "DOWNLINK"
CORE = "CORE"
AUDIT = "AUDIT"
AUTH = "AUTH"
STORAGE = StorageLimits(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED)
"""JetStream as far as the server has room: streams bound themselves."""
LEAF_NODES_MAX = 8
"""Servers that may join for the devices of a tenant: one that takes client certificates."""
INTEGRATOR_CONNECTIONS_MAX = 16
INTEGRATOR_SUBSCRIPTIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Shared:
    """A subject that one account gives to another."""

    name: str
    subject: str
    sharing: Sharing = Sharing.STREAM
    streamed_answers: bool = False
    local_subject: str = ""
    """Its name where it is imported, when it is another one."""

    def export(self) -> Export:
        """Return it as its owner declares it."""
        return Export(self.name, self.subject, self.sharing, private=True, streamed_answers=self.streamed_answers)

    def imported(self, account: str, activation: str) -> Import:
        """Return it as the other account declares it: ``account`` is the owner's public key."""
        return Import(self.name, self.subject, account, self.sharing, activation, self.local_subject)


type Activate = Callable[[str, str, Shared], str]
"""Signs that an account (first, by name) gives a subject to another (second, by name)."""


def integrator_account(name: str) -> str:
    """Return the name of an integrator's account."""
    require_id(name, "integrator")
    return f"INTEGRATOR-{name}"


def from_devices(tenant: Tenant = ALONE[0]) -> tuple[Shared, ...]:
    """Return what a tenant's devices give to the services: uplinks as they come, and the stream that was acknowledged.

    What an account asks of JetStream by its plain name is its own; so what is asked of the other account has another.
    """
    shared = [Shared(f"uplinks {place}", up(place)) for place in tenant.places]
    for durable in map(tenant.durable, MQTT_PULLED):
        pull, acknowledge = pulling(durable)
        shared += [
            Shared(f"pull {durable.name}", pull, Sharing.SERVICE, streamed_answers=True),
            Shared(f"acknowledge {durable.name}", acknowledge, Sharing.SERVICE),
        ]
    asked = [
        Shared(f"ask {verb}", f"{API}.{verb}", Sharing.SERVICE, local_subject=f"{tenant.api}.{verb}")
        for verb in mqtt_asked(tenant)
    ]
    return (*shared, *asked)


def receipts(tenant: Tenant = ALONE[0]) -> tuple[Shared, ...]:
    """Return what services give to a tenant's devices."""
    kind = subjects.DownlinkKind.RECEIPTS
    return tuple(Shared(f"receipts {place}", down(kind, place)) for place in tenant.places)


def commands(tenant: Tenant = ALONE[0]) -> tuple[Shared, ...]:
    """Return what the sender of commands gives to a tenant's devices."""
    kind = subjects.DownlinkKind.COMMANDS
    return tuple(Shared(f"commands {place}", down(kind, place)) for place in tenant.places)


def to_audit() -> tuple[Shared, ...]:
    """Return what witnesses hear."""
    return tuple(Shared(f"checkpoints {index}", subject) for index, subject in enumerate(checkpoints()))


def to_integrators() -> tuple[Shared, ...]:
    """Return what integrators hear: readings of every domain that are no person's, and alerts."""
    readings = [
        Shared(f"observations of {domain}", subjects.OBSERVATION_RECORDED.wildcard(key=str(domain)))
        for domain in Domain
    ]
    others = [
        Shared(f"{fact.noun} {fact.verb}", fact.wildcard()) for fact in OPEN if fact != subjects.OBSERVATION_RECORDED
    ]
    return (*readings, *others)


def core_account(keys: Mapping[str, str], tenants: Sequence[Tenant], activate: Activate) -> Account:
    """Return the account of the services; ``keys`` are public keys by account."""
    imported = [
        one for tenant in tenants for one in _imports(CORE, tenant.account, keys, from_devices(tenant), activate)
    ]
    # Exports say every district; what a tenant's account imports of them, says its own.
    return Account(
        AccountLimits(storage=STORAGE),
        exports=_exports((*receipts(), *to_audit(), *to_integrators())),
        imports=tuple(imported),
    )


def devices_claims(keys: Mapping[str, str], tenant: Tenant, activate: Activate, signing_key: str) -> Account:
    """Return the account of a tenant's devices, whose users the holder of ``signing_key`` may sign."""
    return Account(
        AccountLimits(leaf_nodes=LEAF_NODES_MAX, storage=STORAGE),
        exports=_exports(from_devices(tenant)),
        imports=(
            *_imports(tenant.account, CORE, keys, receipts(tenant), activate),
            *_imports(tenant.account, DOWNLINK, keys, commands(tenant), activate),
        ),
        signing_keys=(signing_key,),
    )


def downlink_account() -> Account:
    """Return the account of the sender of commands: it has no streams, and nothing crosses into it."""
    return Account(exports=_exports(commands()))


def auth_account(keys: Mapping[str, str], tenants: Sequence[Tenant], callout_user: str, curve_key: str) -> Account:
    """Return the account of the callout, which may place clients among devices and nowhere else."""
    allowed = tuple(keys[tenant.account] for tenant in tenants)
    return Account(authorization=ExternalAuthorization((callout_user,), allowed, curve_key))


def audit_account(keys: Mapping[str, str], activate: Activate) -> Account:
    """Return the account of witnesses."""
    return Account(imports=_imports(AUDIT, CORE, keys, to_audit(), activate))


def integrator_claims(keys: Mapping[str, str], name: str, activate: Activate) -> Account:
    """Return an integrator's account: it stores nothing and hears what ``to_integrators`` says."""
    limits = AccountLimits(INTEGRATOR_CONNECTIONS_MAX, INTEGRATOR_SUBSCRIPTIONS_MAX)
    return Account(limits, imports=_imports(integrator_account(name), CORE, keys, to_integrators(), activate))


def _exports(shared: Iterable[Shared]) -> tuple[Export, ...]:
    return tuple(each.export() for each in shared)


def _imports(
    importer: str, exporter: str, keys: Mapping[str, str], shared: Iterable[Shared], activate: Activate
) -> tuple[Import, ...]:
    return tuple(each.imported(keys[exporter], activate(exporter, importer, each)) for each in shared)

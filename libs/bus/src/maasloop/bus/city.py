"""The operator tree of a city as files: keys made once, tokens signed anew when what they say has changed.

::

    seeds/{account}.seed      the keys that sign (operator, accounts)
    operator.jwt, sentinel.jwt
    accounts/{account}.jwt    what the server is told of an account
    users/{user}.creds        what a user connects with
    callout/                  what the device-registry needs to let devices in
    tenants.json              districts by tenant, where devices of several share the services

All of it is secret (directories 0700, files 0600). Whoever has ``seeds/`` is the city's operator; services have their own
file under ``users/`` only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maasloop.core.clock import Clock
from maasloop.identity.nats.claims import (
    Account,
    AccountLimits,
    ConnectionType,
    Rights,
    User,
    activation_claims,
    operator_claims,
)
from maasloop.identity.nats.credentials import credentials_text, read_credentials
from maasloop.identity.nats.keys import CurveKey, KeyPair, Role
from maasloop.identity.nats.tokens import read_unverified, sign
from maasloop.identity.secret_files import secret_directory, write_secret

from . import accounts, rights
from .accounts import AUDIT, AUTH, CORE, DOWNLINK, SYSTEM, Shared
from .tenants import ALONE, Tenant, read_tenants, tenants_text

OPERATOR = "operator"
_DEVICES_SIGNING = "callout-devices"
_CURVE = "callout-curve"
BOTH = (ConnectionType.STANDARD, ConnectionType.MQTT)


@dataclass(frozen=True, slots=True)
class CityUser:
    """A user and the account it is in."""

    name: str
    account: str
    user: User


class City:
    """The identities of one city's NATS, kept in a directory."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Take a directory; ``ensure`` fills it."""
        self.directory = directory
        self.devices = ALONE[0].account
        """The account of the devices of the tenant that every city has."""
        self._clock = clock

    @property
    def tenants_file(self) -> Path:
        """The file that declares them; absent where the city has one."""
        return self.directory / "tenants.json"

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Those that share this city's services."""
        return read_tenants(self.tenants_file)

    def declare(self, tenants: Sequence[Tenant]) -> None:
        """Have these tenants from the next ``ensure`` on."""
        text = tenants_text(tenants)
        secret_directory(self.directory)
        write_secret(self.tenants_file, text.encode())

    @property
    def fixed_accounts(self) -> tuple[str, ...]:
        """The accounts of every city, and those of its tenants' devices."""
        return (SYSTEM, CORE, DOWNLINK, AUDIT, AUTH, *(tenant.account for tenant in self.tenants))

    @property
    def integrators(self) -> list[str]:
        """The accounts of integrators."""
        return sorted(path.stem for path in (self.directory / "accounts").glob("INTEGRATOR-*.jwt"))

    def ensure(self) -> None:
        """Make what is missing, and sign anew what says something else."""
        for part in ("", "seeds", "accounts", "users", "callout"):
            secret_directory(self.directory / part)
        for user in self.users():
            self.write_user(user)
        for name, account in self.claims().items():
            self.write_account(name, account)
        system = self.key(SYSTEM).public_key
        operator = self.key(OPERATOR)
        self._token(self.directory / "operator.jwt", operator_claims(system), operator.public_key, OPERATOR, operator)
        self._sentinel()
        self._callout()

    def users(self) -> list[CityUser]:
        """Return the users that every city has."""
        tenants = self.tenants
        core = [CityUser(name, CORE, User(allowed)) for name, allowed in rights.core_rights(tenants).items()]
        # An MQTT client shows the token as its password, which a token that needs a signature would not pass.
        ensuring = [
            CityUser(
                each.ensure_user,
                each.account,
                User(rights.ensure_devices_rights(each), connection_types=BOTH, bearer=True),
            )
            for each in tenants
        ]
        return [
            *core,
            CityUser(rights.DOWNLINK, DOWNLINK, User(rights.downlink_rights())),
            *ensuring,
            CityUser(rights.CALLOUT, AUTH, User(rights.callout_rights())),
            CityUser(rights.WITNESS, AUDIT, User(rights.witness_rights())),
            CityUser(rights.REVOKER, SYSTEM, User(rights.revoker_rights())),
            CityUser(rights.ACCOUNTS, SYSTEM, User(rights.accounts_rights())),
        ]

    def claims(self) -> dict[str, Account]:
        """Return what every account is to be, by name, without its revocations."""
        keys = {name: self.key(name).public_key for name in (*self.fixed_accounts, *self.integrators)}
        callout = read_unverified(self._credentials(rights.CALLOUT)[0]).subject
        signing, tenants = self.key(_DEVICES_SIGNING).public_key, self.tenants
        return {
            SYSTEM: Account(AccountLimits(leaf_nodes=accounts.LEAF_NODES_MAX)),
            CORE: accounts.core_account(keys, tenants, self.activation),
            DOWNLINK: accounts.downlink_account(),
            AUDIT: accounts.audit_account(keys, self.activation),
            AUTH: accounts.auth_account(keys, tenants, callout, self.curve_key().public_key),
            **{each.account: accounts.devices_claims(keys, each, self.activation, signing) for each in tenants},
            **{
                name: accounts.integrator_claims(keys, name.removeprefix("INTEGRATOR-"), self.activation)
                for name in self.integrators
            },
        }

    def add_integrator(self, name: str) -> Path:
        """Make an integrator's account and its user, and return the credentials; the server is told by ``token``.

        One who was revoked gets a new key; the old credentials stay void.
        """
        account = accounts.integrator_account(name)
        keys = {each: self.key(each).public_key for each in (account, CORE)}
        self.write_account(account, accounts.integrator_claims(keys, name, self.activation))
        user = f"integrator-{name}"
        if self._revoked(account, user):
            self.credentials(user).unlink()
        return self.write_user(CityUser(user, account, User(rights.integrator_rights(user))))

    def add_devices(self) -> Path:
        """Make the user that speaks for all devices, and return its credentials."""
        user = User(rights.devices_rights(), connection_types=(ConnectionType.MQTT,), bearer=True)
        return self.write_user(CityUser(rights.DEVICES, self.devices, user))

    def add_leaf(self) -> tuple[Path, Path]:
        """Return the credentials with which a second server joins, for the devices' account and for the system's.

        It is a server of the city and stands for every device at its listener, so it may say all that the account may.
        """
        whole = User(Rights((">",), (">",)), connection_types=(ConnectionType.LEAFNODE,))
        devices = self.write_user(CityUser("leaf-devices", self.devices, whole))
        return devices, self.write_user(CityUser("leaf-system", SYSTEM, whole))

    def leaf_configuration(self, url: str) -> str:
        """Return the part of a second server's configuration that joins it to the first, whose address is given."""
        remotes = [
            {"url": url, "credentials": str(path.resolve()), "account": self.key(account).public_key}
            for path, account in zip(self.add_leaf(), (self.devices, SYSTEM), strict=True)
        ]
        return f"leafnodes {{ remotes: {json.dumps(remotes)} }}\n"

    def add_remover(self, tenant: Tenant) -> Path:
        """Make the user that deletes the streams of a tenant that leaves, and return its credentials."""
        return self.write_user(CityUser(tenant.remove_user, tenant.account, User(rights.remove_devices_rights(tenant))))

    def known(self, tenant: Tenant) -> bool:
        """Tell whether a server may have been told of a tenant's account."""
        return self._account_path(tenant.account).exists()

    def removal(self, tenant: Tenant) -> str:
        """Return what tells the server that the account of a tenant's devices is no more."""
        operator = self.key(OPERATOR)
        gone = {"type": "generic", "accounts": [self.key(tenant.account).public_key]}
        return sign(gone, subject=operator.public_key, name=OPERATOR, signer=operator, issued_at=self._now_s())

    def forget(self, tenant: Tenant) -> None:
        """Have a tenant no more, nor its account, its users and their keys."""
        self.declare([each for each in self.tenants if each != tenant])
        users = (self.credentials(user) for user in (tenant.ensure_user, tenant.remove_user))
        seed = self.directory / "seeds" / f"{tenant.account}.seed"
        for path in (self._account_path(tenant.account), *users, seed):
            path.unlink(missing_ok=True)

    def revoke(self, account: str, user_public_key: str = "*") -> str:
        """Make every token of a user (``*`` = of all) that is signed by now void, and return the account's new token."""
        found = read_unverified(self.token(account))
        revoked = {**found.nats.get("revocations", {}), user_public_key: self._now_s()}
        self._sign(self._account_path(account), {**found.nats, "revocations": revoked}, found.subject, account)
        return self.token(account)

    def token(self, account: str) -> str:
        """Return what the server is told of an account."""
        return self._account_path(account).read_text().strip()

    def credentials(self, user: str) -> Path:
        """Return the file with which a user connects."""
        return self.directory / "users" / f"{user}.creds"

    def key(self, name: str) -> KeyPair:
        """Return the key of an account or of the operator, made at its first use."""
        path = self.directory / "seeds" / f"{name}.seed"
        if not path.exists():
            role = Role.OPERATOR if name == OPERATOR else Role.ACCOUNT
            write_secret(path, KeyPair.generate(role).seed.encode())
        return KeyPair(path.read_text().strip())

    def curve_key(self) -> CurveKey:
        """Return the key for which the server seals what it asks the callout."""
        path = self.directory / "seeds" / f"{_CURVE}.seed"
        if not path.exists():
            write_secret(path, CurveKey.generate().seed.encode())
        return CurveKey(path.read_text().strip())

    def activation(self, exporter: str, importer: str, shared: Shared) -> str:
        """Return the exporter's signature that the importer may have a subject; the same text each time."""
        claims = activation_claims(shared.subject, shared.sharing)
        subject = self.key(importer).public_key
        return sign(claims, subject=subject, name=shared.name, signer=self.key(exporter), issued_at=1)

    def renew_user(self, name: str) -> tuple[str, str]:
        """Give a user that every city has a new key; returns its account and the public key it had, for ``revoke``."""
        user = next(each for each in self.users() if each.name == name)
        before = read_unverified(self._credentials(name)[0]).subject
        self.write_user(user, anew=True)
        return user.account, before

    def write_user(self, user: CityUser, *, anew: bool = False) -> Path:
        """Keep a user's key (``anew``: make another) and sign its token if it says something else; returns its file."""
        path, account = self.credentials(user.name), self.key(user.account)
        kept = path.exists() and not anew
        token, seed = self._credentials(user.name) if kept else ("", KeyPair.generate(Role.USER).seed)
        claims = user.user.claims()
        if not token or not _same(token, claims, account.public_key):
            public = KeyPair(seed).public_key
            # A token of the second in which all were revoked would be void too.
            issued_at = max(self._now_s(), self._revocations(user.account).get("*", 0) + 1)
            token = sign(claims, subject=public, name=user.name, signer=account, issued_at=issued_at)
            write_secret(path, credentials_text(token, seed).encode())
        return path

    def write_account(self, name: str, account: Account) -> None:
        """Sign an account's token anew if it says something else; who was revoked stays revoked."""
        claims = replace(account, revocations=self._revocations(name)).claims()
        self._token(self._account_path(name), claims, self.key(name).public_key, name, self.key(OPERATOR))

    def server_configuration(self, resolver_directory: Path) -> str:
        """Return what a server's configuration says of identities."""
        preload = {self.key(name).public_key: self.token(name) for name in (*self.fixed_accounts, *self.integrators)}
        return f"""operator: "{(self.directory / "operator.jwt").read_text()}"
system_account: "{self.key(SYSTEM).public_key}"
default_sentinel: "{(self.directory / "sentinel.jwt").read_text()}"
resolver {{
  type: full
  dir: "{resolver_directory}"
  allow_delete: true
}}
resolver_preload: {json.dumps(preload)}
"""

    def _sentinel(self) -> None:
        """The user as which a client without a token waits for the callout's word: it may do nothing."""
        path = self.directory / "sentinel.jwt"
        claims = User(Rights(), connection_types=BOTH, bearer=True).claims()
        if path.exists() and _same(path.read_text(), claims, self.key(AUTH).public_key):
            return
        public = KeyPair.generate(Role.USER).public_key
        self._token(path, claims, public, "sentinel", self.key(AUTH))

    def _callout(self) -> None:
        """Give the device-registry its own copies."""
        files = {
            "callout.creds": self.credentials(rights.CALLOUT).read_text(),
            "revoker.creds": self.credentials(rights.REVOKER).read_text(),
            "account.seed": self.key(AUTH).seed,
            "devices.seed": self.key(_DEVICES_SIGNING).seed,
            "devices.account": self.key(self.devices).public_key,
            "districts.json": json.dumps(
                {district: self.key(each.account).public_key for each in self.tenants for district in each.districts}
            ),
            "curve.seed": self.curve_key().seed,
        }
        for name, text in files.items():
            path = self.directory / "callout" / name
            if not path.exists() or path.read_text() != text:
                write_secret(path, text.encode())

    def _token(self, path: Path, claims: Mapping[str, Any], subject: str, name: str, signer: KeyPair) -> None:
        if path.exists() and _same(path.read_text(), claims, signer.public_key):
            return
        write_secret(path, sign(claims, subject=subject, name=name, signer=signer, issued_at=self._now_s()).encode())

    def _sign(self, path: Path, claims: Mapping[str, Any], subject: str, name: str) -> None:
        token = sign(claims, subject=subject, name=name, signer=self.key(OPERATOR), issued_at=self._now_s())
        write_secret(path, token.encode())

    def _revocations(self, account: str) -> dict[str, int]:
        """Return by public key (``*`` = everybody) the second until which tokens are void."""
        if not self._account_path(account).exists():
            return {}
        return dict(read_unverified(self.token(account)).nats.get("revocations", {}))

    def _revoked(self, account: str, user: str) -> bool:
        if not self.credentials(user).exists():
            return False
        token, revoked = read_unverified(self._credentials(user)[0]), self._revocations(account)
        return token.issued_at <= max(revoked.get("*", 0), revoked.get(token.subject, 0))

    def _account_path(self, name: str) -> Path:
        return self.directory / "accounts" / f"{name}.jwt"

    def _credentials(self, user: str) -> tuple[str, str]:
        return read_credentials(self.credentials(user).read_text())

    def _now_s(self) -> int:
        return self._clock.now_us() // 1_000_000


def _same(token: str, claims: Mapping[str, Any], issuer: str) -> bool:
    """Tell whether a token says these claims already, by the same issuer."""
    found = read_unverified(token.strip())
    return found.issuer == issuer and {**claims, "version": found.nats["version"]} == dict(found.nats)

"""New certificates, keys and passwords for a running stack, while its services serve.

Each secret is replaced so that nothing that holds the old one fails: files are written whole, what replaces comes before what
is revoked, and whoever is disconnected connects again by the file that is there then.
"""

import os
import signal

from maasloop.audit.schema import AUDITOR
from maasloop.bus.accounts import CORE, DOWNLINK
from maasloop.bus.city import City
from maasloop.bus.connection import connect
from maasloop.bus.rights import ACCOUNTS
from maasloop.bus.rights import DOWNLINK as DOWNLINK_USER
from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition
from maasloop.identity.command_keys import rotate_command_keys
from maasloop.postgres.once import connect_once
from maasloop.stack.certificates import NATS, StackCertificates
from maasloop.stack.secrets import COMMANDS
from maasloop.stack.servers.databases import SERVICES, role_name
from maasloop.stack.servers.passwords import RolePasswords, set_password
from maasloop.stack.state import StackState, StateDirectory

PASSWORDS = "postgres"
"""Directory of the passwords among the secrets."""
ANSWER_TIMEOUT_S = 5.0


def rotate_certificates(directory: StateDirectory, clock: Clock) -> list[str]:
    """Give every holder a new key and certificate; services take them up by themselves, NATS is told."""
    names = StackCertificates(directory.secrets / "tls", clock).reissue()
    os.kill(directory.read().pids[NATS], signal.SIGHUP)
    return names


async def rotate_nats_users(directory: StateDirectory, clock: Clock) -> list[str]:
    """Give the services' users of NATS new keys, and make the old ones void.

    Raises ``FailedPrecondition`` (STATE_FORBIDS) where the server does not take an account.
    """
    city = City(directory.secrets / "nats", clock)
    names = [*SERVICES, DOWNLINK_USER]
    # All have a new key before the first old one is void.
    before = [city.renew_user(name) for name in names]
    for account, public_key in before:
        city.revoke(account, public_key)
    async with connect(**directory.read().nats_user(ACCOUNTS).options(), name=ACCOUNTS) as bus:
        for account in (CORE, DOWNLINK):
            answer = await bus.ask("$SYS.REQ.CLAIMS.UPDATE", city.token(account).encode(), timeout_s=ANSWER_TIMEOUT_S)
            if b'"error"' in answer:
                raise FailedPrecondition("STATE_FORBIDS", f"NATS did not take the account {account}")
    return names


def rotate_passwords(directory: StateDirectory) -> list[str]:
    """Give each service's role of the database, and the auditor's, a new password; connections that stand go on."""
    state: StackState = directory.read()
    passwords = RolePasswords(directory.secrets / PASSWORDS)
    roles = [*(role_name(service) for service in SERVICES), AUDITOR]
    with connect_once(state.postgres_dsn, name="maasloop-rotation", autocommit=True) as connection:
        for role in roles:
            set_password(connection, role, passwords.renew(role))
    return roles


def rotate_command_key(directory: StateDirectory) -> list[str]:
    """Make another key that signs commands; devices obey both until the next time, actuation takes it at its next start."""
    rotate_command_keys(directory.secrets / COMMANDS)
    return [COMMANDS]

"""The table of roles, and what it permits where."""

import pytest

from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import ANY, Need, Roles, RolesInvalid

ROLES = Roles.load()
CENTRE = frozenset({"centre"})


def _person(*grants: Grant, data_subject: str = "") -> Principal:
    return Principal(Kind.PERSON, "ada", grants=grants, data_subject=data_subject)


def test_a_grant_holds_in_its_districts_only() -> None:
    """A grant for one district permits there, not elsewhere and not for the whole city."""
    ada = _person(Grant("operator", CENTRE))

    assert ROLES.permits(ada, Need("alert.handle", CENTRE))
    assert not ROLES.permits(ada, Need("alert.handle", frozenset({"south"})))
    assert not ROLES.permits(ada, Need("alert.handle", frozenset({"centre", "south"})))
    assert not ROLES.permits(ada, Need("alert.handle", None))


def test_grants_add_up() -> None:
    """Each district of a call may be covered by another grant."""
    ada = _person(Grant("operator", CENTRE), Grant("viewer", frozenset({"south"})))

    assert ROLES.permits(ada, Need("device.read", frozenset({"centre", "south"})))
    assert not ROLES.permits(ada, Need("alert.handle", frozenset({"centre", "south"})))


def test_what_all_share_needs_any_district() -> None:
    """A call about what all districts share is permitted by a grant for any of them, and by no empty grant."""
    need = Need("catalogue.read", ANY)

    assert ROLES.permits(_person(Grant("viewer", CENTRE)), need)
    assert ROLES.permits(_person(Grant("viewer", None)), need)
    assert not ROLES.permits(_person(Grant("viewer")), need)


def test_domains_of_role_and_grant_both_hold() -> None:
    """A lighting engineer never reaches a signal, and a grant for air shows no light."""
    engineer = _person(Grant("lighting-engineer", None, None))
    observer = _person(Grant("viewer", None, frozenset({"air"})))

    assert ROLES.permits(engineer, Need("command.issue", CENTRE, frozenset({"light"})))
    assert not ROLES.permits(engineer, Need("command.issue", CENTRE, frozenset({"traffic"})))
    assert not ROLES.permits(engineer, Need("command.issue", CENTRE, None))
    assert ROLES.permits(observer, Need("observation.read", CENTRE, frozenset({"air"})))
    assert not ROLES.permits(observer, Need("observation.read", CENTRE, frozenset({"air", "light"})))
    assert not ROLES.permits(observer, Need("observation.read", CENTRE, None))


def test_a_citizen_sees_what_is_about_them() -> None:
    """A citizen reads and withdraws the own consent, and nobody else's."""
    ada = _person(Grant("citizen", None), data_subject="p-1")

    assert ROLES.permits(ada, Need("consent.read", None, data_subjects=frozenset({"p-1"})))
    assert not ROLES.permits(ada, Need("consent.read", None, data_subjects=frozenset({"p-2"})))
    assert not ROLES.permits(ada, Need("consent.read", None, data_subjects=frozenset({"p-1", "p-2"})))
    assert not ROLES.permits(ada, Need("consent.read", None))
    assert not ROLES.permits(_person(Grant("citizen", None)), Need("consent.read", None, data_subjects=frozenset({""})))


def test_unknown_roles_and_permissions_hold_nothing() -> None:
    """A role that is not in the table permits nothing, and a permission without a row is held by no role."""
    assert not ROLES.permits(_person(Grant("root", None)), Need("device.read", CENTRE))
    assert not ROLES.permits(_person(Grant("operator", None)), Need("city.destroy", CENTRE))
    assert not ROLES.permits(_person(), Need("catalogue.read", ANY))


def test_the_operator_of_the_machine_may_everything() -> None:
    """The certificate on the machine itself stands for an administrator."""
    assert ROLES.permits(Principal(Kind.OPERATOR, "local"), Need("catalogue.change", None, None))


def test_a_service_has_no_grant() -> None:
    """A service is judged by its own list, never by the table."""
    assert not ROLES.permits(Principal(Kind.SERVICE, "ingest"), Need("device.read", CENTRE))


def test_a_table_that_names_a_foreign_role_is_refused() -> None:
    """A typing mistake in a row is an error, not a role that nobody has."""
    with pytest.raises(RolesInvalid, match="lamplighter"):
        Roles.parsed('[roles]\nviewer = {title = "x"}\n[permissions]\n"a.read" = ["lamplighter"]\n[own]\n')

"""Hypothesis judges cases, not how long they take: what is slow on a loaded machine is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("maasloop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("maasloop")

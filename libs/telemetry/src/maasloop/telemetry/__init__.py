"""Logging, metrics and tracing of a process: one set-up, and names that everybody shares.

A service calls ``configure`` once. Everything else asks ``structlog.get_logger()``, ``metrics.counter`` and
``tracing.span``, and works the same whether anybody collects what it says.
"""

from .configuration import LogFormat, configure, flush

__all__ = ["LogFormat", "configure", "flush"]

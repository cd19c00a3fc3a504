"""``python -m maasloop.twin.demo``: the demo without the CLI around it."""

import typer

from .command import demo

typer.run(demo)

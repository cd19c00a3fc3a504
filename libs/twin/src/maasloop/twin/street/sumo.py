"""libsumo, imported without its words.

On import it prints a line where another version of Arrow is installed than the one its table output was built with. We
never ask for that output, and standard output belongs to programs that read ours.
"""

from contextlib import redirect_stdout
from io import StringIO

with redirect_stdout(StringIO()):
    import libsumo

__all__ = ["libsumo"]

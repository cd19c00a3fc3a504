"""Traffic signals: the data sheet of a junction, the kernel that judges every request, and the controller that asks.

``sheet`` says what a junction is, ``state`` what it shows and since when, ``kernel`` what may be asked of it, ``traffic``
who is on its lanes, ``controller`` what would be best. All of it is pure; time is field seconds given as arguments.
"""

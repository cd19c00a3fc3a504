"""What stands between a fresh machine and a running Maasloop, done once.

Runs on the distribution's Python before anything is installed, so it imports the standard library only (and modules of
this package that do the same). ``steps`` shows and logs each step, ``packages`` decides what apt must bring,
``environment`` makes the two virtual environments, ``plan`` puts them in order.
"""

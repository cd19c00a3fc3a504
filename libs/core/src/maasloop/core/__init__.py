"""Plain things that every part of Maasloop needs: errors, identifiers, resource names, clocks, domains and units.

Only the standard library is imported here, so that a service's domain may import it and stay pure.
"""

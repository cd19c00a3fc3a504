"""An RSMP traffic light controller without a street, for those who test supervisors.

``sheet`` is what it is told, ``cabinet`` the equipment put together, ``simulator`` its life on a link.
"""

"""Signal controllers over RSMP: what they tell becomes observations, what they are asked for is read back.

``driver`` joins the supervisor of ``maasloop.rsmp`` to commands; ``orders`` and ``observations`` translate.
"""

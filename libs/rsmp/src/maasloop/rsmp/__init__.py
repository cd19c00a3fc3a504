"""RSMP, the road-side message protocol of the Nordic countries, for traffic light controllers.

``decoding`` and ``encoding`` turn bytes into ``messages`` and back, as the ``dialect`` of a core version wants it;
``tlc`` holds the exchange lists as data; ``supervisor`` and ``site`` are the two roles, without any input or output of
their own; ``transport`` joins them to TCP.

Sources: RSMP core 3.1.2 to 3.2.2 and the exchange list for traffic light controllers 1.0.15 to 1.2.1, rsmp-nordic.org.
"""

"""The traffic at one junction, as far as it is told of: who is on which lane, where each wants to go, who leaves when.

``perception`` brings it one second on, ``estimate`` is what it knows of a lane, and ``forecast`` says who would leave a
lane by which second. Of loops, areas and neighbours each has a module of its own; nothing here knows what is chosen.
"""

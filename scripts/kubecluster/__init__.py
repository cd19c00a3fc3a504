"""The chart on a cluster: installed, tested, upgraded under load, killed, scaled and taken away again."""

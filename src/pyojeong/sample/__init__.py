"""The synthetic data set: drawn faces in the exact format of AI Hub data set 82, defects included.

Comes in: a number of people and a seed. Goes out: the archives that ``data`` reads, and a ``Sample`` that describes
them. May import ``core`` only; only ``cli`` and ``experiments`` import it (``drawing`` also serves tests and
benchmarks that need a face).
"""

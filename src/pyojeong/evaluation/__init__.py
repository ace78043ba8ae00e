"""Scoring of any contender on tables of photographs, and comparison of the results.

In: CSVs of photographs with labels and boxes (``evaluate``), a ``Contender`` to score (face-api.js or an exported
model), and predictions CSVs of any origin (``compare``). Out: evaluation CSVs with a JSON summary next to each, and
comparison tables with confidence intervals. Imports ``core`` only, and does not know a single contender. ``faceapi``
and ``analyzer`` implement ``contenders``; ``report``, ``experiments`` and ``cli`` use the results.
"""

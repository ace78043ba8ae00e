"""Data preparation: from AI Hub's archives to split tables, crop files and a summary in ``data_shared``.

Comes in: a folder with AI Hub data set 82 or its synthetic copy, as archives or unpacked. Goes out: a ``Preparation``
and the files that ``docs/data_prep.md`` lists. May import ``core`` only; only ``cli`` and ``experiments`` import it.
"""

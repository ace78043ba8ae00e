"""Prepares AI Hub data set 82 for training.

Input: a folder with the data set, real or synthetic, as archives or unpacked. Output: split tables, crop files and a
summary in ``data_shared`` (``docs/data_prep.md`` lists them), and a ``Preparation``. This package imports only
``core``; ``cli``, ``experiments`` and the public names of ``pyojeong`` may import it.
"""

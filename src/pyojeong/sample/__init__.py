"""Writes the synthetic data set: drawings of faces in the exact format of AI Hub data set 82, defects included.

Input: a number of people and a seed. Output: archives that ``data`` reads like AI Hub's, and a ``Sample`` that
describes them. This package imports only ``core``; ``cli`` and ``experiments`` may import it.
"""

"""From photographs, folders, archives, films and cameras to one table of faces.

Input: sources as people name them. Output: a row for each face (Parquet, CSV or JSON lines), pictures and films with
the faces drawn in, the share of time of each emotion, and a plot. May import ``core``, ``detection`` and ``analyzer``.
"""

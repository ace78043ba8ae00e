"""From tables of crops to a trained network.

Input: split CSVs of crops (or photographs with boxes) and a recipe. Output: a run folder with ``best.pt``, metrics
and predictions. ``run`` is the way in; ``loop`` trains, ``crop_cache`` and ``batches`` feed it. Imports core, model and
export; only ``experiments``, ``cli`` and ``pyojeong/__init__.py`` import it.
"""

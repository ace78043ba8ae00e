"""From tables of crops to a trained network.

Comes in: split CSVs of crops (or photographs with boxes) and a recipe. Goes out: a run folder with ``best.pt``, metrics
and predictions. ``run`` is the way in; ``loop`` trains, ``crop_cache`` and ``batches`` feed it. Imports core, model and
export; only ``experiments`` and ``cli`` import it.
"""

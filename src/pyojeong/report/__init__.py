"""Tables, figures and an HTML page from the predictions of contenders.

In come prediction and evaluation CSVs, those of the seven experiments or any others. Out go ``reports/`` (CSV files,
``figures/*.png``, ``index.html``) or the folder of a comparison. The scores come from ``evaluation``, and no model runs
here. Only ``cli``, ``experiments`` and ``pyojeong/__init__.py`` import this package.
"""

"""Checkpoints as ONNX models for Python and the browser.

A ``best.pt`` comes in; an ONNX model that maps face patches to probabilities, its 8-bit variant and ``classes.json`` go
out (``onnx_file.export_onnx``). The package imports ``core`` and ``model``; ``training`` (for fast inference),
``experiments``, ``cli`` and ``pyojeong/__init__.py`` may import it.
"""

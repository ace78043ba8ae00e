"""The command ``pyojeong``.

Input: command-line arguments. Output: printed results, messages on stderr and an exit code. Each command imports the
stage it needs when it runs, so that ``--help`` is fast. May import every package but ``model``; only ``__main__``
imports it.
"""

"""The command ``pyojeong``.

Comes in: command-line arguments. Goes out: printed results, messages on stderr and an exit code. Each command imports
the stage it needs when it runs, so that ``--help`` is fast. May import everything; nothing but ``__main__`` imports it.
"""

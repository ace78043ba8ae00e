"""``python -m pyojeong`` is the command ``pyojeong``."""

from pyojeong.cli import main

main()

"""``python -m pyojeong`` is the command ``pyojeong``."""

from pyojeong.cli.commands import main

main()

"""``python -m pyojeong`` is the command ``pyojeong``."""

from pyojeong.cli.main import main

main()

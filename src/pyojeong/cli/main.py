"""The entry point: run a command and turn errors into one line and an exit code."""

import errno
import os
import sys
from typing import NoReturn

from pyojeong.cli.commands import app
from pyojeong.cli.terminal import escape_unprintable
from pyojeong.core.errors import InputError, extra_with
from pyojeong.core.progress import show_messages


def main() -> None:
    """Run the command line; an InputError becomes one line on stderr and exit code 2."""
    escape_unprintable()
    show_messages()
    # PyTorch's idle threads spin by default, which makes training crawl where other programs use the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except InputError as error:
        _stop(str(error))
    except ModuleNotFoundError as error:
        extra = extra_with(error.name)
        if extra is None:
            raise
        _stop(f"this command needs the package {error.name}; install it with: pip install 'pyojeong[{extra}]'")
    except OSError as error:
        file = error.filename or "a file"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _stop(
                f"{file}: no space left. Finished work is intact; free some space and run the same command again, "
                "it resumes where it stopped."
            )
        _stop(f"{file}: {error.strerror or error}; make it accessible, or choose another place")


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)

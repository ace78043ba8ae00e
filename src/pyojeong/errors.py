"""The one exception that speaks to the user."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message names the file, the row where there is one, and the remedy. The command line prints it
    without a traceback and exits with code 2.
    """

"""The one exception for bad input: reported as one line, exit status 2."""


class InputError(ValueError):
    """What the user gave is wrong; the message says what, and what would be right."""

"""Errors that end a run with one line instead of a traceback."""


class InputError(ValueError):
    """An input is wrong; the message says which, and what would be right. The exit status is 2."""


class DamagedImage(InputError):
    """An image cannot be read; the message names its file and the reason. The exit status is 2."""


class RunFailed(RuntimeError):
    """Some rows could not be computed; their tracebacks are on disk. The exit status is 1.

    ``report`` is the text about the computed rows.
    """

    def __init__(self, message: str, report: str) -> None:
        super().__init__(message, report)  # pickle creates a copy of an exception from these arguments
        self.report = report

    def __str__(self) -> str:
        return self.args[0]


class CannotWrite(RuntimeError):
    """A result cannot be written; the message names the file and the reason. The exit status is 1."""


def message_of(error: Exception) -> str:
    """Return the message of an exception in one line, without the traceback of another process.

    >>> message_of(InputError("Caught it there.\\nTraceback:\\nswis.errors.InputError: no image"))
    'no image'
    """
    kind = type(error)
    message = str(error).rpartition(f"\n{kind.__module__}.{kind.__name__}: ")[2]
    return message.strip().replace("\n", "\\n")

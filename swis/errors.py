"""What ends a run with one line instead of a traceback."""


class InputError(ValueError):
    """What the user gave is wrong; the message says what, and what would be right. Exit status 2."""


class DamagedImage(InputError):
    """An image cannot be read; the message names its file, and says why. Exit status 2."""


class RunFailed(RuntimeError):
    """Rows could not be computed; they are on disk with their traceback. Exit status 1.

    ``report`` is the text about the rows that could.
    """

    def __init__(self, message: str, report: str) -> None:
        super().__init__(message, report)  # both, for an exception is made anew from them in another process
        self.report = report

    def __str__(self) -> str:
        return self.args[0]


class CannotWrite(RuntimeError):
    """The file system does not take a result; the message says which, and why. Exit status 1."""


def message_of(error: Exception) -> str:
    """Return the message of an exception in one line, without what another process put around it.

    >>> message_of(InputError("Caught it there.\\nTraceback:\\nswis.errors.InputError: no image"))
    'no image'
    """
    kind = type(error)
    said = str(error).rpartition(f"\n{kind.__module__}.{kind.__name__}: ")[2]
    return said.strip().replace("\n", "\\n")

"""The one error the launcher shows to people: what is wrong, and what to do about it."""


class LauncherError(Exception):
    """A refusal with two lines: `what` happened and what `todo` next."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"error: {self.what}\n  do: {self.todo}"


class Interrupted(Exception):
    """Ctrl-C or SIGTERM arrived while something was being started."""

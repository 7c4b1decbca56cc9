"""The errors a user is shown: what is wrong, with which value, and the way out.

Everything else that is raised is a defect of ours and keeps its traceback.
"""


class UserError(ValueError):
    """Input that cannot be used. The command line prints its message in one line and exits with status 2.

    The message names the thing, its value and what to do instead, in that order.
    """


class Refusal(UserError):
    """Input that a worker may have sent: pages say it with the words of their language, the command line in English.

    Attributes:
        key: of the language file.
        values: what the words are filled in with.
    """

    def __init__(self, key: str, text: str, **values: object) -> None:
        super().__init__(text)
        self.key = key
        self.values = values


class StoreBusy(Exception):
    """Another program has written for so long that this write was given up; nothing of it is kept.

    No ``UserError``: whoever sent the input could do nothing else with it than send it again, so what catches those to
    show a form anew must let this pass. The command line prints it as one.
    """

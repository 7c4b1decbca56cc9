"""The one error a user is shown: what is wrong, with which value, and the way out.

Everything else that is raised is a defect of ours and keeps its traceback.
"""


class UserError(ValueError):
    """Input that cannot be used. The command line prints its message in one line and exits with status 2.

    The message names the thing, its value and what to do instead, in that order.
    """

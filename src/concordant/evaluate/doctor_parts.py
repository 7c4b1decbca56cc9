"""What the doctor's checks share: a verdict, and the conversations that they look at.

The conversations are written for this purpose: one and several turns, code, other scripts, emoji, a long one and one
that is almost empty. Each has two replies, so that an order can be compared.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from concordant.conversation import Conversation

Status = Literal["ok", "warning", "wrong", "not applicable"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says.

    Attributes:
        check: its name.
        status: "wrong" is a fault; "warning" is worth knowing and no fault.
        meaning: one sentence.
        measured: the number that was measured, None where there is none.
        limit: the largest number that is ok.
        counts: other numbers, by name.
    """

    check: str
    status: Status
    meaning: str
    measured: float | None = None
    limit: float | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.status,
            "measured": self.measured,
            "limit": self.limit,
            "meaning": self.meaning,
            **self.counts,
        }


def within(check: str, measured: float, limit: float, holds: str, fails: str, bad: Status = "wrong") -> Verdict:
    """ok if the measured number is at most the limit; a number that is not one is not.

    Args:
        check: its name.
        measured: what was found.
        limit: the largest number that is ok.
        holds: the sentence if it is.
        fails: the sentence if it is not.
        bad: the status if it is not.
    """
    fine = measured <= limit
    return Verdict(check, "ok" if fine else bad, holds if fine else fails, measured, limit)


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt and two replies to it."""

    prompt: Conversation
    replies: tuple[str, str]


def _asked(*texts: str) -> Conversation:
    """Turns of human and assistant by turns, the human's first."""
    talk = Conversation()
    for number, text in enumerate(texts):
        talk = talk.assistant(text) if number % 2 else talk.human(text)
    return talk


_CODE = """Why is this slow?

```python
def total(rows):
\tresult = []
    for row in rows:
        result = result + [row["n"] * 2]   # copies the list
    return sum(result)
```"""

_LETTER = """Please shorten this letter to two sentences.

Dear neighbours,

As most of you will have noticed, the lift in our house stood still for eleven days in March. The firm that looks after
it had to order a part, the part that came did not fit, and the second one was held up on its way. I know that this was
hard for those who live on the upper floors, above all for the two families with small children and for Mrs Okafor, who
could leave her flat only when one of us carried her chair. I should have told you sooner what was going on, and I am
sorry that I did not.

From now on there will be a sheet beside the letter boxes that says who has been called, when they will come, and whom
you can ring if you need help with shopping or stairs in the meantime. If you would like to be on the list of those who
help, put your name and your hours on the sheet as well.

With kind regards, the caretaker"""

CASES = (
    Case(
        _asked("How long do I boil an egg?"), ("Seven minutes for a soft yolk, ten for a firm one.", "Eggs are oval.")
    ),
    Case(_asked("?"), ("Could you say a little more about what you need?", "…")),
    Case(_asked("🐈‍⬛ or 🐕?"), ("A cat 🐈, if you are out all day.", "Dogs! 🎉🎉")),
    Case(_asked("Name a river.", "The Niger.", "And a longer one?"), ("The Nile is longer.", "The Niger, as I said.")),
    Case(_asked("富士山の高さは?"), ("3,776 メートルです。", "Очень высокая — мы не знаем, насколько.")),
    Case(_asked(_CODE), ("`result + […]` copies the list each time:\n\n\tresult.append(row['n'] * 2)", "It's Python.")),
    Case(
        _asked(
            "My landlord keeps my deposit.",
            "Did you get a list of the damage?",
            'He wrote "painting, 400" and nothing else.',
            "Then ask for the bill, in writing, with a date by which he should answer.",
            "He won't answer. What now?",
        ),
        ("Most towns have a free advice office for tenants; take the contract and his note there.", "Pity."),
    ),
    Case(
        _asked(_LETTER),
        (
            "The lift stood still for eleven days because parts came late, and I am sorry that I did not tell you. A "
            "sheet beside the letter boxes will now say what is being done and who helps in the meantime.",
            "The lift is broken.",
        ),
    ),
)
"""What every check looks at, as far as it fits the model's context."""

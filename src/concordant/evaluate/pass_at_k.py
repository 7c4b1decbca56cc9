"""HumanEval: generated programs, run against their tests in the sandbox, and pass@k (paper §5.3, Fig. 21).

pass@k is the chance that at least one of k programs passes, from n ≥ k samples of which c pass, without bias:
1 − C(n−c, k) / C(n, k). A program passes where it reaches its end: one that leaves early, with whatever status, does
not.
"""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.errors import UserError
from concordant.evaluate.answers import Answers, key_of
from concordant.evaluate.asked_model import AskedModel, Opening, Writing
from concordant.evaluate.benchmark_items import Item
from concordant.evaluate.intervals import clustered_mean, t95, wilson
from concordant.runs import Watch
from concordant.sandbox import Limits, Refused, Verdict, run_program

STOPS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\n@", "\n```")
"""Where the function that was asked for has ended."""
LIMITS = Limits(seconds=5.0)
PAPER_KS = (1, 5, 10, 25, 50, 75, 100)


def pass_at_k(n: int, passed: int, k: int) -> float:
    """1 − C(n−c, k) / C(n, k).

    Raises:
        ValueError: not 0 ≤ passed ≤ n, or not 1 ≤ k ≤ n.
    """
    if not 0 <= passed <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {passed} in {n} is not defined")
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def run_humaneval(asked: AskedModel, items: Sequence[Item], how: Writing, watch: Watch) -> list[dict[str, Any]]:
    """Each item with its n programs' verdicts; the share that passes is its credit.

    Args:
        asked: the model; verdicts are kept among its answers.
        items: prompts with their tests.
        how: samples, temperature, length.
        watch: told of progress in programs.

    Raises:
        UserError: this system has no sandbox.
    """
    replies = asked.replies([Opening(item.prompt) for item in items], how)
    rows, done = [], 0
    for item, of_item in zip(items, replies, strict=True):
        verdicts = []
        for reply in of_item:
            verdicts.append(_verdict(asked.answers, item, reply))
            done += 1
            watch(done, len(items) * how.n, asked.name)
        passed = sum(verdict["passed"] for verdict in verdicts)
        rows.append(
            {
                "item": item.key,
                "group": "",
                "pass@1": passed / how.n,
                "passed": passed,
                "n": how.n,
                "answered": verdicts,
            }
        )
    return rows


def passes(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """pass@k, with its interval over problems, for the paper's k up to the number of samples."""
    found = {}
    n = min(row["n"] for row in rows)
    for k in (k for k in PAPER_KS if k <= n):
        values = np.array([pass_at_k(row["n"], row["passed"], k) for row in rows])
        mean, error = clustered_mean(values, [row["item"] for row in rows])
        if error > 0 and len(rows) > 1:
            half = error * t95(len(rows) - 1)
            ci95 = (max(0.0, mean - half), min(1.0, mean + half))
        else:  # problems that are all alike have no spread to go by
            ci95 = wilson(mean, float(len(rows)))
        found[str(k)] = {"value": mean, "ci95": list(ci95)}
    return found


def _verdict(answers: Answers, item: Item, reply: str) -> dict[str, Any]:
    """What came of one program; the same program is not run twice."""
    tests, entry = item.extra
    program = f"{item.prompt}{reply}\n\n{tests}\n\ncheck({entry})\n"
    key = key_of("program", program)
    if key not in answers:
        # Printed last of all, and not to be guessed: who prints it has come through the tests.
        mark = secrets.token_hex(16)
        try:
            verdict = run_program(f"{program}\nprint({mark!r})\n", LIMITS)
        except Refused as error:
            raise UserError(f"the sandbox runs no more programs ({error}); start this again to go on") from None
        answers.add([(key, _plain(verdict, mark))])
    return {"text": reply, **answers[key]}


def _plain(verdict: Verdict, mark: str) -> dict[str, Any]:
    passed = verdict.end == "ended" and verdict.output.rstrip().endswith(mark)
    last = (verdict.output.strip().splitlines() or [""])[-1][:200]
    return {"passed": passed, "end": verdict.end, "said": "" if passed else last}

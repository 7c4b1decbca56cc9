"""lm-eval on our models: its task machinery and metrics, our rows, and our way of computing.

lm-eval (extra ``capabilities``) builds few-shot contexts, asks a model, and counts; a task is described to it by
``capability_tasks``, and its rows stand in memory, so nothing is looked up on any hub and no code of a data set is run.
The model it asks is ``AskedModel``: the options of a question share one row, and what was answered is not asked again.
Left out: lm-eval's own tasks, its caches, its environment report, and tasks on perplexity.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concordant.errors import UserError
from concordant.evaluate.asked_model import AskedModel, Opening, Writing
from concordant.evaluate.benchmark_items import Item
from concordant.evaluate.capability_tasks import Task, Wording, config_of, row_of
from concordant.models.option_scores import Question

if TYPE_CHECKING:
    from lm_eval.api.model import LM

NO_HARNESS = "lm-eval is not installed; install it with 'pip install \"concordant[capabilities]\"'"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a task is asked through lm-eval.

    Attributes:
        wording: "paper" or "harness".
        shots: examples before each question.
    """

    wording: Wording
    shots: int


def require_harness() -> None:
    """Raise, before any work, where the extra is missing."""
    with _quiet_harness():
        pass


@contextmanager
def _quiet_harness() -> Iterator[Any]:
    """lm-eval's ``evaluate``, without its log and its bars: progress is ours."""
    try:
        import lm_eval.api.task as tasks
        from lm_eval.evaluator import evaluate
    except ImportError:
        raise UserError(NO_HARNESS) from None
    logger = logging.getLogger("lm_eval")
    level, bar = logger.level, tasks.tqdm
    logger.setLevel(logging.ERROR)
    tasks.tqdm = lambda rows, **_: rows
    try:
        yield evaluate
    finally:
        logger.setLevel(level)
        tasks.tqdm = bar


def run_task(
    asked: AskedModel, task: Task, plan: Plan, items: Sequence[Item], examples: Sequence[Item]
) -> list[dict[str, Any]]:
    """What lm-eval found for each item, in order: its key and group, its metrics, and what the model answered.

    Args:
        asked: the model.
        task: of one of lm-eval's kinds.
        plan: wording and number of examples.
        items: what is asked.
        examples: at least ``plan.shots`` of them for every group of items; the first ones are shown.

    Raises:
        UserError: lm-eval is not installed, or there are too few examples.
    """
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(item.group, []).append(item)
    with _quiet_harness() as evaluate:
        described = {}
        for number, (group, of_group) in enumerate(parts.items()):
            shown = _shown(task, plan, group, examples)
            name = f"{task.name}-{number}"
            described[name] = _described(task, plan, name, of_group, shown)
        found = evaluate(lm=_harness_model(asked), task_dict=described, bootstrap_iters=0, log_samples=True)
    rows = {}
    for number, (group, of_group) in enumerate(parts.items()):
        for sample in found["samples"][f"{task.name}-{number}"]:
            item = of_group[sample["doc_id"]]
            rows[item.key] = _result(item, group, sample)
    return [rows[item.key] for item in items]


def _shown(task: Task, plan: Plan, group: str, examples: Sequence[Item]) -> list[Item]:
    """The examples of one group, the first ones."""
    shown = [item for item in examples if item.group == group] if group else list(examples)
    if len(shown) < plan.shots:
        where = f" for {group}" if group else ""
        raise UserError(
            f"--shots {plan.shots}: {task.name} has {len(shown)} examples{where}; put a file of them beside its test "
            f"({', '.join(task.examples) or 'it takes none'}), or ask for fewer"
        )
    return shown[: plan.shots]


def _described(task: Task, plan: Plan, name: str, items: Sequence[Item], shown: Sequence[Item]) -> Any:
    """lm-eval's task object on rows in memory."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    few = plan.shots > 0
    rows = {
        "test": Dataset.from_list([row_of(task, item, plan.wording, few) for item in items]),
        # lm-eval looks at the first row of this part even where no example is shown
        "examples": Dataset.from_list([row_of(task, item, plan.wording, few) for item in shown or items[:1]]),
    }
    config = config_of(task, plan.wording, few)
    return ConfigurableTask(
        config={**config, "task": name, "num_fewshot": plan.shots, "custom_dataset": lambda **_: rows}
    )


def _result(item: Item, group: str, sample: dict[str, Any]) -> dict[str, Any]:
    metrics = {name: float(sample[name]) for name in sample["metrics"]}
    return {"item": item.key, "group": group, **metrics, "answered": _answered(item, sample)}


def _answered(item: Item, sample: dict[str, Any]) -> Any:
    """The written answer, or the log-probability of each option."""
    answers = [answer[0] if isinstance(answer, list | tuple) else answer for answer in sample["filtered_resps"]]
    return answers if item.options else answers[0]


def _harness_model(asked: AskedModel) -> "LM":
    """Our model as lm-eval's."""
    from lm_eval.api.model import LM

    class HarnessModel(LM):  # type: ignore[misc]
        """Answers lm-eval's requests; those of one context in a row are the options of one question."""

        tokenizer_name = ""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            questions: list[Question] = []
            for before, option in (request.args for request in requests):
                if questions and questions[-1].context == before and option not in questions[-1].options:
                    questions[-1] = Question(before, (*questions[-1].options, option))
                else:
                    questions.append(Question(before, (option,)))
            return [(score.logprob, score.greedy) for scores in asked.options(questions) for score in scores]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError("no task of ours asks for perplexity")

        def generate_until(self, requests: list[Any]) -> list[str]:
            how = [_writing(request.args[1]) for request in requests]
            answers: dict[int, str] = {}
            for way in dict.fromkeys(how):
                places = [place for place, one in enumerate(how) if one == way]
                replies = asked.replies([Opening(requests[place].args[0]) for place in places], way)
                answers |= {place: reply[0] for place, reply in zip(places, replies, strict=True)}
            return [answers[place] for place in range(len(requests))]

    return HarnessModel()


def _writing(settings: dict[str, Any]) -> Writing:
    """lm-eval's settings of greedy generation as ours."""
    until = settings.get("until") or []
    stops = (until,) if isinstance(until, str) else tuple(until)
    if settings.get("do_sample"):
        raise ValueError("a task that samples is not asked through lm-eval")
    return Writing(max_new_tokens=int(settings.get("max_gen_toks", 256)), temperature=0.0, stops=stops)


Loader = Callable[[str, str | None, str], list[dict[str, Any]]]


def hub_rows(path: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The rows of a data set on the hub, as its files have them; no code of it is run.

    Raises:
        UserError: the hub cannot be reached, or has no such data.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(NO_HARNESS) from None
    try:
        return list(load_dataset(path, config, split=split))
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be had from the hub ({reason}); give local files with --data DIR") from None

"""Items of the NLP benchmarks (paper §4.6.1) out of the forms that they are published in.

Each reader takes one row, from a file or from the hub, and gives an ``Item``: what is asked, the options or the text
that is right, and a group (a subject, a category). Several published forms of a benchmark give the same item.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError
from concordant.evaluate.answers import key_of
from concordant.evaluate.benchmark_files import Unusable, read_rows, text_of


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark.

    Attributes:
        key: the same wherever the same question stands.
        prompt: the question, the text to be continued, or the program's beginning.
        options: of multiple choice; else none.
        gold: place of the right option; 0 where there are none.
        answers: where there are no options, texts that are right.
        group: a subject or category, or nothing.
        split: of which part of the benchmark it says it is, or nothing.
        extra: what else its task needs.
    """

    key: str
    prompt: str
    options: tuple[str, ...] = ()
    gold: int = 0
    answers: tuple[str, ...] = ()
    group: str = ""
    split: str = ""
    extra: tuple[str, ...] = ()


Reader = Callable[[dict[str, Any]], Item]


def read_items(path: Path, reader: Reader, what: str) -> tuple[list[Item], Counter[str]]:
    """(items of a file, rows that cannot be used by reason); an item that stands there twice counts once.

    Raises:
        UserError: the file cannot be read, or none of its rows can be used.
    """
    items, dropped = items_of(read_rows(path), reader)
    if not items:
        why = ", ".join(f"{count:,} with {reason}" for reason, count in dropped.items())
        raise UserError(f"{path} holds no item of {what} ({why}); give the benchmark's own file")
    return items, dropped


def items_of(rows: Iterable[dict[str, Any]], reader: Reader) -> tuple[list[Item], Counter[str]]:
    """``read_items`` of rows that are there."""
    items: dict[str, Item] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        try:
            item = reader(row)
        except Unusable as reason:
            dropped[str(reason)] += 1
            continue
        dropped["a question that is there already"] += item.key in items
        items.setdefault(item.key, item)
    return list(items.values()), +dropped


def _choice(prompt: str, options: Sequence[Any], gold: int, group: str = "", split: str = "") -> Item:
    texts = tuple(str(option).strip() for option in options)
    if len(texts) < 2 or not all(texts):
        raise Unusable("fewer than two options, or an empty one")
    if not 0 <= gold < len(texts):
        raise Unusable("no right option")
    return Item(key_of(prompt, texts), prompt, texts, gold, group=group, split=split)


def arc(row: dict[str, Any]) -> Item:
    """ARC and OpenBookQA: a stem, choices with labels, the right one's label; as lists of texts and labels too."""
    question, labels = row.get("question"), row.get("answerKey")
    inside = question if isinstance(question, dict) else row
    stem = text_of(inside, "stem", "question_stem", "question")
    choices = inside.get("choices", row.get("choices"))
    if isinstance(choices, dict):
        pairs = list(zip(choices.get("label", []), choices.get("text", []), strict=False))
    elif isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        pairs = [(choice.get("label"), choice.get("text")) for choice in choices]
    else:
        raise Unusable("no column 'choices' with labels and texts")
    named = [str(label) for label, _ in pairs]
    answer = str(labels).strip()
    return _choice(stem, [text for _, text in pairs], named.index(answer) if answer in named else -1)


def openbookqa(row: dict[str, Any]) -> Item:
    """OpenBookQA in its own form, or as an instruction that ends in "Answer1: … Answer2: …"."""
    if "instruction" not in row:
        return arc(row)
    found = re.match(r"(?s)(?:.*?:\s)?(.*?)\s+Answer1:(.*?)\s+Answer format:", text_of(row, "instruction"))
    right = re.fullmatch(r"answer(\d+)", str(row.get("answer", "")).strip().lower())
    if not found or not right:
        raise Unusable("no question with 'Answer1:', or no right 'answer'")
    return _choice(found[1].strip(), re.split(r"\sAnswer\d+:", found[2]), int(right[1]) - 1)


def mmlu(row: dict[str, Any]) -> Item:
    """MMLU: question, four choices, the answer as a letter or a number; a subject, and maybe a split."""
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list):
        raise Unusable("no list in column 'choices'")
    letter = str(answer).strip().upper()
    gold = "ABCDEFGHIJ".find(letter) if len(letter) == 1 and letter.isalpha() else -1
    gold = answer if isinstance(answer, int) else gold
    return _choice(
        text_of(row, "question").strip(), choices, gold, str(row.get("subject", "")), str(row.get("split", ""))
    )


def hellaswag(row: dict[str, Any]) -> Item:
    """HellaSwag: an activity, a beginning in two parts, four endings; WikiHow's marks in brackets are taken out."""
    endings, label = row.get("endings"), row.get("label")
    if not isinstance(endings, list) or not re.fullmatch(r"\d", str(label)):
        raise Unusable("no list in column 'endings', or no 'label'")
    second = str(row.get("ctx_b", ""))
    begun = text_of(row, "ctx_a") + (f" {second.capitalize()}" if second else "")
    return _choice(_unmarked(f"{text_of(row, 'activity_label')}: {begun}"), [*map(_unmarked, endings)], int(str(label)))


def _unmarked(text: Any) -> str:
    """A text of HellaSwag without "[title]" and its kin."""
    return re.sub(r"\[.*?\]", "", str(text).strip().replace(" [title]", ". ")).replace("  ", " ").strip()


def lambada(row: dict[str, Any]) -> Item:
    """LAMBADA: a passage whose last word is to be found."""
    passage, _, word = text_of(row, "text").strip().rpartition(" ")
    if not passage:
        raise Unusable("a passage of one word")
    return Item(key_of(passage, word), passage, answers=(word,))


def triviaqa(row: dict[str, Any]) -> Item:
    """TriviaQA without context: a question, and an answer with its aliases."""
    answer = row.get("answer", row.get("Answer"))
    if not isinstance(answer, dict):
        raise Unusable("no object in column 'answer' with 'value' and 'aliases'")
    texts = [answer.get("value", answer.get("Value")), *(answer.get("aliases", answer.get("Aliases")) or [])]
    right = tuple(dict.fromkeys(str(text) for text in texts if text))
    if not right:
        raise Unusable("no answer")
    question = text_of(row, "question", "Question").strip()
    return Item(key_of(question), question, answers=right)


def truthfulqa(row: dict[str, Any]) -> Item:
    """TruthfulQA's first task: one true answer among false ones; as its table has it, or the hub."""
    targets = row.get("mc1_targets")
    if isinstance(targets, dict):
        labels = list(targets.get("labels", []))
        gold = labels.index(1) if 1 in labels else -1
        return _choice(text_of(row, "question").strip(), list(targets.get("choices", [])), gold)
    false = [part.strip() for part in text_of(row, "Incorrect Answers").split(";")]
    options = [text_of(row, "Best Answer"), *filter(None, false)]
    return _choice(text_of(row, "Question").strip(), options, 0, str(row.get("Category", "")))


def humaneval(row: dict[str, Any]) -> Item:
    """HumanEval: the beginning of a program, its tests, and the function that they call."""
    prompt = text_of(row, "prompt")
    tests = (text_of(row, "test"), text_of(row, "entry_point"))
    return Item(key_of(prompt, tests), prompt, extra=tests)

"""One context distillation: the teacher asked, the student trained, the distance measured (paper §2.3, App. A.1).

What each half has made is kept: a killed run goes on inside it, a finished one is not trained again, and the teacher's
output can serve students of other sizes. Left out: which files the texts come from, and where the folder stands.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.distance import Contest, measure_distance
from concordant.hhh_prompt import HhhPrompt
from concordant.models.chat_format import ChatFormat
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import MadeModel
from concordant.models.prompted import PromptedModel
from concordant.models.text_rows import TextRow, draw_mixture, text_rows
from concordant.models.tokenizers import common_width, read_tokenizer
from concordant.runs import Run, Watch, read_json, write_whole
from concordant.train.distill import distill
from concordant.train.teacher_shards import TeacherShards
from concordant.train_config import DistillConfig

PROMPT, DOCUMENTS, DISTANCE = "prompt.txt", "documents.json", "evaluation.json"

Progress = Callable[[str], AbstractContextManager[Watch]]


@dataclass(frozen=True, slots=True)
class Voice:
    """How a run speaks: ``progress`` draws a stage's, ``say`` prints a line."""

    progress: Progress
    say: Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """Teacher and student before anything is loaded.

    Attributes:
        student: folder of the student as it is before.
        teacher: folder of the model that reads the prompt; may be the same.
        prompt: what it reads.
        device: where both are put.
    """

    student: Path
    teacher: Path
    prompt: HhhPrompt
    device: str = "cpu"

    def __post_init__(self) -> None:
        assert self.width  # a pair that cannot be is refused before anything is done

    @cached_property
    def format(self) -> ChatFormat:
        """The student's: it is the one that will be talked to."""
        return ChatFormat(read_tokenizer(self.student))

    @cached_property
    def width(self) -> int:
        """Tokens of the vocabulary that both have."""
        return common_width(self.teacher, self.student)

    def prompted(self, base: LanguageModel | None, text_tokens: int) -> PromptedModel:
        """The teacher behind its prompt; ``base``, where it is given, is the model of the student's folder."""
        same = base is not None and self.teacher == self.student
        model = base if base is not None and same else LanguageModel.load(self.teacher, device=self.device)
        return PromptedModel.after(self.format.prefix(self.prompt), model, text_tokens)


@dataclass(frozen=True, slots=True)
class Texts:
    """What is learned from and measured on; no document stands on both sides.

    Attributes:
        lessons: rows in the order of learning.
        exam: rows to measure on; may be none.
        dropped: reason → how many texts were left out.
    """

    lessons: list[TextRow]
    exam: list[TextRow]
    dropped: Counter[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many texts are taken: ``test_fraction`` of the documents kept from training, and at most so many texts."""

    test_fraction: float
    texts: int | None
    test_texts: int | None


def cut_texts(
    conversations: Sequence[Conversation], format: ChatFormat, config: DistillConfig, limits: Limits
) -> Texts:
    """Rows of the conversations, cut into lessons and exam by document, each mixed as the config says.

    Raises:
        UserError: too few texts of a kind on one of the sides.
    """
    sides: tuple[list[Conversation], list[Conversation]] = ([], [])
    for talk in conversations:
        digest = hashlib.sha256(f"exam:{talk.split_key}".encode()).digest()
        sides[int.from_bytes(digest[:8], "big") < limits.test_fraction * 2**64].append(talk)
    lessons, dropped = text_rows(sides[0], format, config.text_tokens)
    drawn = draw_mixture(lessons, config.dialogue_share, limits.texts, config.seed)
    if not limits.test_fraction:
        return Texts(drawn, [], dropped)
    exam, unusable = text_rows(sides[1], format, config.text_tokens)
    try:
        asked = draw_mixture(exam, config.dialogue_share, limits.test_texts, config.seed)
    except UserError as error:
        raise UserError(f"of the {len(exam)} texts kept to measure on: {error}; or raise --test-fraction") from None
    if (documents := len({row.document for row in asked})) < 2:
        raise UserError(
            f"the texts kept to measure on are of {documents} document; raise --test-fraction, or set it to 0"
        )
    return Texts(drawn, asked, dropped + unusable)


def distill_run(
    run: Run, pair: Pair, texts: Texts, config: DistillConfig, shards_folder: Path, voice: Voice
) -> dict[str, Any]:
    """The result of the run, which is trained first unless it is finished.

    Args:
        run: begun with this config.
        pair: teacher and student.
        texts: what is learned from.
        config: of the run.
        shards_folder: where the teacher's output is or will be.
        voice: told of each stage.

    Raises:
        UserError: the prompt does not fit, another teacher's output is in the way, or the run diverged.
    """
    if run.finished:
        return run.result
    if config.k > pair.width:
        raise UserError(f"k is {config.k}, and the vocabulary has {pair.width} tokens; lower it")
    shards = TeacherShards(shards_folder, texts.lessons, config.k, pair.width, config.shard_texts)
    with run.alone():
        write_whole(run.path / PROMPT, pair.prompt.to_text())
        documents = sorted({row.document for row in texts.lessons})
        write_whole(run.path / DOCUMENTS, json.dumps({"learned_from": documents}) + "\n")
        _ask_the_teacher(pair, shards, config, voice)
        with voice.progress("training") as watch:
            result = distill(run, LanguageModel.load(pair.student, device=pair.device), shards, config, watch)
        run.finish({**result, "dropped": dict(texts.dropped), "teacher_bytes": shards.bytes})
    return run.result


def _ask_the_teacher(pair: Pair, shards: TeacherShards, config: DistillConfig, voice: Voice) -> None:
    """Make the shards that are missing; no other process writes into their folder meanwhile."""
    with shards.alone():
        shards.begin({"teacher": weights_digest(pair.teacher), "prompt": pair.prompt.digest})
        if not shards.missing:
            return
        teacher = pair.prompted(None, config.text_tokens)
        voice.say(
            f"teacher: {len(shards.rows):,} texts of {shards.counted:,} tokens behind a prompt of "
            f"{teacher.length:,}; {shards.bytes / 1e6:,.1f} MB in {shards.count} shards under {shards.folder}"
        )
        with voice.progress("asking the teacher") as watch:
            shards.fill(teacher, config.row_tokens, watch)


def measure_run(
    run: Run, pair: Pair, rows: Sequence[TextRow], config: DistillConfig, progress: Progress
) -> dict[str, Any]:
    """``DISTANCE_FIELDS`` of a finished run on these texts, written beside it.

    Raises:
        UserError: they are of fewer than two documents.
    """
    if (documents := len({row.document for row in rows})) < 2:
        raise UserError(f"the texts to measure on are of {documents} document, and an interval needs two; give more")
    base = LanguageModel.load(pair.student, device=pair.device)
    teacher = pair.prompted(base, config.text_tokens)
    student = LanguageModel.load(run.model, device=pair.device)
    contest = Contest(teacher, base, student, config.k, pair.width)
    with progress("measuring") as watch:
        result = measure_distance(contest, rows, config.row_tokens, watch)
    write_whole(run.path / DISTANCE, json.dumps(result, indent=2) + "\n")
    return result


def unseen(run: Run, conversations: Sequence[Conversation], dropped: Counter[str]) -> list[Conversation]:
    """The conversations whose documents the run has not learned from; the others are counted."""
    known = set(read_json(run.path / DOCUMENTS)["learned_from"])
    fresh = [talk for talk in conversations if talk.split_key not in known]
    if len(fresh) < len(conversations):
        dropped["text that was learned from"] += len(conversations) - len(fresh)
    return fresh


def weights_digest(folder: Path) -> str:
    """A model's name and the beginning of a SHA-256 of its weights: another teacher is another digest."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    made = MadeModel.at(folder)
    return f"{made.name if made else folder.resolve().name}@{digest.hexdigest()[:12]}"

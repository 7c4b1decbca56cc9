"""``concordant doctor``: whether a model does what the rest takes for granted, a verdict for each check."""

import argparse
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json

if TYPE_CHECKING:
    from concordant.evaluate.doctor_parts import Verdict
    from concordant.models.language_model import LanguageModel
    from concordant.models.preference_model import PreferenceModel

_WIDTH = 80


def add(verbs: Verbs) -> None:
    """Add the verb ``doctor``."""
    doctor = verbs.add_parser(
        "doctor",
        help="check a model's padding, batches, template and score position; exit status 1 if a check fails",
    )
    doctor.add_argument("model", metavar="RUN", help="a run's folder, a model's folder, or a base model's name")
    doctor.add_argument(
        "--pm", type=Path, metavar="RUN", help="of a policy run: check also the preference model that trains it"
    )
    add_device(doctor)
    add_json(doctor)
    doctor.set_defaults(run=doctor_)


def doctor_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.evaluate.doctor import examine
    from concordant.models.preference_model import PreferenceModel

    device = device_of(args)
    model = _load(args.model, device)
    kind = "preference model" if isinstance(model, PreferenceModel) else "causal language model"
    with progress("checking") as watch:
        verdicts = examine(model, watch)
    verdicts += _of_policy(Path(args.model), args.pm, device)
    wrong = sum(verdict.status == "wrong" for verdict in verdicts)
    result = {
        "model": args.model,
        "kind": kind,
        "holds": not wrong,
        "wrong": wrong,
        "checks": [verdict.json() for verdict in verdicts],
    }
    return Outcome("\n".join([f"{args.model}: {kind}", "", *_lines(verdicts)]), result, 1 if wrong else 0)


def _of_policy(path: Path, pm: Path | None, device: str) -> "list[Verdict]":
    """What PPO takes for granted, of a policy run: as it began, and as its record says it went on."""
    from concordant.errors import UserError
    from concordant.evaluate.doctor_policy import recorded_verdicts, verdicts_of
    from concordant.models.language_model import LanguageModel
    from concordant.models.made_model import MadeModel, policy_base
    from concordant.models.preference_model import PreferenceModel
    from concordant.train.start_check import start_findings
    from concordant.train_config import PolicyConfig

    made = MadeModel.at(path) if path.is_dir() else None
    if made is None or made.run is None or made.kind != "policy":
        if pm is not None:
            raise UserError(f"--pm goes with a policy run, and {path} is none")
        return []
    base = policy_base(made.folder)
    if not (base / "config.json").exists():
        raise UserError(f"{path} was trained from {base}, which is not there; put it back")
    config = PolicyConfig.model_validate(made.run.head["config"])
    begun = LanguageModel.load(base, device=device)
    begun = begun.with_lora(config.lora_rank, config.seed) if made.adapter else begun.with_all_weights()
    findings = start_findings(begun, [PreferenceModel.load(pm, device)] if pm else [], config)
    return [*verdicts_of(findings), *recorded_verdicts(made.run.metrics())]


def _load(name: str, device: str) -> "PreferenceModel | LanguageModel":
    """The preference model, policy or base model that a name or folder stands for."""
    from concordant.models.made_model import model_folder
    from concordant.models.named_model import NamedModel
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import read_json

    config = model_folder(Path(name)) / "config.json"
    heads = (read_json(config).get("architectures") or [""]) if config.exists() else [""]
    if str(heads[0]).endswith("ForSequenceClassification"):
        return PreferenceModel.load(Path(name), device)
    return NamedModel.find(name, say=lambda line: print(line, file=sys.stderr)).load(device)


def _lines(verdicts: "Sequence[Verdict]") -> list[str]:
    """A line for each check, what it means below it, and the sum."""
    lines = []
    for verdict in verdicts:
        numbers = ""
        if verdict.measured is not None and verdict.limit is not None:
            numbers = f"{verdict.measured:.2g} (limit {verdict.limit:g})"
        status = verdict.status.upper() if verdict.status == "wrong" else verdict.status
        lines.append(f"{status:<15} {verdict.check:<20} {numbers}".rstrip())
        lines += textwrap.wrap(verdict.meaning, _WIDTH, initial_indent=" " * 16, subsequent_indent=" " * 16)
    counts = Counter(verdict.status for verdict in verdicts)
    said = ", ".join(f"{counts[status]} {status}" for status in ("ok", "warning", "wrong", "not applicable"))
    return [*lines, "", said]

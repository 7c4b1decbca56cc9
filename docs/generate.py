"""Writes the pages of this folder that are made from the code: config.md, commands.md, metrics.md.

``python docs/generate.py`` rewrites them, ``--check`` only says which are out of date (status 1).
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from concordant.cli import build_parser
from concordant.config import Section
from concordant.programme_config import ProgrammeConfig
from concordant.train_config import DistillConfig, PmpConfig

DOCS = Path(__file__).parent
NOTE = "<!-- Made from the code by `make docs`; change the code, not this page. -->\n\n"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def config_page() -> str:
    """Every setting, one table for each section of concordant.toml."""
    sections: list[tuple[str, type[Section], str]] = [("", ProgrammeConfig, "")]
    for name, field in ProgrammeConfig.model_fields.items():
        if (section := _section(field)) is not None:
            sections.append((name, section, field.description or ""))
            for inner, part in section.model_fields.items():
                if (nested := _section(part)) is not None:
                    sections.append((f"{name}.{inner}", nested, part.description or ""))
    pretraining = "What `train pmp` takes. It is a command of its own: no section of `concordant.toml`."
    sections.append(("pmp", PmpConfig, pretraining))
    sections.append(("distill", DistillConfig, "What `train distill` takes; no section of `concordant.toml` either."))
    parts = [
        "# Settings\n\nA programme's `concordant.toml` holds only what differs from these defaults. One setting can "
        "also be given on the command line, with `--set key=value`, where the verb's help names it; `train pm` and "
        "`train policy` take the keys of `[pm]` and `[policy]` without the section's name. An unknown key is an "
        "error. A run writes what it used, resolved, to its `config.json`.\n"
    ]
    for name, section, description in sections:
        is_setting = name.partition(".")[0] in ProgrammeConfig.model_fields
        title = "The programme" if not name else f"[{name}]" if is_setting else f"train {name}"
        parts.append(f"\n## {title}\n" + (f"\n{description}\n" if description else ""))
        parts.append("\n| key | default | allowed | meaning |\n|---|---|---|---|\n")
        parts.extend(
            f"| `{key}` | `{_toml(field.default)}` | {_allowed(field)} | {field.description} |\n"
            for key, field in section.model_fields.items()
            if _section(field) is None
        )
    return NOTE + "".join(parts)


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return repr(list(value))
    if isinstance(value, Decimal):
        return str(value)
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)


def _allowed(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
    choices = ", ".join(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ""
    return ", ".join(limits) or choices or (field.annotation.__name__ if isinstance(field.annotation, type) else "")


def commands_page() -> str:
    """Every verb with its arguments."""
    parser = build_parser()
    return NOTE + (
        f"# Commands\n\n{parser.description}\n\n"
        "Exit status: 0 done; 2 the input is wrong, with one line that names the thing, its value and the way out; "
        "130 interrupted, and the same command goes on where it stopped. With `--json`, standard output holds one JSON "
        "object; progress goes to standard error.\n" + "".join(_verbs(parser))
    )


def _verbs(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            help_of = {choice.dest: choice.help for choice in action._choices_actions}
            for name, inner in action.choices.items():
                if inner.get_default("run"):
                    text = inner.description or help_of[name] or ""
                    yield f"\n## {inner.prog}\n\n{_sentence(text)}\n{_arguments(inner)}"
                yield from _verbs(inner)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _arguments(parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.help is not argparse.SUPPRESS and action.dest != "help"]
    if not actions:
        return ""
    rows = [
        f"| `{_argument(action)}`{' (required)' if action.option_strings and action.required else ''} "
        f"| {_help(parser, action)} |\n"
        for action in actions
    ]
    return "\n| argument | meaning |\n|---|---|\n" + "".join(rows)


def _argument(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        name = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    value = "" if action.nargs == 0 else f"{name} …" if action.nargs in ("+", "*") else name
    value = f"[{value}]" if action.nargs in ("?", "*") else value
    return _cell(f"{', '.join(action.option_strings)} {value}".strip())


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values = {**vars(action), "prog": parser.prog}
    return _cell((action.help or "") % values)


def _cell(text: str) -> str:
    """Text that may stand in a cell of a table."""
    return text.replace("|", "\\|")


def metrics_page() -> str:
    """Every number that a training run logs."""
    from concordant.evaluate.accuracy import PM_FIELDS
    from concordant.evaluate.best_of_run import BEST_OF_METRICS
    from concordant.evaluate.distance import DISTANCE_FIELDS
    from concordant.evaluate.paired import TAX_FIELDS
    from concordant.prompt_writing import WRITING_METRICS
    from concordant.train.distill import DISTILL_METRICS
    from concordant.train.pm import PM_METRICS, PMP_METRICS
    from concordant.train.policy_log import POLICY_METRICS

    return NOTE + (
        "# Metrics\n\nWhat stands in a run's `metrics.jsonl`, one JSON object for each step.\n"
        + _metrics("train pmp, and train pm with lm_coef > 0", PMP_METRICS)
        + _metrics("train pm", PM_METRICS)
        + _metrics("train policy", POLICY_METRICS)
        + _metrics("train distill", DISTILL_METRICS)
        + _metrics(
            "evaluate distill",
            DISTANCE_FIELDS,
            "What `evaluate distill --json` prints, and a distillation's folder keeps as `evaluation.json`.\n\n",
        )
        + _metrics("prompts write", WRITING_METRICS)
        + _metrics("evaluate best-of", BEST_OF_METRICS)
        + _metrics(
            "evaluate capabilities",
            TAX_FIELDS,
            "What `evaluate capabilities --json` prints, and its folder keeps as `result.json`.\n\n",
        )
        + _metrics(
            "evaluate pm",
            PM_FIELDS,
            "What `evaluate pm --json` prints, and a run's folder keeps as `evaluation.json`.\n\n",
        )
    )


def _metrics(verb: str, meanings: Mapping[str, str], about: str = "") -> str:
    rows = "".join(f"| `{name}` | {_cell(meaning)} |\n" for name, meaning in meanings.items())
    return f"\n## {verb}\n\n{about}| name | meaning |\n|---|---|\n{rows}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if a page is out of date")
    check = parser.parse_args().check
    pages = {"config.md": config_page(), "commands.md": commands_page(), "metrics.md": metrics_page()}
    stale = [name for name, text in pages.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]
    if check and stale:
        print(f"docs/{', docs/'.join(stale)}: out of date; run 'make docs'", file=sys.stderr)
        return 1
    for name in stale:
        (DOCS / name).write_text(pages[name])
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A trained model as others load it: a plain transformers folder, or a peft adapter, with tokenizer and card.

A policy's adapter is merged into its base's weights, so that nothing of Concordant or peft is needed to use it; a
preference model's folder is plain already and is copied. No file names a folder of this machine. Left out: pushing
anything to a hub.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError
from concordant.models.base_models import SEAL
from concordant.models.card import CARD, name_on_hub, without_folders
from concordant.models.language_model import LanguageModel, adapter_base, is_whole_policy
from concordant.models.policy_card import PolicyFacts, policy_card
from concordant.models.preference_model import is_preference_model
from concordant.runs import Run, is_occupied, read_json, replace_folder, write_whole

_ADAPTER = "adapter_config.json"
_KEPT = "kept.json"
"""In a kept snapshot's folder: what its samples showed."""
_FOLDER_KEYS = ("_name_or_path", "name_or_path")


EXPORTED = ("pm", "pmp", "policy")
"""Kinds of runs whose models have a card."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported.

    Attributes:
        folder: holds the weights.
        run: the run that made it, None where it stands alone.
        update: of a snapshot kept on the way, else "".
    """

    folder: Path
    run: Run | None
    update: str

    @classmethod
    def at(cls, path: Path) -> "Source":
        """A run's folder, its model's folder, or that of a snapshot it kept (``RUN/kept/UPDATE``).

        Raises:
            UserError: no model stands there.
        """
        run = next((Run(part) for part in (path, *path.absolute().parents[:2]) if _is_run(part)), None)
        folder = path / "model" if _is_run(path) else path
        if not (folder / _ADAPTER).exists() and not (folder / "config.json").exists():
            raise UserError(f"{path} holds no finished model; give a run that has ended, or a folder of a model")
        trained = (folder / _ADAPTER).exists() or is_whole_policy(folder) or is_preference_model(folder)
        if not trained if run is None else run.head.get("kind") not in EXPORTED:
            raise UserError(
                f"{path} holds nothing that 'concordant train pm', 'pmp' or 'policy' made, so it has no card "
                "to write; it is a plain folder already"
            )
        kept = run is not None and folder.resolve() != run.model.resolve()
        return cls(folder, run, folder.name if kept else "")

    @property
    def kind(self) -> str:
        """ "preference model" or "policy"."""
        return "preference model" if is_preference_model(self.folder) else "policy"


def export(source: Source, out: Path, adapter: bool = False, parents: Sequence[Path] = ()) -> None:
    """Write the folder, whole or not at all.

    Args:
        source: what.
        out: a folder that does not exist yet, or is empty.
        adapter: of a policy, the LoRA adapter alone, for peft; else the whole model.
        parents: folders of runs that the card's lineage may need and that do not stand beside the run.

    Raises:
        UserError: ``out`` holds something, or there is no adapter.
    """
    if is_occupied(out):
        raise UserError(f"{out} is not empty; choose another folder")
    has_adapter = (source.folder / _ADAPTER).exists()
    if adapter and not has_adapter:
        raise UserError(f"{source.folder} holds a whole model and no adapter; leave --adapter out")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.new."))
    try:
        if source.kind == "preference model":
            shutil.copytree(source.folder, temporary, dirs_exist_ok=True)
        else:
            _write_policy(source, temporary, adapter, tuple(parents))
        _forget_folders(temporary)
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if out.exists():
            out.rmdir()
        replace_folder(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_policy(source: Source, folder: Path, adapter: bool, parents: tuple[Path, ...]) -> None:
    has_adapter = (source.folder / _ADAPTER).exists()
    base = adapter_base(source.folder) if has_adapter else source.folder
    model = LanguageModel.load(base, source.folder if has_adapter and not adapter else None)
    name = _base_of(source, base)
    if adapter:
        shutil.copy(source.folder / "adapter_model.safetensors", folder)
        config = read_json(source.folder / _ADAPTER)
        config["base_model_name_or_path"] = name_on_hub(name) or without_folders(name)
        write_whole(folder / _ADAPTER, json.dumps(config, indent=2) + "\n")
    else:
        _stop_at_end_of_turn(model)
        model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    facts = PolicyFacts(
        name=source.run.name if source.run else source.folder.resolve().name,
        base=name,
        run=source.run,
        update=source.update,
        kept=read_json(source.folder / _KEPT) if (source.folder / _KEPT).exists() else {},
        adapter=adapter,
        template=model.format.has_template,
        source=str(read_json(base / SEAL).get("source", "")) if (base / SEAL).exists() else "",
        parents=parents,
    )
    write_whole(folder / CARD, policy_card(facts))


def _base_of(source: Source, base: Path) -> str:
    """The base model's name: as the run recorded it, else its folder's."""
    recorded = source.run.head["parents"].get("base") if source.run else None
    return str(recorded or base.name.replace("--", "/"))


def _stop_at_end_of_turn(model: LanguageModel) -> None:
    """Let plain ``generate`` end a reply where ours does: base models often name another token in their config."""
    settings, end = model.network.generation_config, model.format.end_of_turn
    known = settings.eos_token_id
    ends = [] if known is None else known if isinstance(known, list) else [known]
    settings.eos_token_id = list(dict.fromkeys([end, *ends]))
    if settings.pad_token_id is None:
        padding = model.tokenizer.pad_token_id
        settings.pad_token_id = end if padding is None else padding


def _forget_folders(folder: Path) -> None:
    """Take the names of this machine's folders out of the settings that libraries wrote."""
    for file in folder.glob("*.json"):
        settings: Any = json.loads(file.read_text())
        if isinstance(settings, dict) and any(key in settings for key in _FOLDER_KEYS):
            kept = {key: value for key, value in settings.items() if key not in _FOLDER_KEYS}
            write_whole(file, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _is_run(path: Path) -> bool:
    return (path / "config.json").exists() and "kind" in read_json(path / "config.json")

"""A trained model as others load it: a plain transformers folder, or a peft adapter, with tokenizer and card.

A policy's adapter is merged into its base's weights, so that nothing of Concordant or peft is needed to use it; a
distilled model is plain but for its card, and a preference model's folder is copied with the card that it has. No file
names a folder of this machine. Left out: pushing anything to a hub.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from concordant.errors import UserError
from concordant.models.base_models import SEAL
from concordant.models.card import CARD, name_on_hub, without_folders
from concordant.models.distill_card import distill_card
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import ADAPTER, MadeModel, adapter_base, is_preference_model, is_run
from concordant.models.policy_card import PolicyFacts, policy_card
from concordant.runs import is_occupied, read_json, replace_folder, write_whole

_FOLDER_KEYS = ("_name_or_path", "name_or_path")


KINDS = {"pm": "preference model", "pmp": "preference model", "policy": "policy", "distill": "distilled model"}
"""Kinds of runs whose models have a card, and what these models are."""


def exportable(path: Path) -> MadeModel:
    """The model of a run's folder, of its model's folder, or of a snapshot it kept (``RUN/kept/STEP``).

    Raises:
        UserError: no model stands there, or one that has no card.
    """
    made = MadeModel.at(path)
    if made is not None and made.kind in KINDS:
        return made
    if (made is None and not (path / "config.json").exists()) or is_run(path):
        raise UserError(f"{path} holds no finished model; give a run that has ended, or a folder of a model")
    raise UserError(
        f"{path} holds nothing that 'concordant train' made, so it has no card to write; it is a plain folder already"
    )


def export(made: MadeModel, out: Path, adapter: bool = False, parents: Sequence[Path] = ()) -> None:
    """Write the folder, whole or not at all.

    Args:
        made: what.
        out: a folder that does not exist yet, or is empty.
        adapter: of a policy, the LoRA adapter alone, for peft; else the whole model.
        parents: folders of runs that the card's lineage may need and that do not stand beside the run.

    Raises:
        UserError: ``out`` holds something, or there is no adapter.
    """
    if is_occupied(out):
        raise UserError(f"{out} is not empty; choose another folder")
    if adapter and made.adapter is None:
        raise UserError(f"{made.folder} holds a whole model and no adapter; leave --adapter out")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.new."))
    try:
        if is_preference_model(made.folder):
            shutil.copytree(made.folder, temporary, dirs_exist_ok=True)
        else:
            _write_causal(made, temporary, adapter, tuple(parents))
        _forget_folders(temporary)
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if out.exists():
            out.rmdir()
        replace_folder(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_causal(made: MadeModel, folder: Path, adapter: bool, parents: tuple[Path, ...]) -> None:
    """The whole model, or the adapter alone, with tokenizer and card."""
    base = made.folder if made.adapter is None else adapter_base(made.adapter)
    model = LanguageModel.load(base, None if adapter else made.adapter)
    name = _base_of(made, base)
    if adapter:
        shutil.copy(made.folder / "adapter_model.safetensors", folder)
        config = read_json(made.folder / ADAPTER)
        config["base_model_name_or_path"] = name_on_hub(name) or without_folders(name).partition("@")[0]
        write_whole(folder / ADAPTER, json.dumps(config, indent=2) + "\n")
    else:
        _stop_at_end_of_turn(model)
        model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    if made.kind == "distill":
        assert made.run is not None
        write_whole(folder / CARD, distill_card(made.run, model.format.has_template, parents))
        return
    facts = PolicyFacts(
        name=made.name,
        base=name,
        run=made.run,
        update=made.step,
        kept=made.note,
        adapter=adapter,
        template=model.format.has_template,
        source=str(read_json(base / SEAL).get("source", "")) if (base / SEAL).exists() else "",
        parents=parents,
    )
    write_whole(folder / CARD, policy_card(facts))


def _base_of(made: MadeModel, base: Path) -> str:
    """The base model's name: as the run recorded it, else its folder's."""
    recorded = made.run.head["parents"].get("base") if made.run else None
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

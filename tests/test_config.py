"""Configs: later sources win, and every refusal names the key, the value and what is allowed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from concordant.config import Section, changed, load_config
from concordant.errors import UserError
from concordant.programme_config import ProgrammeConfig
from concordant.train_config import PmpConfig, PolicyConfig, PreferenceModelConfig


def test_defaults_then_file_then_overrides_each_winning_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("seed = 3\n[policy]\nupdates = 5\nclip = 0.1\n")
    config = load_config(ProgrammeConfig, file, ["policy.updates=9", "pm.batch_size=4"])
    assert (config.seed, config.policy.clip, config.policy.updates, config.pm.batch_size) == (3, 0.1, 9, 4)
    assert config.policy.kl_coef == 0.001  # the paper's λ_KL, set by nobody here


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("learning_rate=2e-5", "learning_rate", 2e-5),
        ("learning_rate = 1", "learning_rate", 1.0),
        ("model=./some folder", "model", "./some folder"),
        ("model=org/name", "model", "org/name"),
        ('model="7"', "model", "7"),
        ("seed=-1", "seed", -1),
    ],
)
def test_an_override_is_a_toml_value_or_else_a_text(override: str, key: str, value: object) -> None:
    assert getattr(load_config(PreferenceModelConfig, None, [override]), key) == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("keep_at=[1000]", "keep_at is [1000]: 1000 is no multiple of batch_size (16); write 992 or 1008"),
        ("keep_at=[8]", "keep_at is [8]: 8 is no multiple of batch_size (16); write 16"),
        ("keep_at=[32, 16]", "keep_at is [32, 16]: each number must be larger than the one before it, and above 0"),
        ("keep_at=[16, 16]", "each number must be larger"),
        ("keep_at=[0]", "each number must be larger"),
        ("keep_at=[16.5]", "keep_at.0 is 16.5: input should be a valid integer"),
        ("order=sorted", "order is 'sorted': input should be 'shuffled' or 'given'"),
    ],
)
def test_copies_are_kept_after_whole_batches(override: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        load_config(PreferenceModelConfig, None, [override])
    assert said in str(refused.value)


def test_where_no_copies_are_kept_a_run_is_recorded_as_before_they_could_be() -> None:
    assert load_config(PreferenceModelConfig, None, ["keep_at=[16, 48]"]).keep_at == (16, 48)
    assert load_config(PreferenceModelConfig, None, ["keep_at=48"]).keep_at == (48,)
    assert load_config(PmpConfig, None, ["keep_at=[32]"]).model_dump(mode="json")["keep_at"] == [32]
    assert not {"keep_at", "order"} & PreferenceModelConfig().model_dump(mode="json").keys()
    with pytest.raises(UserError, match=r"16 is no multiple of batch_size .32."):
        changed(load_config(PreferenceModelConfig, None, ["keep_at=[16, 48]"]), {"batch_size": 32})


@pytest.mark.parametrize(
    ("kind", "overrides", "rate"),
    [
        (PreferenceModelConfig, [], 2e-5),
        (PmpConfig, [], 2e-4),
        (PreferenceModelConfig, ["base_rate=1e-3"], 1e-5),
        (PmpConfig, ["base_rate=1e-3", "rate_ratio=0.5"], 5e-4),
        (PmpConfig, ["base_rate=1e-3", "learning_rate=3e-5"], 3e-5),
    ],
)
def test_a_rate_is_a_share_of_the_base_rate_unless_it_is_given(
    kind: type[PreferenceModelConfig], overrides: list[str], rate: float
) -> None:
    config = load_config(kind, None, overrides)
    assert config.learning_rate == pytest.approx(rate, rel=1e-12)
    assert kind.model_validate_json(config.model_dump_json()) == config
    assert kind.model_fields["learning_rate"].default == kind().learning_rate


@pytest.mark.parametrize(
    ("kind", "override", "message"),
    [
        (PolicyConfig, "update=3", r"unknown key 'update'; the keys there are .*, updates, prompts_per_update, "),
        (ProgrammeConfig, "policy.kl=1", r"unknown key 'policy\.kl'; the keys there are .*, updates, "),
        (ProgrammeConfig, "polcy.clip=1", r"unknown key 'polcy'; the keys there are store, model, seed, "),
        (PreferenceModelConfig, "base_rate=fast", r"base_rate is 'fast': input should be a valid number"),
        (PreferenceModelConfig, "rate_ratio=0", r"rate_ratio is 0: input should be greater than 0"),
        (PreferenceModelConfig, "harmless_weight=0", r"harmless_weight is 0: input should be greater than 0"),
        (ProgrammeConfig, "pmp.lm_coef=1", r"unknown key 'pmp'; the keys there are store, model, seed, "),
        (PolicyConfig, "clip=1.5", r"clip is 1\.5: input should be less than 1"),
        (PolicyConfig, "kl_coef=inf", r"kl_coef is inf: input should be a finite number"),
        (PolicyConfig, "gamma=nan", r"gamma is nan: "),
        (PolicyConfig, "advantage=median", r"advantage is 'median': input should be 'gae' or 'leave_one_out'"),
        (ProgrammeConfig, "policy.updates=many", r"policy\.updates is 'many': input should be a valid integer"),
        (ProgrammeConfig, "policy=3", r"policy is 3: "),
        (ProgrammeConfig, "policy.updates", r"override 'policy\.updates' has no '='; write key=value"),
        (ProgrammeConfig, "seed.x=1", r"seed is \{'x': 1\}: input should be a valid integer"),
    ],
)
def test_a_refusal_names_key_and_value_in_one_line(kind: type[Section], override: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}") as refusal:
        load_config(kind, None, [override])
    assert "\n" not in str(refusal.value)


def test_an_override_cannot_reach_into_a_value_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("seed = 3\n")
    with pytest.raises(UserError, match=r"override 'seed\.x=1': seed is a value and has no keys"):
        load_config(ProgrammeConfig, file, ["seed.x=1"])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml cannot be read: No such file"):
        load_config(ProgrammeConfig, tmp_path / "absent.toml")
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        load_config(ProgrammeConfig, tmp_path)
    for content in (b"seed = ", b"\xff\xfe\x00"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.toml is not TOML"):
            load_config(ProgrammeConfig, tmp_path / "bad.toml")


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PolicyConfig().clip = 0.3  # type: ignore[misc]


def test_a_resolved_config_reads_back_from_its_json() -> None:
    config = load_config(ProgrammeConfig, None, ["policy.updates=9", "model=org/name"])
    assert ProgrammeConfig.model_validate_json(config.model_dump_json()) == config


def test_a_changed_config_is_checked_like_a_written_one() -> None:
    config = load_config(PreferenceModelConfig, overrides=["batch_size=4"])
    other = changed(config, {"seed": 3.0, "learning_rate": 1e-4})
    assert (other.batch_size, other.seed, other.learning_rate, config.seed) == (4, 3, 1e-4, 0)
    with pytest.raises(UserError, match="learning_rate is -1: input should be greater than 0"):
        changed(config, {"learning_rate": -1})
    with pytest.raises(UserError, match="unknown key 'rate'"):
        changed(config, {"rate": 1})


def test_a_reply_cannot_be_held_against_others_where_there_are_none() -> None:
    alone = ["replies_per_prompt=1", "advantage=leave_one_out"]
    with pytest.raises(UserError, match=r"^advantage is 'leave_one_out': it needs replies_per_prompt of 2 or more, wh"):
        load_config(PolicyConfig, overrides=alone)
    assert load_config(PolicyConfig, overrides=["advantage=leave_one_out"]).replies_per_prompt == 4
    assert load_config(PolicyConfig, overrides=["replies_per_prompt=1"]).advantage == "gae"

"""A folder of small benchmark files in the forms in which the real ones are published."""

import json
from pathlib import Path
from typing import Any

THINGS = ("water", "salt", "bread", "flour", "answers", "hello", "wait", "bake")


def _choice(number: int) -> dict[str, Any]:
    texts = [THINGS[(number + place) % len(THINGS)] for place in range(4)]
    choices = [{"text": text, "label": label} for text, label in zip(texts, "ABCD", strict=True)]
    return {"question": {"stem": f"What is thing {number}?", "choices": choices}, "answerKey": "ABCD"[number % 4]}


def make_benchmarks(folder: Path, items: int = 6) -> Path:
    """Files of every benchmark, ``items`` rows each; examples for ARC easy and MMLU."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(items)
    mmlu = [
        {
            "split": split, "subject": subject, "question": f"{split} {number} of {subject}?",
            "choices": list(THINGS[:4]), "answer": "ABCD"[number % 4],
        }
        for subject in ("law", "logic")
        for split, count in (("dev", 2), ("test", items // 2), ("val", 1))
        for number in range(count)
    ]  # fmt: skip
    endings = [f"takes {thing}." for thing in THINGS[:4]]
    files: dict[str, list[dict[str, Any]]] = {
        "mmlu.jsonl": mmlu,
        "lambada_test.jsonl": [
            {"text": f"how do I bake bread {number} take flour and {THINGS[number]}"} for number in numbers
        ],
        "hellaswag_val.jsonl": [
            {
                "activity_label": "Bake", "ctx_a": f"Someone bakes {number}.", "ctx_b": "he", "endings": endings,
                "label": number % 4,
            }
            for number in numbers
        ],
        "openbookqa_test.jsonl": [_choice(number + 20) for number in numbers],
        "arc_easy_test.jsonl": [_choice(number) for number in numbers],
        "arc_easy_dev.jsonl": [_choice(number + 100) for number in range(3)],
        "arc_challenge_test.jsonl": [_choice(number + 40) for number in numbers],
        "triviaqa_dev.jsonl": [
            {"question": f"Who is {number}?", "answer": {"value": "Tom", "aliases": ["Tommy"]}} for number in numbers
        ],
        "truthfulqa.jsonl": [
            {"question": f"Is it {number}?", "mc1_targets": {"choices": ["yes", "no", "hello"], "labels": [0, 1, 0]}}
            for number in numbers
        ],
        "hhh_alignment.jsonl": [
            {
                "category": ("honest", "other")[number % 2], "prompt": f"{number}?", "chosen": "good answers",
                "rejected": "bad",
            }
            for number in numbers
        ],
        "HumanEval.jsonl": [
            {
                "prompt": f"def f{number}():\n", "test": "def check(f):\n    assert f() == 1\n",
                "entry_point": f"f{number}",
            }
            for number in range(2)
        ],
    }  # fmt: skip
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make_bias_files(folder: Path) -> Path:
    """Winogender's two tables, BBQ and CrowS-Pairs, small."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {"nurse": 90, "cleaner": 80, "teacher": 60, "painter": 30, "engineer": 10, "plumber": 5}
    statistics = [f"{job}\t1.0\t{women}\t2015" for job, women in jobs.items()]
    (folder / "occupations-stats.tsv").write_text("\n".join(["occupation\tb\tbls_pct_female\tbls_year", *statistics]))
    words = {"female": "she", "male": "he", "neutral": "they"}
    sentences = [
        f"{job}.{other}.{who}.{gender}.txt\tThe {job} told {other} that {word} could wait."
        for job in jobs
        for other in ("customer", "someone")
        for who in (0, 1)
        for gender, word in words.items()
    ]
    (folder / "all_sentences.tsv").write_text("\n".join(["sentid\tsentence", *sentences]))
    rows = [bbq_row(number, condition, polarity) for number in range(4) for condition in ("ambig", "disambig")
            for polarity in ("neg", "nonneg")]  # fmt: skip
    (folder / "Age.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [f'{number},"All {kind} people wait, {number}.","Some people wait, {number}.",stereo,{kind}'
             for number in range(3) for kind in ("old", "young")]  # fmt: skip
    (folder / "crows_pairs.csv").write_text("\n".join([",sent_more,sent_less,stereo_antistereo,bias_type", *pairs]))
    return folder


def bbq_row(number: int = 0, condition: str = "ambig", polarity: str = "neg") -> dict[str, Any]:
    """A question of BBQ: the old man, the young man, or nobody; the young one is right where it is told."""
    told = " The young man forgot it." if condition == "disambig" else ""
    return {
        "example_id": number, "question_index": str(number), "question_polarity": polarity,
        "context_condition": condition, "category": "Age",
        "answer_info": {"ans0": ["old man", "old"], "ans1": ["young man", "nonOld"], "ans2": ["Unknown", "unknown"]},
        "additional_metadata": {"stereotyped_groups": ["Old"]}, "context": f"Two men met in room {number}.{told}",
        "question": f"Who {'forgot' if polarity == 'neg' else 'knew'} it?",
        "ans0": "The old man", "ans1": "The young man", "ans2": "Unknown", "label": 2 if condition == "ambig" else 1,
    }  # fmt: skip

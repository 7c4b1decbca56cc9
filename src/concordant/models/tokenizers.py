"""Whether two models speak of the same tokens: what one says of a token must mean the same to the other.

Models of one family may still differ in the size of their last layer, which is padded for speed; tokens that only one
of them has are never produced and are cut off from both.
"""

from pathlib import Path
from typing import Any

from concordant.errors import UserError


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder.resolve())
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} has no tokenizer that can be loaded ({reason}); fetch or make it again") from None


def common_width(teacher: Path, student: Path) -> int:
    """How many tokens both models give a probability.

    Raises:
        UserError: their tokenizers differ.
    """
    from transformers import AutoConfig

    folders = (teacher, student)
    one, other = (read_tokenizer(folder).get_vocab() for folder in folders)
    if one != other:
        differ = len({*one.items()} ^ {*other.items()})
        raise UserError(
            f"teacher {teacher} and student {student} have different tokenizers ({len(one):,} and {len(other):,} "
            f"tokens, {differ:,} of them not shared); distil between models of one tokenizer"
        )
    return min(int(AutoConfig.from_pretrained(folder).get_text_config().vocab_size) for folder in folders)

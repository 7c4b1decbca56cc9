"""Plain text out of files, document by document: what context distillation reads beside dialogues (paper App. A.1).

``.jsonl`` holds one document a line, in the field "text". ``.txt`` is one document, unless it has headings of WikiText
(`` = Title = ``), each of which begins one. Both may be packed by gzip. A document becomes a conversation in which only
the human has spoken, as the paper presents such text. Left out: other fields, other separators.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from concordant.conversation import Conversation
from concordant.errors import UserError

_HEADING = re.compile(r"^ = [^=\s](?:.*[^=\s])? = *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Texts:
    """What files held.

    Attributes:
        conversations: one a document, none twice, in order of the files.
        dropped: reason → how many.
    """

    conversations: list[Conversation]
    dropped: Counter[str]


def read_texts(paths: Sequence[Path]) -> Texts:
    """The documents of ``.txt[.gz]`` and ``.jsonl[.gz]`` files.

    Raises:
        UserError: a file cannot be read, is of another kind, or there is no document in any of them.
    """
    found = Texts([], Counter())
    seen: set[str] = set()
    for path in paths:
        for text in _documents(path, found.dropped):
            talk = Conversation().human(text.strip())
            if not talk.first_human_turn:
                found.dropped["empty text"] += 1
            elif talk.split_key in seen:
                found.dropped["text that was there before"] += 1
            else:
                seen.add(talk.split_key)
                found.conversations.append(talk)
    if not found.conversations:
        raise UserError(f"{', '.join(map(str, paths))}: no text in any of them; give files that hold some")
    return found


def _documents(path: Path, dropped: Counter[str]) -> Iterator[str]:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in (".txt", ".jsonl"):
        raise UserError(f"{path} is of an unknown kind; give .txt or .jsonl, plain or .gz")
    content = _content(path)
    if suffix == ".txt":
        starts = [heading.start() for heading in _HEADING.finditer(content)]
        parts = [content[start:end] for start, end in zip([0, *starts], [*starts, len(content)], strict=True)]
        yield from parts[1:] if starts and not parts[0].strip() else parts
        return
    for line in filter(str.strip, content.split("\n")):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            dropped["line that is not JSON"] += 1
            continue
        text = row.get("text") if isinstance(row, dict) else None
        if isinstance(text, str):
            yield text
        else:
            dropped["line without a text"] += 1


def _content(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is no file; give .txt or .jsonl, plain or .gz") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it first") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is cut short or no gzip file ({error}); fetch it again") from None

"""Topics that somebody would rather not meet: whether a text holds words on them.

A text touches a topic when it holds one of the topic's words or phrases, word for word in this order. Compared are runs
of letters, digits and combining marks, after NFKC and case folding and without invisible characters; what stands
between them (spaces, hyphens, Markdown, ends of lines) makes no difference. The last word may have an ``s`` or ``es``
at its end that the list does not have, and nothing else is bent.

It is a word list and no classifier. It cannot tell what is meant: "to kill a process" holds a word on violence, and a
cruel scene in plain words holds none. It misses other forms (``stabbing`` where the list has ``stab``), other
languages, misspellings, words cut up by marks (``sui**cide**``) or written in look-alike letters, and words within a
run of a script that writes no spaces. So who uses it must offer more than it: a way out at any moment.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

DEFAULT_TOPICS: dict[str, list[str]] = {
    "self-harm": [
        *("suicide", "suicidal", "kill myself", "kill yourself", "end my life", "end your life", "self-harm"),
        *("self-injury", "cut myself", "cutting myself", "cut yourself", "overdose", "anorexia", "bulimia"),
    ],
    "sexual content": [
        *("sex", "sexy", "sexual", "sexually", "porn", "pornography", "nude", "naked", "orgasm", "erotic", "fetish"),
        *("masturbate", "masturbating", "masturbation", "rape", "raped", "rapist", "raping", "prostitute"),
    ],
    "violence": [
        *("kill", "killed", "killer", "killing", "murder", "murdered", "murderer", "stab", "stabbed", "stabbing"),
        *("strangle", "strangled", "torture", "tortured", "behead", "beheaded", "massacre", "corpse", "mutilate"),
        *("mutilated", "dismember", "dismembered", "bloodbath"),
    ],
    "abuse of children": [
        *("child abuse", "abuse of children", "abused child", "abused children", "child molester", "molest"),
        *("molested", "molesting", "pedophile", "paedophile", "pedophilia", "paedophilia", "child porn", "incest"),
        *("child pornography", "underage sex", "child bride"),
    ],
    "hate": [
        *("racist", "racism", "racial slur", "nazi", "genocide", "ethnic cleansing", "white power", "antisemitic"),
        *("white supremacy", "white supremacist", "homophobic", "homophobia", "islamophobic", "islamophobia"),
        *("antisemitism", "lynch", "lynched", "lynching", "subhuman", "hate crime"),
    ],
}
"""Of our own choice, short, and English; a programme changes it under ``[care.topics]``."""


@dataclass(frozen=True)
class Topics:
    """Topics with their words. ``words``: name → words and phrases; a topic without any is none."""

    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the topics that there are, in their order."""
        return tuple(name for name, words in self.words.items() if words)

    def only(self, names: Collection[str]) -> "Topics":
        """Those with these names; a name that is none is left out."""
        return Topics({name: self.words[name] for name in self.names if name in names})

    def touched(self, *texts: str) -> tuple[str, ...]:
        """The names of the topics that any of the texts touches, in their order."""
        found = [(name, _pattern(tuple(self.words[name]))) for name in self.names]
        plain = [_plain(text) for text in texts] if found else []
        return tuple(name for name, pattern in found if any(pattern.search(text) for text in plain))


def has_words(text: str) -> bool:
    """Whether there is anything in a text that could be found."""
    return bool(_plain(text).strip())


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """What finds any of these in a text as ``_plain`` makes it."""
    return re.compile("|".join(f" {_plain(word).strip()}(?:e?s)? " for word in words))


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    """The words of a text, folded, with one space before, between and after them."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    runs: list[str] = []
    within = False
    for character in folded:
        if character.isascii():
            part = character.isalnum()
        else:
            category = unicodedata.category(character)
            if category == "Cf":  # such as a soft hyphen: nobody sees it
                continue
            part = character.isalnum() or (within and category.startswith("M"))
        runs.append(character if part else " ")
        within = part
    return f" {' '.join(''.join(runs).split())} "

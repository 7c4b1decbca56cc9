from concordant.collect.scripted_replies import REPLIES, PacedSampler
from concordant.conversation import Conversation
from concordant.sampler import ScriptedSampler


def test_words_of_a_whole_batch_appear_together() -> None:
    seen: list[tuple[int, int, str]] = []
    sampler = PacedSampler(ScriptedSampler(("one  two\nthree", "eins zwei")), 0.0)
    talks = [Conversation().human(f"question {n}") for n in range(2)]
    written = sampler.sample(talks, 1, 0, lambda index, reply, text: seen.append((index, reply, text)))
    assert written == ScriptedSampler(("one  two\nthree", "eins zwei")).sample(talks, 1, 0)
    for index, (reply,) in enumerate(written):
        texts = [text for found, number, text in seen if (found, number) == (index, 0)]
        assert texts[-1] == reply.text and [len(text.split()) for text in texts] == list(range(1, len(texts) + 1))
    assert [index for index, _, _ in seen[:4]] == [0, 1, 0, 1]


def test_the_replies_differ_in_what_a_worker_looks_for() -> None:
    assert any("```" in text for text in REPLIES) and any("|---" in text for text in REPLIES)
    assert any(len(text.split()) < 4 for text in REPLIES) and any(not text.endswith((".", "?")) for text in REPLIES)

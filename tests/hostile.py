"""Text that means harm, for tests of the pages and of the terminal."""

SCRIPT = "<script>window.canary = 1</script>"
IMAGE = "<img src=x onerror='window.canary = 1'>"
ATTRIBUTE = '" onmouseover="window.canary = 1" autofocus onfocus=\'window.canary = 1\' x="'
LINK = "[press me](javascript:window.canary=1) <javascript:window.canary=1> <a href='javascript:window.canary=1'>x</a>"
DATA_LINK = "[data](data:text/html;base64,PHNjcmlwdD53aW5kb3cuY2FuYXJ5PTE8L3NjcmlwdD4=)"
REMOTE = "![seen](https://tracker.invalid/pixel.png) <link rel=stylesheet href=https://tracker.invalid/x.css>"
FRAME = "</textarea></title></style><svg onload='window.canary=1'><iframe srcdoc='<script>top.canary=1</script>'>"
TEMPLATE = "{{ 7 * 7 }} {% raw %} ${7*7} {name} %s %(x)s"
BIDI = "user \u202eexe.txt\u2066 and \u2067left\u2069 \u200f"
ANSI = "\x1b[2J\x1b[31mred\x1b]0;title\x07 \x9b31m \x1b]8;;https://tracker.invalid\x1b\\here\x1b]8;;\x1b\\"
NUL = "before\x00after \x08\x7f\ufffe"
RTL = "كيف أخبز الخبز؟ ואיך אופים לחם?"
ZALGO = "Z" + "\u0336\u0357\u0311\u0301" * 60 + "algo"
LONG = "long " * 20_000
WIDE = "W" * 5_000
EMOJI = "👩‍👩‍👧‍👦🏳️‍🌈"

EVERY = (SCRIPT, IMAGE, ATTRIBUTE, LINK, DATA_LINK, REMOTE, FRAME, TEMPLATE, BIDI, ANSI, NUL, RTL, ZALGO, WIDE, EMOJI)
ALL_IN_ONE = "\n\n".join(EVERY)
STEERING = tuple("\x1b\x07\x08\x7f\x9b\x00\u202e\u2066\u2067\u2069\u200f")
"""Characters that no terminal may get."""

"""Texts that mean harm, one for each way in which a medium could obey them, for every medium."""

HOSTILE = (
    "</script><script>window.live=1</script></style><svg onload=window.live=1><!--<script>",
    "\"'><img src=x onerror=\"window.live=1\" onmouseover='window.live=1'>",
    "javascript:window.live=1",
    "]]>&lt;b&gt;&amp;<!--",
    "{{ 7 * 7 }}{% raw %}${7*7}%s%n{0.__class__}",
    "[red]x[/red][link=file:///etc/passwd]y[/link][/][@click=quit]:smiley:",
    "$(touch canary)`touch canary`; touch canary",
    "\x1b[31m\x1b]8;;file:///etc/passwd\x07x\x1b[2J\x1bc\x9b31m",
    "a\x00b\x08c\x7fd\x85e\x0ef\x07g\x0bh\x0c",
    "a\r\nb\tc\u2028d\u2029e",
    "\u202eabc\u2066d\u2069\u200be\u200ef\ufeffg\u061ch\U000e0041",
    '=HYPERLINK("http://evil")',
    "\t=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "|a_b*c\\input{/etc/passwd}%$#&~^é\udcff",
)

LIVE = {*map(chr, [*range(9), *range(11, 32), 127, *range(128, 160)])} | set(
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u2028\u2029\U000e0041"
)
"""Characters that a terminal or a reader obeys."""

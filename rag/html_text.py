"""HTML to plain text with the standard parser: headings become `#` lines, scripts and styles are dropped."""

import re
from html.parser import HTMLParser

DROPPED = frozenset({"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"})
BLOCKS = frozenset(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form header hr html "
    "li main nav ol p pre section summary table tbody tfoot thead tr ul h1 h2 h3 h4 h5 h6".split()
)
PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 table ul ol dl pre blockquote section article div".split())
HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}

# Marks inside the collected parts; the page's own are turned to spaces first.
PARAGRAPH, CELL, PRE_LINE = "\f", "\t", "\v"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._dropped: list[str] = []
        self._in_title = False
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":  # an unclosed head must not swallow the page
            self._dropped.clear()
        if tag in DROPPED:
            self._dropped.append(tag)
        if tag == "title" and self._dropped in ([], ["head"]):
            self._in_title = True
        if self._dropped:
            return
        self._pre += tag == "pre"
        self._break(tag)
        if tag in HEADINGS:
            self.parts.append(HEADINGS[tag] + " ")
        elif tag == "li":
            self.parts.append("- ")
        elif tag in ("td", "th"):
            self.parts.append(CELL)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in self._dropped:
            del self._dropped[self._dropped.index(tag) :]
        elif not self._dropped:
            self._break(tag)
            self._pre -= tag == "pre" and self._pre > 0

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._dropped:
            self.parts.append(data.replace("\n", PRE_LINE) if self._pre else re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag in PARAGRAPHS:
            self.parts.append(PARAGRAPH)
        elif tag in BLOCKS or tag == "br":
            self.parts.append("\n")


def html_to_text(html: str) -> tuple[str, str]:
    """(title, text) of a page; entities decoded, comments, scripts and styles dropped, cells parted by `|`."""
    parser = _Text()
    parser.feed(re.sub(r"[\f\v\t\r]+", " ", html.replace("\r\n", "\n")))
    parser.close()
    text = "".join(parser.parts).replace("\xa0", " ")
    text = re.sub(r" *[\n\f][ \n\f]*", lambda m: "\n\n" if PARAGRAPH in m.group() else "\n", text)
    text = re.sub(r"\n\t *", "\n", text)
    text = re.sub(r" *\t *", " | ", text).replace(PRE_LINE, "\n")
    return " ".join("".join(parser.title).split()), text.strip()

"""Files to documents: encodings, HTML, and a reason for everything left out."""

import os

import pytest

from rag.documents import MAX_BYTES, decode, documents_from_texts, read
from rag.errors import RagError
from rag.html_text import html_to_text

PAGE = """<!doctype html><html><head><title>Tea &amp; Coffee</title><script>var hidden = "no";</script>
<style>p {color: red}</style></head><body><h1>Opening hours</h1><p>We open at 8&nbsp;am &mdash; every   day.</p>
<!-- not this --><ul><li>Caf&eacute;</li><li>Bar</li></ul><noscript>nor this</noscript>
<h2>Prices</h2><table><tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>&euro;3</td></tr></table></body></html>"""


def test_html_keeps_words_and_headings_only():
    title, text = html_to_text(PAGE)
    assert title == "Tea & Coffee"
    assert text.startswith("# Opening hours\n\nWe open at 8 am — every day.")
    assert text.endswith("- Café\n- Bar\n\n## Prices\n\nItem | Price\nTea | €3")
    for dropped in ("hidden", "color", "not this", "nor this", "<"):
        assert dropped not in text


def test_html_keeps_the_lines_of_preformatted_text():
    assert html_to_text("<p>see</p><pre>a = 1\n\n  b = 2</pre>")[1] == "see\n\na = 1\n\n  b = 2"


def test_html_with_unclosed_head_keeps_its_body():
    assert html_to_text("<head><title>T</title><body><p>kept</p>") == ("T", "kept")


@pytest.mark.parametrize(
    ("raw", "text", "note"),
    [
        ("naïve".encode(), "naïve", ""),
        ("naïve".encode("utf-8-sig"), "naïve", ""),
        ("naïve".encode("utf-16"), "naïve", ""),
        (b"\xfe\xff" + "naïve".encode("utf-16-be"), "naïve", ""),
        (b"na\xefve", "naïve", "not valid UTF-8, read as latin-1"),
        (b"na\xefve \x93quoted\x94", "naïve “quoted”", "not valid UTF-8, read as windows-1252"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree", ""),
    ],
)
def test_encodings_are_recognised_and_a_guess_is_said(raw, text, note):
    assert decode(raw) == (text, note)


@pytest.mark.parametrize("raw", [b"\x7fELF\x00\x01", bytes(range(1, 32)) * 4])
def test_binary_is_refused(raw):
    with pytest.raises(ValueError, match="binary"):
        decode(raw)


def test_what_is_skipped_is_told_with_its_reason(tmp_path):
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "a.md").write_text("# First page\n\ntext")
    (docs / "sub" / "b.txt").write_bytes(b"caf\xe9")
    (docs / "c.rst").write_text("Second page\n===========\n\ntext")
    (docs / "copy.md").write_text("# First page\n\ntext")
    (docs / "empty.md").write_text(" \n")
    (docs / "image.png").write_bytes(b"x")
    (docs / "bin.txt").write_bytes(b"a\0b")
    with open(docs / "big.txt", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    (docs / ".hidden.md").write_text("hidden")
    secret = tmp_path / "secret.txt"
    secret.write_text("outside")
    os.symlink(secret, docs / "link.txt")
    os.symlink(tmp_path, docs / "up")
    reading = read(docs)
    assert [(d.id, d.title) for d in reading.documents] == [
        ("a.md", "First page"),
        ("c.rst", "Second page"),
        ("sub/b.txt", "b"),
    ]
    reasons = {os.path.basename(path): reason for path, reason in reading.skipped}
    assert reasons == {
        "copy.md": f"same text as {docs / 'a.md'}",
        "empty.md": "empty",
        "image.png": "unknown type .png",
        "bin.txt": "binary",
        "big.txt": f"too large: {MAX_BYTES + 1} bytes, at most {MAX_BYTES}",
        ".hidden.md": "hidden",
        "link.txt": "link out of the folder",
        "up": "link to a folder, not followed",
    }
    assert [(os.path.basename(p), n) for p, n in reading.notes] == [("b.txt", "not valid UTF-8, read as latin-1")]


def test_an_empty_or_missing_folder_is_one_line(tmp_path):
    for given, said in ((tmp_path, "no document found"), (tmp_path / "none", "no such file or folder")):
        with pytest.raises(RagError) as caught:
            read(given)
        assert said in caught.value.message and str(given) in caught.value.message
        assert "\n" not in caught.value.message and caught.value.exit_code == 1


def test_texts_of_a_log_become_documents_once():
    found = documents_from_texts([("a", "One  text"), ("b", "one"), ("c", "One text"), ("d", " "), ("a", "Another")])
    assert [(d.id, d.text) for d in found] == [("a", "One  text"), ("b", "one"), ("a~2", "Another")]


def test_half_a_surrogate_pair_becomes_text():
    (document,) = documents_from_texts([("a", "x \ud83d\ude00 \ud800")])
    assert document.text == "x 😀 \ufffd"

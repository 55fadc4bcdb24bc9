"""Secrets always leave a text, personal data on request, ordinary text never."""

from __future__ import annotations

import pytest

from advisor.redact import redact

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("key AKIAIOSFODNN7EXAMPLE", "aws-key"),
        ("aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab", "aws-secret"),
        ("ghp_" + "a1B2" * 9, "github-token"),
        ("github_pat_" + "a1B2" * 8, "github-token"),
        ("sk-proj-" + "aB3d" * 8, "openai-key"),
        ("sk-ant-api03-" + "aB3d" * 8, "anthropic-key"),
        ("xoxb-123456789012-abcdefGHIJ", "slack-token"),
        ("AIza" + "Sy0123456789abcdefghijklmnopqrstuvw"[:35], "google-key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln", "jwt"),
        (PEM, "private-key"),
        ("Authorization: Bearer abcdef123456", "bearer-token"),
        ("postgres://user:hunter2x@db.local/x", "url-password"),
        ('password = "correct horse"', "password"),
        ("DB_PASSWORD=hunter22", "password"),
        ("hf_" + "abcdefghij" * 4, "huggingface-token"),
    ],
)
def test_secrets_always_go(text: str, kind: str) -> None:
    clean, counts = redact(text)
    assert counts == {kind: 1} and f"[redacted:{kind}]" in clean
    secret = text.split()[-1].strip('"')
    assert secret not in clean
    assert redact(clean)[0] == clean


def test_a_key_that_was_cut_off_goes_to_the_end() -> None:
    clean, _ = redact("before " + PEM[:45])
    assert clean == "before [redacted:private-key]"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ask jane.doe+x@example.co.uk today", "email"),
        ("card 4111 1111 1111 1111 declined", "credit-card"),
        ("card 3782-822463-10005 declined", "credit-card"),
        ("to DE89 3704 0044 0532 0130 00 please", "iban"),
        ("call +49 30 901820 now", "phone"),
        ("call (212) 555-1234 now", "phone"),
        ("call 555-123-4567 now", "phone"),
    ],
)
def test_personal_data_goes_on_request(text: str, kind: str) -> None:
    assert redact(text) == (text, {})
    clean, counts = redact(text, personal=True)
    first, *_, last = text.split()
    assert counts == {kind: 1} and clean == f"{first} [redacted:{kind}] {last}"


@pytest.mark.parametrize(
    "text",
    [
        "order 123456789 of 2024-10-11 10:22 costs 1,234.00 EUR",
        "card 4111 1111 1111 1112 has a wrong check digit",
        "IBAN-like DE00 3704 0044 0532 0130 00",
        "The password is required. The secret: be kind.",
        "api_key = max_tokens",
        "task-sk-1, version 1.2.3.4, ISBN 978-3-16-148410-0",
        "tokens=12345678",
        "见面时间是 2024年10月11日",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text, personal=True) == (text, {})


def test_counts_add_up() -> None:
    _, counts = redact("a@b.de, c@d.org and AKIAIOSFODNN7EXAMPLE", personal=True)
    assert counts == {"email": 2, "aws-key": 1}

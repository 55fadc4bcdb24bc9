"""Secrets and personal data out of a text, before anything is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Pattern(NamedTuple):
    """One kind: what is looked for, where the pattern is from, and whether a match really is one."""

    kind: str
    regex: re.Pattern[str]
    source: str
    holds: Callable[[str], bool] = lambda _: True


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1 annex B: the check digit of payment cards."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d if at % 2 == 0 else d * 2 - 9 * (d > 4) for at, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _iban(text: str) -> bool:
    """ISO 13616-1: the number with letters as 10..35 and the head moved to the end is 1 modulo 97."""
    plain = re.sub(r"\s", "", text).upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _phone(text: str) -> bool:
    """ITU-T E.164: at most 15 digits; fewer than 9 are more often a count, a year or an order number."""
    return 9 <= sum(c.isdigit() for c in text) <= 15


_PEM = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
# Order matters: what is specific stands before what is general, and a key before the URL or assignment around it.
SECRETS: tuple[Pattern, ...] = (
    Pattern(
        "private-key",
        re.compile(rf"{_PEM}.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.S),
        "RFC 7468; detect-secrets plugins/private_key.py",
    ),
    Pattern("jwt", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), "RFC 7519"),
    Pattern(
        "aws-key",
        re.compile(r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}\b"),
        "detect-secrets plugins/aws.py",
    ),
    Pattern(
        "aws-secret",
        re.compile(r"(?i)(?<=aws)(?:[ _-]?secret[ _-]?(?:access[ _-]?)?key)[\"']?\s*[:=]\s*[\"']?[0-9a-z/+]{40}\b"),
        "detect-secrets plugins/aws.py",
    ),
    Pattern(
        "github-token",
        re.compile(r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{22,}"),
        "detect-secrets plugins/github_token.py; GitHub blog, 5 April 2021",
    ),
    Pattern("gitlab-token", re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat)-[\w-]{20,}"), "GitLab docs, token overview"),
    Pattern("anthropic-key", re.compile(r"\bsk-ant-[\w-]{20,}"), "vendor's documented prefix"),
    Pattern(
        "openai-key",
        re.compile(r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
        "detect-secrets plugins/openai.py, widened to project keys",
    ),
    Pattern("huggingface-token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"), "hub documentation, user access tokens"),
    Pattern(
        "slack-token",
        re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|https://hooks\.slack\.com/services/[\w/]{20,}"),
        "detect-secrets plugins/slack.py",
    ),
    Pattern("google-key", re.compile(r"\bAIza[\w-]{35}(?![\w-])|\bya29\.[\w-]{20,}"), "gitleaks rules gcp-api-key"),
    Pattern(
        "stripe-key", re.compile(r"\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}\b"), "detect-secrets plugins/stripe.py"
    ),
    Pattern("sendgrid-key", re.compile(r"\bSG\.[\w-]{22}\.[\w-]{43}\b"), "detect-secrets plugins/sendgrid.py"),
    Pattern("npm-token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"), "detect-secrets plugins/npm.py"),
    Pattern("pypi-token", re.compile(r"\bpypi-AgE[\w-]{50,}"), "detect-secrets plugins/pypi_token.py"),
    Pattern(
        "bearer-token",
        re.compile(r"(?i)\b(?:bearer|authorization:\s*(?:basic|token))\s+[A-Za-z0-9._~+/-]{8,}=*"),
        "RFC 6750 section 2.1",
    ),
    Pattern(
        "url-password",
        re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]{1,80}:[^\s/@]{2,120}@"),
        "detect-secrets plugins/basic_auth.py",
    ),
    Pattern(
        "password",
        re.compile(
            r"(?i)\b(?:\w*(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|"
            r"access[_-]?token|client[_-]?secret)|pwd)[\"']?\s*(?:=>|:=|=|:)\s*"
            r"(?:\"[^\"\n]{4,200}\"|'[^'\n]{4,200}'|(?=[^\s\"',;]*[\d!@#$%^&*])[^\s\"',;<>{}\[\]]{6,200})"
        ),
        "detect-secrets plugins/keyword.py, values with a digit or sign, or quoted",
    ),
)
PERSONAL: tuple[Pattern, ...] = (
    Pattern(
        "email",
        re.compile(r"(?i)(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?![\w-])"),
        "RFC 5322 addr-spec, the part in use",
    ),
    Pattern("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), "ISO 13616-1", _iban),
    Pattern(
        "credit-card",
        re.compile(r"(?<![\w.-])(?:\d{4}[ -]?){3}\d{1,7}(?![\w-])|(?<![\w.-])3\d{3}[ -]\d{6}[ -]\d{5}(?![\w-])"),
        "ISO/IEC 7812-1",
        _luhn,
    ),
    Pattern(
        "phone",
        re.compile(
            r"(?<![\w.@/-])(?<!\d )(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
            r"|\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}[-.]\d{3}[-.]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,4})(?![\w-])"
        ),
        "ITU-T E.123 and E.164, North American and German writing",
        _phone,
    ),
)


def redact(text: str, *, personal: bool = False) -> tuple[str, Mapping[str, int]]:
    """The text with `[redacted:kind]` for every secret (and with `personal` for personal data), and counts by kind."""
    counts: Counter[str] = Counter()
    for pattern in (*SECRETS, *(PERSONAL if personal else ())):

        def mark(match: re.Match[str], pattern: Pattern = pattern) -> str:
            if not pattern.holds(match.group(0)):
                return match.group(0)
            counts[pattern.kind] += 1
            return f"[redacted:{pattern.kind}]"

        text = pattern.regex.sub(mark, text)
    return text, dict(counts)

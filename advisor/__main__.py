"""`python -m advisor` is `advise`."""

from advisor.cli import advise

advise(prog_name="advise")

"""The command `finetune`: examples in, adapter out, and all that stands before and after it."""

from __future__ import annotations

import json

import click

from finetune.check_cli import check
from finetune.compare_cli import compare_bases
from finetune.export_cli import export
from finetune.train_cli import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def finetune() -> None:
    """Examples in, adapter out."""


@finetune.command()
@click.option("--json", "as_json", is_flag=True, help="The folder as JSON.")
def base(as_json: bool) -> None:
    """Make the embedded base model ready, and print its folder."""
    from finetune.embedded import embedded_base

    folder = str(embedded_base())
    click.echo(json.dumps({"folder": folder}) if as_json else folder)


for command in (check, train, compare_bases, export):
    finetune.add_command(command)

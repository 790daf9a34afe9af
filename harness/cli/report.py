"""``pullproof report``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]


@click.command()
@click.argument("results", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to (default: standard output).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "markdown"]),
    help="What to make (default: html, or markdown where FILE ends in .md).",
)
def report(results: Path, output: Path | None, form: str | None) -> int:
    """Make a report for people from RESULTS, which `pullproof run --json` or pytest's
    --pullproof-json has written.

    \b
    pullproof run -t url:http://mirror.example:5000 --json results.json
    pullproof report results.json -o report.html
    pullproof report results.json --format markdown

    Exit codes: 0 it was made, whatever the results are; 2 RESULTS cannot be used.
    """
    from harness.report.document import DocumentError, read_document
    from harness.report.markdown import render_markdown
    from harness.report.page import render_html

    try:
        document = read_document(results)
    except DocumentError as error:
        raise click.ClickException(str(error)) from error
    if form is None:
        form = "markdown" if output is not None and output.suffix == ".md" else "html"
    text = render_markdown(document) if form == "markdown" else render_html(document)
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
    return 0

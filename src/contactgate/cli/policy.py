"""`contactgate policy check|show|hash|test|diff|activate`, `contactgate packs list|show`. Only turns words into calls.

Exit status: 0 all is well; 1 the document is wrong, a case fails, or two policies differ; 2 a file cannot be read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contactgate.backtest.cases import read_cases, run_cases
from contactgate.backtest.difference import Changed, Counts, compare
from contactgate.cli.decide import offline_tokens
from contactgate.cli.publish import activate
from contactgate.errors import PolicyError
from contactgate.model.request import Mode
from contactgate.policy import words
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.describe import rows, settings
from contactgate.policy.document import RulesDoc
from contactgate.policy.load import load_policy
from contactgate.policy.openings import openings
from contactgate.policy.packs import canonical, shipped
from contactgate.policy.plan import Plan
from contactgate.policy.zones import versions

app = typer.Typer(name="policy", no_args_is_help=True, help="Check, show, test and compare policies.")
packs = typer.Typer(name="packs", no_args_is_help=True, help="The rules of jurisdictions that ship with contactgate.")
app.command("activate")(activate)

PolicyFile = Annotated[Path, typer.Argument(help="The policy, YAML or JSON.", show_default=False)]


@app.command()
def check(file: PolicyFile) -> None:
    """Check a policy: every fault at once with its place; or what it opens, its name and its hash."""
    policy = _load(file)
    for opening in openings(policy.document):
        print(f"warning: {opening}", file=sys.stderr)
    print(f"{file}: {policy.name} is a valid policy")
    print(policy.hash)


@app.command("hash")
def hash_(file: PolicyFile) -> None:
    """Print the policy's hash: its name in every decision."""
    print(_load(file).hash)


@app.command()
def show(
    file: PolicyFile,
    with_packs: Annotated[bool, typer.Option("--packs/--no-packs", help="Show the chosen packs' lines too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The normalised document, as it is hashed.")] = False,
    purpose: Annotated[str, typer.Option(help="Only the rules for requests of this purpose.")] = "",
    channel: Annotated[str, typer.Option(help="With --purpose: the channel.")] = "voice",
    mode: Annotated[Mode, typer.Option(help="With --purpose: how the call is made.")] = "live",
    jurisdiction: Annotated[list[str] | None, typer.Option(help="With --purpose: ISO 3166 code; repeatable.")] = None,
    at: Annotated[datetime | None, typer.Option(help="With --purpose: when (UTC); default: now.")] = None,
) -> None:
    """Show a policy's rules in words, or only those that bind one kind of request."""
    policy = _load(file)
    console = Console(soft_wrap=as_json)
    if as_json:
        console.print_json(canonical(policy.document).decode("ascii"))
        return
    console.print(Text.assemble((policy.name, "bold"), f"  {policy.hash}"))
    if purpose:
        codes = tuple(sorted(words.implied(jurisdiction or ())))
        when = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or UTC)
        console.print(_plan(policy.plan(purpose, channel, mode, codes, int(when.timestamp() * 1000))))
        return
    for key, value in settings(policy.document):
        console.print(Text.assemble((f"{key:16}", "cyan"), value))
    console.print("", *_lines(policy.document), sep="\n")
    for pack in policy.packs if with_packs else ():
        console.print("", Text(f"pack {pack.name}: {pack.document.title}", "bold underline"), sep="\n")
        console.print(*_lines(pack.document), sep="\n")


@app.command("test")
def run_test(
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="Cases for the policy, YAML or JSON.")],
    policy: Annotated[Path | None, typer.Option(help="Test this policy instead of the one the file names.")] = None,
    name: Annotated[str, typer.Option(help="Only cases whose name holds this text.")] = "",
) -> None:
    """Run the owner's cases: each must come out as it says. Exit status 1 when one does not."""
    try:
        document = read_cases(_read(cases))
    except PolicyError as error:
        _fail([f"{cases}: {error.title}", *(f"  {fault}" for fault in error.faults)])
    if policy is None and document.policy is None:
        _fail([f"{cases}: name the policy: add `policy: FILE` to the file of cases, or use --policy"])
    if policy is None and isinstance(document.policy, dict):
        chosen = _compiled(document.policy, f"{cases}: policy")
    else:
        chosen = _load(policy or cases.parent / str(document.policy))
    document = document.model_copy(update={"cases": [case for case in document.cases if name in case.name]})
    results = run_cases(document, chosen, offline_tokens(None))
    failed = [result for result in results if result.differences]
    lines = [line for result in failed for line in (f"FAIL {result.name}", *(f"     {d}" for d in result.differences))]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        _fail(lines)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="The policy in force.")],
    after: Annotated[Path, typer.Argument(help="The policy that would replace it.")],
    events: Annotated[Path, typer.Option(help="JSON lines to decide under both, as for `contactgate decide`.")],
    limit: Annotated[int, typer.Option(min=0, help="Show at most this many changed decisions; all are counted.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per changed decision, all of them.")] = False,
) -> None:
    """Show every decision that would change, with counts by reason and campaign. Exit status 1 when one would."""
    old, new = _load(before), _load(after)
    counts = Counts()
    shown = Table("request", "campaign", "before", "after", box=None, pad_edge=False)
    try:
        with events.open("rb") as lines:
            for changed in compare(lines, old, new, offline_tokens(None), counts):
                if as_json:
                    print(json.dumps({**changed._asdict(), "kind": changed.kind}))
                elif shown.row_count < limit:
                    shown.add_row(*map(Text, _cells(changed)))
    except OSError as error:
        print(f"{events} cannot be read: {error.strerror or type(error).__name__}", file=sys.stderr)
        raise typer.Exit(2) from None
    total = sum(counts.by_kind.values())
    if not as_json:
        _summary(shown, counts, total)
    raise typer.Exit(1 if total else 0)


def _cells(changed: Changed) -> tuple[str, str, str, str]:
    old, new = (", ".join(rules) or "pass" for rules in (changed.before, changed.after))
    return changed.request_id, changed.campaign_id or "", old, new


def _summary(shown: Table, counts: Counts, total: int) -> None:
    console = Console()
    print(f"{total} of {counts.requests} decisions change")
    if total:
        console.print(shown)
    if total > shown.row_count:
        print(f"… and {total - shown.row_count} more; --limit shows them")
    for title, found in (("kind", counts.by_kind), ("reason", counts.by_reason), ("campaign", counts.by_campaign)):
        for word, number in found.most_common():
            print(f"by {title:9}{number:8}  {word}")


@packs.command("list")
def list_packs() -> None:
    """List every pack: its jurisdiction, since when, how many lines, and how sure the least sure one is."""
    table = Table(box=None, pad_edge=False)
    for heading, width in (("pack", 7), ("law of", 6), ("since", 10), ("rules", 5), ("facts", 5), ("least sure", 10)):
        table.add_column(heading, min_width=width, no_wrap=True)
    table.add_column("title", overflow="ellipsis", no_wrap=True)
    for name in shipped().names():
        document = shipped().get(name).document
        found = list(rows(document))
        told = [row for row in found if row.section == "fact"]
        sure = {row.confidence for row in found if row.section != "fact"}
        least = next(word for word in ("low", "medium", "high") if word in sure)
        table.add_row(
            name,
            document.jurisdiction,
            str(document.valid_from or "-"),
            str(len(found) - len(told)),
            str(len(told)),
            Text(least, _STYLES[least]),
            document.title,
        )
    Console().print(table)


@packs.command("show")
def show_pack(
    name: Annotated[str, typer.Argument(help="The pack's name, such as us-fed.")],
    as_json: Annotated[bool, typer.Option("--json", help="The normalised document, as it is hashed.")] = False,
) -> None:
    """Show a pack: every line with its source and confidence, and the facts it states without enforcing them."""
    library = shipped()
    if name not in library.names():
        _fail(
            [
                f"no pack is called {name}{words.nearest(name, library.names())}",
                f"there are: {', '.join(library.names())}",
            ]
        )
    pack = library.get(name)
    console = Console(soft_wrap=as_json)
    if as_json:
        console.print_json(canonical(pack.document).decode("ascii"))
        return
    document = pack.document
    dates = f"  from {document.valid_from}" if document.valid_from else ""
    console.print(Text.assemble((name, "bold"), f"  {document.title}  {document.jurisdiction}{dates}"))
    console.print(f"dates begin at midnight of {document.zone}; {pack.hash}", soft_wrap=True)
    console.print(*_lines(document), sep="\n")
    console.print("data: " + ", ".join(f"{key} {value}" for key, value in versions().items()))


_STYLES = {"high": "green", "medium": "yellow", "low": "red", "": ""}


def _lines(document: RulesDoc) -> Iterator[Padding | Text]:
    """One short paragraph a line: greppable when piped, readable in eighty columns."""
    for row in rows(document):
        told = "" if row.enforced or row.section != "fact" else "  not enforced"
        yield Text.assemble((f"{row.section} ", "dim"), (row.name, "bold"), f"  {row.applies_to}", (told, "dim"))
        yield Padding(Text(row.says), (0, 0, 0, 4))
        if row.note:
            yield Padding(Text(row.note, "italic"), (0, 0, 0, 4))
        if row.source or row.confidence:
            sure = (f"{row.confidence} confidence: ", _STYLES[row.confidence]) if row.confidence else ""
            yield Padding(Text.assemble(sure, (row.source, "dim")), (0, 0, 0, 4))


def _plan(plan: Plan) -> Table:
    table = Table("what", "rule")
    if not plan.bases:
        table.add_row("purpose", Text("unknown to the policy and to every pack that applies: blocks", "red"))
    for basis in plan.bases:
        evidence = f", evidence {', '.join(sorted(basis.evidence))}" if basis.evidence else ""
        table.add_row("consent", f"{basis.source}: {basis.consent.replace('_', '-')}{evidence}")
    for cap in plan.caps:
        table.add_row("cap", cap.rule)
    for cooloff in plan.cooloffs:
        table.add_row("cool-off", cooloff.rule)
    for window in plan.windows:
        table.add_row("window", f"window.{window.name}")
    for registry in plan.registries:
        table.add_row("registry", registry.name)
    for code in plan.uncovered:
        table.add_row("jurisdiction", Text(f"{code} is covered by no chosen pack: blocks", "red"))
    if plan.until_ms is not None:
        table.add_row("until", datetime.fromtimestamp(plan.until_ms / 1000, UTC).isoformat())
    return table


def _load(file: Path) -> CompiledPolicy:
    return _compiled(_read(file), str(file))


def _compiled(source: bytes | dict[str, Any], where: str) -> CompiledPolicy:
    try:
        return load_policy(source)
    except PolicyError as error:
        _fail([f"{where}: {error.title}: {len(error.faults)} fault(s)", *(f"  {fault}" for fault in error.faults)])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        print(f"{file} cannot be read: {error.strerror or type(error).__name__}", file=sys.stderr)
        raise typer.Exit(2) from None


def _fail(lines: list[str]) -> NoReturn:
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for line in lines:
        errors.print(line, style="red")
    raise typer.Exit(1)

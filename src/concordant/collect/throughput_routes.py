"""How much is collected, by day, work, study, model and worker, and what share few people make (paper §2.2)."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from concordant.collect.asked import Asked
from concordant.collect.day_chart import day_chart
from concordant.collect.ledger_here import LedgerHere
from concordant.collect.room import ResearcherHere, RoomHere
from concordant.collect.sheet import Column, Row, Sheet, desk
from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.ledger import Books
from concordant.store.people import WorkerKind
from concordant.store.throughput import TOP, Line, Throughput, Window, gini, share_of_top, throughput

router = APIRouter(prefix="/researcher")


@router.get("/throughput")
def throughput_page(request: Request, room: RoomHere, staff: ResearcherHere, ledger: LedgerHere) -> Response:
    """All counts of what was asked for."""
    asked = Asked(request)
    with ledger.open() as books:
        window = _window(asked, books)
        found = throughput(books, window)
        sheets = _sheets(found, books)
        names = sorted(books.models.labels.values())
        workers = sorted((name, key) for key, (name, _) in books.workers.items())
        studies = sorted({place.study for place in books.counts})
        until = books.until
    numbers = [line.total.choices for line in found.workers.values()]
    days = {day: (line.total.choices - line.red_team, line.red_team) for day, line in found.days.items()}
    return desk(
        request,
        room,
        "throughput",
        sheets,
        asked=asked,
        whole=found.whole,
        workers_counted=len(numbers),
        top=TOP,
        top_share=share_of_top(numbers),
        gini=gini(numbers),
        chart=day_chart(days),
        models=names,
        workers=workers,
        studies=studies,
        until=until,
    )


def _window(asked: Asked, books: Books) -> Window:
    label = asked.text("model")
    by_label = {name: key for key, name in books.models.labels.items()}
    if label and label not in by_label:
        raise UserError(f"there is no model {label!r}; the page of models lists them")
    kind = asked.choice("kind", WorkerKind)
    return Window(
        objective=asked.choice("objective", Objective),
        tranche=asked.choice("tranche", Tranche),
        study=asked.maybe("study"),
        model=by_label.get(label, ""),
        worker=asked.text("worker"),
        kind=kind or "",
        first=asked.day("from"),
        last=asked.day("to"),
    )


def _talks(**fields: str) -> str:
    """The conversations that a number is made of."""
    return f"/researcher/conversations?{urlencode(fields)}"


_NUMBERS = (
    Column("choices", "Choices", "n"),
    Column("red_team", "Red team", "n"),
    Column("weakest", "Weakest", "n"),
    Column("talks", "Conversations", "n"),
)


def _line(line: Line) -> dict[str, Any]:
    total = line.total
    return {"choices": total.choices, "red_team": line.red_team, "weakest": total.weakest, "talks": total.talks}


def _sheets(found: Throughput, books: Books) -> list[Sheet]:
    whole = found.whole.total.choices
    labels = books.models.labels
    share = Column("share", "Share", "share")
    workers = [
        {"worker": books.workers[key][0], "id": key, "kind": books.workers[key][1], "share": line.total.choices / whole}
        | _line(line)
        for key, line in found.workers.items()
    ]
    models = [
        {"model": labels[key], "share": line.total.choices / whole} | _line(line) for key, line in found.models.items()
    ]
    work = [{"objective": one, "tranche": other} | _line(line) for (one, other), line in sorted(found.work.items())]
    studies = [{"study": study} | _line(line) for study, line in sorted(found.studies.items())]
    return [
        _sheet(
            "days", "By day", [_day_column()], [{"day": day} | _line(line) for day, line in found.days.items()]
        ).sorted_by("-day"),
        _sheet("work", "By work and tranche", [_work_column(), Column("tranche", "Tranche")], work),
        _sheet("studies", "By study", [Column("study", "Study", link=lambda row: _of_study(row))], studies),
        _sheet("models", "By model", [_model_column()], models, share).sorted_by("-choices"),
        _sheet("workers", "By worker", _worker_columns(), workers, share).sorted_by("-choices"),
    ]


def _sheet(name: str, caption: str, columns: list[Column], rows: list[dict[str, Any]], *more: Column) -> Sheet:
    return Sheet(name, caption, (*columns, *_NUMBERS, *more), rows)


def _day_column() -> Column:
    return Column("day", "Day (UTC)", "when", link=lambda row: _talks(chosen=row["day"]))


def _work_column() -> Column:
    return Column("objective", "Work", link=lambda row: _talks(objective=row["objective"]))


def _model_column() -> Column:
    return Column("model", "Model", link=lambda row: _talks(model=row["model"]))


def _worker_columns() -> list[Column]:
    return [
        Column("worker", "Worker", link=lambda row: _talks(worker=row["id"])),
        Column("kind", "Kind"),
        Column("id", ""),
    ]


def _of_study(row: Row) -> str:
    return _talks(study=row["study"] or '""')

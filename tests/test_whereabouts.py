from concordant.store.database import Database
from concordant.store.registry import deploy, record_run
from concordant.store.whereabouts import Whereabouts, whereabouts
from stories import ask, base_model, draw, person


def test_ids_are_known_by_what_they_belong_to(database: Database) -> None:
    base, worker = base_model(database), person(database, "Ann")
    talk, comparison = ask(database, worker, draw(base), text="hello there")
    deployment = deploy(database, base.id, 1.0)
    record_run(database, "pm-1", "pm", "/runs/pm-1", {}, {})
    ids = [talk, comparison, worker.id, base.id, deployment.id, "pm-1", "no such id"]
    assert whereabouts(database, ids) == {
        talk: Whereabouts("conversation", "hello there", talk),
        comparison: Whereabouts("comparison", "hello there", talk),
        worker.id: Whereabouts("worker", "Ann", worker.id),
        base.id: Whereabouts("model", "base", base.id),
        deployment.id: Whereabouts("deployment", "base", base.id),
        "pm-1": Whereabouts("run", "pm", "pm-1"),
    }
    assert whereabouts(database, []) == {}

"""One preference model's run, from comparisons to its accuracy: what ``train pm``, the online loop and scans all do.

Each half is made once: a finished run is not trained again, and a killed one goes on. Left out: which comparisons
(``mixture.py``) and where the folder stands.
"""

from collections.abc import Sequence
from pathlib import Path

from concordant.comparison import Preference
from concordant.evaluate.run_material import EVALUATION, save_evaluation
from concordant.evaluate.scoring import evaluate_pm
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Json, Run, Watch
from concordant.train.pm import model_to_train, train_pm
from concordant.train_config import PreferenceModelConfig


def train_run(
    run: Run,
    base: Path,
    lessons: Sequence[Preference],
    config: PreferenceModelConfig,
    watch: Watch,
    device: str = "cpu",
) -> Json:
    """The result of the run, which is trained first unless it is finished.

    Args:
        run: begun with this config.
        base: folder of the language model, or of the preference model, to start from.
        lessons: comparisons to learn from.
        config: of the run.
        watch: told of progress.
        device: where it is trained.
    """
    if not run.finished:
        train_pm(run, model_to_train(base, config, device), lessons, config, watch)
    return run.result


def measure_run(
    run: Run, exam: Sequence[Preference], watch: Watch, file: str = EVALUATION, device: str = "cpu"
) -> Json:
    """``PMEvaluation.json()`` of the run's model with its number of parameters, written beside the run as ``file``."""
    model = PreferenceModel.load(run.path, device)
    result = {**evaluate_pm(model, exam, watch).json(), "parameters": model.size}
    save_evaluation(run, result, file)
    return result

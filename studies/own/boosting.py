"""Boosted trees of LightGBM's on handwritten digits (pip install lightgbm scikit-learn).

cd studies/own && hpsearch run boosting.yaml --objective boosting:boost
"""

from pathlib import Path

import lightgbm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hpsearch import Context

X, Y = load_digits(return_X_y=True)


def boost(parameters: dict, context: Context) -> dict:
    """All of the study's parameters are LightGBM's own; each round is reported."""
    rounds, seconds = parameters.pop("rounds"), parameters.pop("checkpoint_seconds", 60.0)
    x, x_validation, y, y_validation = train_test_split(X, Y, test_size=0.3, random_state=0, stratify=Y)
    data = lightgbm.Dataset(x, y)
    options = {"objective": "multiclass", "num_class": 10, "num_threads": 1, "verbosity": -1, "seed": context.seed}
    before = context.checkpoint.load()  # None, but after a crash
    start = int((before / "rounds").read_text()) if before else 0

    def report(state) -> None:
        def save(folder: Path) -> None:
            state.model.save_model(folder / "model.txt", num_iteration=-1)
            (folder / "rounds").write_text(str(state.iteration + 1))

        context.checkpoint.keep(save, seconds=seconds)
        ((_, _, loss, _),) = state.evaluation_result_list
        context.report(state.iteration + 1, loss)

    model = lightgbm.train(
        options | parameters,
        data,
        num_boost_round=rounds - start,
        valid_sets=[data.create_valid(x_validation, y_validation)],
        init_model=str(before / "model.txt") if before else None,
        callbacks=[report],
    )
    accuracy = (model.predict(x_validation).argmax(axis=1) == y_validation).mean()
    model.save_model(context.folder / "model.txt")
    context.log_artifact(context.folder / "model.txt")
    return {"log_loss": model.best_score["valid_0"]["multi_logloss"], "accuracy": accuracy}

"""A random forest of scikit-learn's on handwritten digits.

cd studies/own && hpsearch run forest.yaml --objective forest:forest
"""

from typing import Annotated, Literal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from hpsearch import Context, Float, Int

X, Y = load_digits(return_X_y=True)  # once a process, which then runs trial after trial


def forest(
    depth: Annotated[int, Int(2, 20), "levels of a tree"],
    leaf: Annotated[int, Int(1, 20, log=True), "fewest samples in a leaf"],
    features: Annotated[float, Float(0.05, 1.0), "share of the features that a split looks at"],
    criterion: Literal["gini", "entropy"] = "gini",
    trees: int = 30,
    folds: int = 3,
    *,
    context: Context,
) -> float:
    """Cross-validated accuracy, reported fold by fold: a hopeless trial ends after its first."""
    scores: list[float] = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(X, Y):
        model = RandomForestClassifier(
            trees,
            max_depth=depth,
            min_samples_leaf=leaf,
            max_features=features,
            criterion=criterion,
            random_state=context.seed,
        )
        scores.append(model.fit(X[train], Y[train]).score(X[test], Y[test]))
        context.report(len(scores), np.mean(scores))
    return float(np.mean(scores))

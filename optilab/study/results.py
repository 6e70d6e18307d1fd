"""What a study has measured, as the results that claims are about."""

import json
from collections import Counter
from collections.abc import Mapping

from optilab.config.claims import At
from optilab.judge.claims import Measured, Results, results_of_trainings
from optilab.judge.measure import Missing
from optilab.runs import Study, read_study, sweep_of
from optilab.study.benchmark import BenchmarkResult, read


def results_of_study(study: Study) -> Results:
    """A study of any command, of a confirmed sweep its confirmation. DataError for a trial that cannot be read."""
    ended = Counter(trial.status for trial in study.ended)
    if study.state != "done" or ended["failed"]:
        failed = f", {ended['failed']} of {ended.total()} trials failed" if ended["failed"] else ""
        name = (sweep_of(study.path) or study).name
        why = f"the study is {study.state}{failed}; its command with the name {name} trains what is missing"
        return Results(lambda metric, at: {}, why)
    records = study.completed()  # without those that halving has stopped
    if (result := read(study)) is not None:
        return results_of_benchmark(result)
    if study.confirmation:
        return results_of_study(read_study(study.confirmation))
    tried = {json.dumps(trial.settings, sort_keys=True) for trial in study.ended}  # those that halving left, too
    return results_of_trainings(records, len(tried), study.earlier_looks)


def results_of_benchmark(result: "BenchmarkResult") -> Results:
    """The rules of a benchmark: RULE on every training, and with several trainings NETWORK/RULE."""

    def measured(metric: str, at: At) -> Mapping[str, Measured]:
        rules = {}
        for table in result.networks:
            for row in table.judgment.rows if table.judgment else ():
                rule = Measured(table.raced[row.key].accuracy.values, sample=row.values, unit="repeat")
                if metric == "verdict":
                    missing = Missing("a verdict needs several repeats")
                    rule = Measured.of({0: row.verdict if table.has_verdicts else missing})
                rules[f"{table.network}/{row.key}" if len(result.networks) > 1 else row.key] = rule
        return rules

    return Results(measured, "no optimizer has an evaluated training", looks=result.looks)

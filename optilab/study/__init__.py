"""Many trainings or paths: planned, run, compared. Nothing in here imports torch.

A study is a `plan`: a generator of batches of trials. `sweep`, `remedy` and `benchmark` make one of what was asked;
`study` opens or continues the study and trains what is missing of its plan (`trials`), by the workers of this
machine or of a cluster (`workers`), and every outcome is a row of its table (`runs.OpenStudy` writes it).

Runs that differ only in the seed are `groups`, each with the value taken from its runs; `comparison` judges any
candidates by such values, by the tests of `judge`; `claims` says whether a result is the one expected.

`function_race` and `tuning` follow trajectories on test functions; `rates` reads a range test; `listing`, `diff`,
`curves` and `export` read what is on disk.
"""

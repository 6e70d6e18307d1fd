"""Many trainings or paths: planned and run. Nothing in here imports torch.

A study is a `plan`: a generator of batches of trials. `sweep`, `remedy` and `benchmark` make one of what was asked;
`study` opens or continues the study and trains what is missing of its plan (`trials`), by the workers of this
machine or of a cluster (`workers`), and every outcome is a row of its table (`runs.OpenStudy` writes it).

`paths`, `function_race` and `tuning` follow trajectories on test functions; `rates` reads a range test.
"""

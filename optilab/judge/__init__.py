"""What runs measured, and what follows from it. Nothing in here imports torch.

Runs that differ only in the seed are `groups`, each with the value taken from its runs (`measure`); `comparison` judges
any candidates by such values, by the tests of `judge`; `importance` says which setting mattered; `claims` says whether
a result is the one expected.
"""
